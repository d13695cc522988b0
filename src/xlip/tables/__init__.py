"""Tables as people keep them (CSV of every kind, Excel, Parquet, JSON lines, data set folders), as rows of text."""

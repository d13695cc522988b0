"""A raw data set to a folder of Parquet parts with a data card."""

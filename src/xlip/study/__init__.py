"""The record of a study, its Parquet form, and the vocabularies of kinds, labels, prompts and attributes."""

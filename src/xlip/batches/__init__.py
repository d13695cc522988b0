"""Prepared Parquet to batches of tensors. Torch begins here: no room before this one imports it."""

"""Everything between a raw data set and a `Batch`."""

"""Pages, tables and model cards for readers, made from evaluations and nothing else."""

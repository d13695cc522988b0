"""Figures from labels and scores: NumPy alone, no model and no file."""

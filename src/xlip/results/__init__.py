"""What an evaluation found: predictions, figures, files, comparisons."""

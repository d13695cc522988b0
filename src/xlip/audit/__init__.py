"""Is anything of the test sets in the training data, and what else is wrong with the data?"""

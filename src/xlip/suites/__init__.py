"""Evaluation suites as data; `xlip.evaluate.suite_file` reads them."""

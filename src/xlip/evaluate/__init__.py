"""From a model and labelled images to figures with intervals, tables and pages."""

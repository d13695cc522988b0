"""Fine-tuning: from a pre-trained image tower to a classifier of labelled kinds."""

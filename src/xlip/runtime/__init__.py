"""Using a trained model without torch: what an encoder is, exported models, scores."""

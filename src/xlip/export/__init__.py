"""A trained model for others: ONNX and `.pt2` graphs with a proof that they agree; a hub's layout with a card."""

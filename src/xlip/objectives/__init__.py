"""The terms of the loss, one a file, and the registry that a config chooses from."""

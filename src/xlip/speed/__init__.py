"""`xlip bench`: what this machine does in a second, beside plain code that does the same."""

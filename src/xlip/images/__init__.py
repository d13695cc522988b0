"""Image files of every usual form to 8-bit grayscale arrays, and these to squares."""

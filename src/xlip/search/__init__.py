"""Embeddings on disk, searched exactly by text or image, with filters over their columns."""

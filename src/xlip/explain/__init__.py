"""Where a model sees what a text says: its own maps, occlusion, boxes."""

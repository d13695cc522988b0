"""Maps on the page of a search: the model's own response to a text, over the picture of a hit."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

from xlip.images.any_form import ImageLike, square
from xlip.runtime.encoder import Encoder

NEUTRAL = "a chest radiograph."
"""What a text is weighed against."""
SPAN = (0.0, 8.0)
"""Ends of the scale, in logits: the same for all images, so that what is absent stays dark."""
OPACITY = 0.75


def mapped(encoder: Callable[[], Encoder], image: ImageLike, text: str) -> tuple[bytes, str]:
    """A PNG of the image with the map of a text over it, and what it says; (b'', '') for a model without a map.

    Args:
        encoder: opens the model.
        image: a picture, or the square itself.
        text: words that the map is of.
    """
    from PIL import Image

    model = encoder()
    if not model.has_maps:
        return b"", ""
    shown = square(image, model.image_size, model.preprocess)
    words, neutral = model.encode_texts([text, NEUTRAL])
    heat = model.maps(shown[None], (words - neutral)[None])[0, 0]
    wide = np.asarray(Image.fromarray(heat).resize(shown.shape[::-1], Image.Resampling.BILINEAR))
    low, high = SPAN
    strength = np.clip((wide - low) / (high - low), 0, 1)[..., None]
    colour = np.concatenate([np.full_like(strength, 255), 255 * strength, np.zeros_like(strength)], -1)
    painted = (1 - OPACITY * strength) * shown[..., None] + OPACITY * strength * colour
    buffer = io.BytesIO()
    Image.fromarray(np.rint(painted).astype(np.uint8)).save(buffer, "PNG")
    said = f"map: {heat.min():.1f} to {heat.max():.1f} logits, coloured from {low:g} (nothing) to {high:g} (yellow)"
    return buffer.getvalue(), said

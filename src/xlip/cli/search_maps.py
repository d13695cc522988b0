"""Maps on the page of a search: what `explain` says of a text, over the picture of a hit."""

from __future__ import annotations

import io
from collections.abc import Callable

from xlip.explain.explanation import explain, overlay
from xlip.images.any_form import ImageLike, square
from xlip.runtime.encoder import Encoder


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
    (one,) = explain(model, shown, [text])
    buffer = io.BytesIO()
    Image.fromarray(overlay(shown, one)).save(buffer, "PNG")
    if not one.found:
        return buffer.getvalue(), f"not found: score {one.score:.2f}, {one.threshold:.2f} is needed"
    said = (
        f"map: {one.map.min():.1f} to {one.map.max():.1f} logits, coloured from {one.low:g} (nothing) to {one.high:g}"
    )
    return buffer.getvalue(), said

"""Maps of findings as the service answers them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from xlip.explain.explanation import Explanation, overlay
from xlip.images.gray import Gray
from xlip.serve import answers

DIGITS = 4
"""After the point: more would not be seen, and make the answer larger."""


def finding_maps(square: Gray, found: Sequence[Explanation], *, drawn: bool) -> list[answers.FindingMap]:
    """A map for each kind or sentence; `drawn`: with the film under it, as PNG.

    Args:
        square: (S, S).
        found: what `explain` says of it.
        drawn: whether an overlay is made.
    """
    return [_answer(one, square, drawn) for one in found]


def _answer(one: Explanation, square: Gray, drawn: bool) -> answers.FindingMap:
    boxes = [
        answers.Box(x=float(box.x), y=float(box.y), width=float(box.width), height=float(box.height))
        for box in one.boxes
    ]
    return answers.FindingMap(
        finding=one.kind or one.text,
        name=one.text,
        map=np.round(one.map.astype(np.float64), DIGITS).tolist(),
        low=float(one.low),
        high=float(one.high),
        score=float(one.score),
        threshold=float(one.threshold),
        found=bool(one.found),
        boxes=boxes,
        overlay=_png(overlay(square, one)) if drawn else None,
    )


def _png(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")

"""Where a model sees what words say: one map for each of them on a fixed scale, and nothing for what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.abstention import Rule, shipped_rule
from xlip.explain.asked import Asked, ask
from xlip.explain.boxes import boxes
from xlip.explain.occlusion import occlusion
from xlip.explain.overlay import RGB, painted
from xlip.explain.scoring import Scored, score_logits, scored
from xlip.images.gray import Gray
from xlip.runtime.encoder import Array, Encoder
from xlip.study.record import Box

HOW = ("auto", "response", "occlusion")
SPANS = {"response": (0.0, 8.0), "occlusion": (0.5, 4.0)}
"""Ends of the scales, in logits: the same for all images, models and words, so that an absent finding stays dark.

Of validation phantoms, 95 % of the cells of absent findings lie under the lower end of occlusion (docs/log.md).
"""
WINDOW = 2
"""Cells of a side of what occlusion blurs at a time: on validation phantoms windows of four cells, each cell in four of
them, point better than single cells, and cost 50 encodings instead of 65 (docs/log.md)."""


@dataclass(frozen=True)
class Explanation:
    """What a model answers to words about one image."""

    text: str
    kind: str
    """Canonical; '' for words that name none."""
    map: Array
    """(h, w) float32, logits: how much each place speaks for the words."""
    low: float
    """Up to here nothing is coloured."""
    high: float
    """From here on the colour is the strongest."""
    score: float
    """Zero-shot probability in [0, 1]."""
    threshold: float
    """Of the score, from which on the finding counts as found."""
    found: bool
    """Whether the finding is there, as the score says; without it nothing is coloured and there are no boxes."""
    boxes: tuple[Box, ...]
    """Around what is coloured, as shares of the square."""
    how: str
    denied: bool = False
    """Whether the words say that the finding is not there."""


def explain(
    encoder: Encoder,
    square: Gray,
    words: Sequence[str | Asked],
    how: str = "auto",
    *,
    prompts: str = "xlip",
    rule: Rule | None = None,
) -> list[Explanation]:
    """One explanation for each of `words` about one image: uint8 (S, S), the encoder's size. See `explain_all`."""
    return explain_all(encoder, square[None], words, how, prompts=prompts, rule=rule)[0]


def explain_all(
    encoder: Encoder,
    squares: Gray,
    words: Sequence[str | Asked],
    how: str = "auto",
    *,
    prompts: str = "xlip",
    rule: Rule | None = None,
) -> list[list[Explanation]]:
    """For each image one explanation for each of `words`.

    Args:
        encoder: any.
        squares: uint8 (n, S, S), as `xlip.images.any_form.squares` makes them for this encoder.
        words: kinds, texts, or what `ask` made of them.
        how: `response`, the map by which training masks (one pass of the first layers); `occlusion`, what blurring a
            few cells takes from the score (50 encodings an image); `auto`: the first where the model has such a map.
        prompts: what stands for kinds.
        rule: when something counts as found; default: the shipped one.

    Raises:
        XLIPError: no words, an unknown `how`, a model without a map of its own for `response`; and as `ask`.
    """
    by = method(encoder, how)
    if not words:
        raise XLIPError("explain: expected at least one kind or text to look for, got none")
    plain = iter(ask(encoder, [word for word in words if isinstance(word, str)], prompts))
    asked = [next(plain) if isinstance(word, str) else word for word in words]
    return explained(encoder, squares, asked, scored(encoder, squares, asked, maps=by == "response"), by, rule)


def explained(
    encoder: Encoder, squares: Gray, asked: Sequence[Asked], found: Scored, how: str, rule: Rule | None = None
) -> list[list[Explanation]]:
    """`explain_all` of images whose scores are known: `found` is of `squares` and `asked`, with maps for `response`."""
    heat = found.maps if how == "response" else _occlusion(encoder, squares, asked)
    assert heat is not None
    used = rule or shipped_rule()
    return [
        [_made(one, maps[k], float(row[k]), used, how) for k, one in enumerate(asked)]
        for maps, row in zip(heat, found.scores, strict=True)
    ]


def method(encoder: Encoder, how: str) -> str:
    """`response` or `occlusion`.

    Raises:
        XLIPError: neither of them nor `auto`, or a response that this model does not have.
    """
    if how not in HOW:
        raise XLIPError(f"explain.how: expected one of {', '.join(HOW)}; got {how!r}")
    if how == "response" and not encoder.has_maps:
        raise XLIPError(
            f"explain.how: response needs a model with a local head (model.local), which {encoder.identity} lacks; "
            "use --how occlusion"
        )
    return ("response" if encoder.has_maps else "occlusion") if how == "auto" else how


def overlay(image: Gray, explanation: Explanation) -> RGB:
    """The image in colours where the explanation says so; the plain gray levels where the finding is not found.

    Args:
        image: uint8 (H, W): the square that was explained, at any size.
        explanation: of it.

    Returns:
        (H, W, 3).
    """
    shown = explanation.map if explanation.found else np.full_like(explanation.map, explanation.low)
    return painted(image, shown, explanation.low, explanation.high)


def _occlusion(encoder: Encoder, squares: Gray, asked: Sequence[Asked]) -> Array:
    """(n, K, cells, cells), logits: what the score's logit loses when the windows over a cell are blurred."""

    def logits(images: Array) -> Array:
        return score_logits(encoder, np.rint(images).astype(np.uint8), asked)

    return np.moveaxis(occlusion(logits, squares.astype(np.float32), side=WINDOW), -1, 1)


def _made(asked: Asked, heat: Array, score: float, rule: Rule, how: str) -> Explanation:
    low, high = SPANS[how]
    threshold = rule.of(asked.kind)
    found = score >= threshold
    return Explanation(
        text=asked.text,
        kind=asked.kind,
        map=heat,
        low=low,
        high=high,
        score=score,
        threshold=threshold,
        found=found,
        boxes=boxes(heat, low, asked.kind or asked.text) if found else (),
        how=how,
        denied=asked.denied,
    )

"""An explanation as one picture: the film in colours, and under it the words, the verdict and the scale."""

from __future__ import annotations

import io
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xlip.explain.explanation import Explanation, overlay
from xlip.explain.overlay import OPACITY, RGB, colours, enlarged
from xlip.images.gray import Gray

NARROWEST = 384
"""Pixels: smaller images are enlarged, so that the words under them can be read."""
LETTER = 30
"""Widths of a picture in the height of its letters: legible where the picture is shown at half its size, too."""
INK, PAPER, FRAME = (28, 28, 28), (255, 255, 255), (57, 208, 255)
NOTICE = "Research use only, not for diagnosis."
UNITS = "logits"


def picture(image: Gray, explanation: Explanation) -> RGB:
    """The overlay with its boxes, and a legend below.

    Args:
        image: uint8 (S, S): the square that was explained, at any size.
        explanation: of it.

    Returns:
        (H, W, 3), H > W.
    """
    side = max(NARROWEST, len(image))
    shown = np.rint(enlarged(image, (side, side)).clip(0, 255)).astype(np.uint8)
    letter = side // LETTER
    font, line, margin = ImageFont.load_default(letter), round(1.4 * letter), letter
    lines = legend(explanation, round(1.7 * side / letter))
    sheet = Image.new("RGB", (side, side + 2 * margin + (len(lines) + 3) * line), PAPER)
    sheet.paste(Image.fromarray(overlay(shown, explanation)))
    draw = ImageDraw.Draw(sheet)
    for box in explanation.boxes:
        left, top = box.x * side, box.y * side
        draw.rectangle((left, top, left + box.width * side - 1, top + box.height * side - 1), outline=FRAME, width=2)
    top = side + margin
    for words in (*lines, "", NOTICE):
        draw.text((margin, top), words, INK, font)
        top += line if words else 2 * line  # the scale goes where no words are
    top = side + margin + len(lines) * line
    sheet.paste(Image.fromarray(_bar(side - 2 * margin, letter)), (margin, top))
    low, high = f"{explanation.low:g} {UNITS} and below: no colour", f"{explanation.high:g} and above"
    draw.text((margin, top + line), low, INK, font)
    draw.text((side - margin, top + line), high, INK, font, anchor="ra")
    return np.asarray(sheet)


def to_png(pixels: RGB) -> bytes:
    """Pixels as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def legend(explanation: Explanation, width: int = 60) -> list[str]:
    """The words, and what the model says to them, in lines of at most `width` letters."""
    words = f"{explanation.text} ({explanation.how})"
    return [line for text in (words, verdict(explanation)) for line in textwrap.wrap(text, width)]


def verdict(explanation: Explanation) -> str:
    """Whether it was found, by which numbers, and what that means for the colours."""
    by = f"score {explanation.score:.2f}, threshold {explanation.threshold:.2f}"
    if not explanation.found:
        return f"not found ({by}): nothing is coloured"
    peak = float(explanation.map.max())
    if peak <= explanation.low:
        return f"found ({by}), but no place speaks for it: nothing is coloured"
    denied = ", although the text denies it" if explanation.denied else ""
    return f"found ({by}){denied}; map up to {peak:.1f} {UNITS}"


def _bar(width: int, height: int) -> RGB:
    """The colours over a middle gray, from the scale's lower to its upper end: the same under every picture."""
    strength = np.repeat(np.linspace(0, 1, width, dtype=np.float32)[None], height, 0)
    opaque = OPACITY * strength[..., None]
    return np.asarray(np.rint((1 - opaque) * 128 + opaque * colours(strength)), np.uint8)

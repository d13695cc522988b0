"""Texts of a user's own, looked at before a model encodes them: one way for checkpoints and exported folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from xlip.errors import XLIPError

UNREADABLE = 0.5
"""Share of a text's words that may be unknown; with more, its embedding says nothing of it."""
logger = logging.getLogger(__name__)


def checked_texts(
    texts: str | Iterable[str], tokens_of: Callable[[str], Sequence[str]], *, unknown: str | None, room: int
) -> list[str]:
    """One text or several as a list; a warning where words are unknown or the end will be cut off.

    Args:
        texts: what the user asks.
        tokens_of: a text's tokens, uncut, without those that every text gets.
        unknown: the token for what the vocabulary lacks.
        room: how many tokens the model takes beside those that every text gets.

    Raises:
        XLIPError: no text; or one most of whose words the vocabulary lacks.
    """
    several = [texts] if isinstance(texts, str) else list(texts)
    for text in several:
        if not isinstance(text, str):
            raise XLIPError(f"expected texts, got {type(text).__name__} {str(text)[:40]!r}")
        _check(text, tokens_of(text), unknown, room)
    return several


def _check(text: str, tokens: Sequence[str], unknown: str | None, room: int) -> None:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    lacking = sum(token == unknown for token in tokens)
    if tokens and lacking > UNREADABLE * len(tokens):
        raise XLIPError(
            f"{shown!r}: {lacking} of its {len(tokens)} tokens are unknown to the model's vocabulary, which was "
            "made from the reports of its training; write it in their language and script"
        )
    if lacking:
        logger.warning("a text: %d of its %d tokens are unknown to the model's vocabulary", lacking, len(tokens))
    if len(tokens) > room:
        # Not the text itself: it may be a patient's report.
        logger.warning("a text: cut after %d of its %d tokens, which is what the model takes", room, len(tokens))

"""Texts of a user's own, looked at before a model encodes them: one way for checkpoints and exported folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from xlip.errors import XLIPError

UNREADABLE = 0.5
"""Share of a text's words that may be unknown; with more, its embedding says nothing of it."""
SPELT = 0.6
"""Share of a text's tokens that may be single letters; with more, its words are none that the model has read."""
FEW = 6
"""Tokens below which single letters say nothing."""
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
    if not isinstance(texts, Iterable) or isinstance(texts, bytes):
        raise XLIPError(f"expected a text or several, got {type(texts).__name__} {str(texts)[:40]!r}")
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
    letters = sum(len(part := token.removeprefix("##")) == 1 and part.isalpha() for token in tokens)
    if len(tokens) >= FEW and letters > SPELT * len(tokens):
        logger.warning(
            "a text: %d of its %d tokens are single letters: the model's vocabulary lacks its words; is it in the "
            "language of the reports that the model was trained on?",
            letters,
            len(tokens),
        )
    if not tokens:
        logger.warning("a text: it holds no words")
    if len(tokens) > room:
        # Not the text itself: it may be a patient's report.
        logger.warning("a text: cut after %d of its %d tokens, which is what the model takes", room, len(tokens))

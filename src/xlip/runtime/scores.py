"""From embeddings to scores: prompts as a classifier, and the probability of each kind.

The rule: docs/protocols.md, zero-shot scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xlip.runtime.encoder import Array
from xlip.study.prompts import PromptSet

TEXTS_PER_PASS = 256
NEUTRAL = "a chest radiograph."
"""What a text of the user's own is weighed against unless something better is known (its denial, say)."""
READINGS = ("pnc", "pos", "neg")
"""How a kind's two prompts become a score: as a pair, the positive one alone, the negative one alone."""


def prompt_pairs(encode: Callable[[Sequence[str]], Array], prompts: PromptSet, kinds: Sequence[str]) -> Array:
    """The mean embedding of each kind's positive and of its negative prompts, L2-normalised.

    Args:
        encode: texts -> (n, E).
        prompts: where the texts come from.
        kinds: K canonical names.

    Returns:
        (K, 2, E); (0, 2, 0) of no kind.

    Raises:
        XLIPError: a kind that the set has no prompts for.
    """
    pairs = [[_mean(encode, texts) for texts in (prompts.positive(kind), prompts.negative(kind))] for kind in kinds]
    means = np.array(pairs, np.float32) if pairs else np.zeros((0, 2, 0), np.float32)
    lengths = np.linalg.norm(means, axis=-1, keepdims=True)
    return np.asarray(means / np.maximum(lengths, 1e-12), np.float32)


def plain_denials(encode: Callable[[Sequence[str]], Array], prompts: PromptSet, kinds: Sequence[str]) -> Array:
    """The mean embedding of 'no X' over the phrases of each kind, L2-normalised, twice: (K, 2, E) as `prompt_pairs`.

    `kinds` are those that have such a denial, see `PromptSet.plain_denials`.
    """
    means = np.array([_mean(encode, prompts.plain_denials(kind)) for kind in kinds], np.float32)
    means /= np.maximum(np.linalg.norm(means, axis=-1, keepdims=True), 1e-12)
    return np.repeat(means[:, None], 2, axis=1)


def _mean(encode: Callable[[Sequence[str]], Array], texts: Sequence[str]) -> Array:
    passes = [encode(texts[start : start + TEXTS_PER_PASS]) for start in range(0, len(texts), TEXTS_PER_PASS)]
    mean: Array = np.concatenate(passes).mean(0)
    return mean


def kind_scores(
    images: Array, pairs: Array, scale: float, added: np.ndarray[Any, Any] | float = 0.0
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """softmax([cos(v, t+) * scale + added, cos(v, t-) * scale])[0] in [0, 1]; see `kind_logits`."""
    return probabilities(kind_logits(images, pairs, scale, added))


def probabilities(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """1 / (1 + exp(-x)), of any shape."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))), np.float64)


def kind_logits(
    images: Array, pairs: Array, scale: float, added: np.ndarray[Any, Any] | float = 0.0
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(cos(v, t+) - cos(v, t-)) * scale + added: above 0, a kind is rather there than not.

    Args:
        images: (n, E), L2-normalised.
        pairs: (K, 2, E), as `prompt_pairs`.
        scale: what cosines are multiplied by.
        added: (n, K), what the local term says.

    Returns:
        (n, K).
    """
    cosines = np.einsum("ne,kpe->nkp", images.astype(np.float64), pairs.astype(np.float64))
    return np.asarray(scale * (cosines[..., 0] - cosines[..., 1]) + added, np.float64)


def reading_scores(
    images: Array, pairs: Array, scale: float, reading: str, added: np.ndarray[Any, Any] | float = 0.0
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scores that rise with the presence of a kind, by one of `READINGS`.

    pnc: `kind_scores`, in [0, 1]. pos: scale * cos(v, t+). neg: -scale * cos(v, t-): a denial should suit the images
    without the kind best. The last two are no probabilities, and the local term has no part in them.

    Args:
        images: (n, E), L2-normalised.
        pairs: (K, 2, E), as `prompt_pairs`.
        scale: what cosines are multiplied by.
        reading: one of `READINGS`.
        added: (n, K), what the local term says.

    Returns:
        (n, K).
    """
    if reading == "pnc":
        return kind_scores(images, pairs, scale, added)
    side = READINGS.index(reading) - 1
    cosines = images.astype(np.float64) @ pairs[:, side].astype(np.float64).T
    return np.asarray(scale * cosines * (-1 if side else 1), np.float64)


def map_answers(maps: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How much some place speaks for each kind, less how much some place speaks for its denial.

    Exchanging positive and negative prompts changes the sign, as it does of a difference of cosines.

    Args:
        maps: (n, 2 K, h, w), logits, of `map_queries`: the positive prompts of all kinds, then their negative ones.

    Returns:
        (n, K).
    """
    answers = _log_mean_exp(maps.reshape(*maps.shape[:2], -1).astype(np.float64))
    present, absent = np.split(answers, 2, axis=1)
    return np.asarray(present - absent, np.float64)


def map_queries(pairs: Array) -> Array:
    """(K, 2, E), as `prompt_pairs` -> (2 K, E): what `map_answers` needs the maps of."""
    return np.ascontiguousarray(np.concatenate([pairs[:, 0], pairs[:, 1]]))


def _log_mean_exp(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    top = values.max(-1, keepdims=True)
    found: np.ndarray[Any, Any] = np.log(np.exp(values - top).mean(-1)) + top[..., 0]
    return found

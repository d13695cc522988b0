"""From embeddings to scores: prompts as a classifier, and the probability of each kind (PROTOCOLS 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xlip.runtime.encoder import Array
from xlip.study.prompts import PromptSet

TEXTS_PER_PASS = 256
NEUTRAL = "a chest radiograph."
"""What a text of the user's own is weighed against unless something better is known (its denial, say)."""


def prompt_pairs(encode: Callable[[Sequence[str]], Array], prompts: PromptSet, kinds: Sequence[str]) -> Array:
    """The mean embedding of each kind's positive and of its negative prompts, L2-normalised.

    Args:
        encode: texts -> (n, E).
        prompts: where the texts come from.
        kinds: K canonical names.

    Returns:
        (K, 2, E).

    Raises:
        XLIPError: a kind that the set has no prompts for.
    """
    pairs = [[_mean(encode, texts) for texts in (prompts.positive(kind), prompts.negative(kind))] for kind in kinds]
    means = np.array(pairs, np.float32).reshape(len(kinds), 2, -1)
    lengths = np.linalg.norm(means, axis=-1, keepdims=True)
    return np.asarray(means / np.maximum(lengths, 1e-12), np.float32)


def _mean(encode: Callable[[Sequence[str]], Array], texts: Sequence[str]) -> Array:
    passes = [encode(texts[start : start + TEXTS_PER_PASS]) for start in range(0, len(texts), TEXTS_PER_PASS)]
    mean: Array = np.concatenate(passes).mean(0)
    return mean


def kind_scores(
    images: Array, pairs: Array, scale: float, added: np.ndarray[Any, Any] | float = 0.0
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """softmax([cos(v, t+) * scale + added, cos(v, t-) * scale])[0] in [0, 1].

    Args:
        images: (n, E), L2-normalised.
        pairs: (K, 2, E), as `prompt_pairs`.
        scale: what cosines are multiplied by.
        added: (n, K), what the local term says.

    Returns:
        (n, K).
    """
    cosines = np.einsum("ne,kpe->nkp", images.astype(np.float64), pairs.astype(np.float64))
    logits = scale * (cosines[..., 0] - cosines[..., 1]) + added
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))), np.float64)


def map_answers(maps: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How much some place speaks for each kind, less how much some place speaks against it.

    Exchanging positive and negative prompts changes the sign, as it does of a difference of cosines.

    Args:
        maps: (n, K, h, w), logits.

    Returns:
        (n, K).
    """
    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    return np.asarray(_log_mean_exp(flat) - _log_mean_exp(-flat), np.float64)


def _log_mean_exp(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    top = values.max(-1, keepdims=True)
    found: np.ndarray[Any, Any] = np.log(np.exp(values - top).mean(-1)) + top[..., 0]
    return found

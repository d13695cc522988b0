"""Texts that deny kinds: one of every kind's prompts, and what the tagger found denied in the reports of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlip.batches.sentences import sentences
from xlip.study.record import Study


@dataclass(frozen=True)
class Denial:
    """A text and the kinds whose absence it states: it holds of an image where all of them are absent."""

    text: str
    kinds: frozenset[str]


def denials_in(study: Study) -> list[Denial]:
    """The sentences of a report that deny kinds and state or doubt none, once each, in their order.

    'No pleural effusion or pneumothorax.' denies two kinds; 'The heart size is normal.' denies cardiomegaly without
    naming it. A sentence with a finding in it ('small effusion, no pneumothorax') is left out: it is no mere denial.
    """
    found: dict[str, frozenset[str]] = {}
    for sentence in sentences(study):
        if denied := sentence.denied:
            found[sentence.text] = denied
    return [Denial(text, kinds) for text, kinds in found.items()]


def drawn_denial(study: Study, kinds: Sequence[str], rng: np.random.Generator) -> Denial | None:
    """One of `denials_in` that denies nothing but `kinds`; None where the report has none."""
    fitting = [one for one in denials_in(study) if one.kinds <= set(kinds)]
    return fitting[int(rng.integers(len(fitting)))] if fitting else None


def denied_columns(denials: Sequence[Denial], kinds: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(M, K): which kinds each text denies."""
    rows = [[kind in one.kinds for kind in kinds] for one in denials]
    return np.array(rows, bool).reshape(len(denials), len(kinds))

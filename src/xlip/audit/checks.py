"""Checks of the training data themselves: labels that predict the source, missing sections, labels that conflict."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xlip.audit.index import Facts, Index
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT

SHORTCUT = 0.5
"""Share of a label's uncertainty that the source takes away, from which a warning is given."""
LEAST = 20
"""A kind with fewer known labels is not judged."""
SHOWN = 5


@dataclass(frozen=True)
class Shortcut:
    """A kind that can be told from the source, or the view, alone."""

    kind: str
    by: str
    share: float
    """Share of the label's entropy that is gone once the source is known (uncertainty coefficient), 0 to 1."""
    present: dict[str, str]
    """Source -> `present / known`."""


@dataclass(frozen=True)
class Conflict:
    """Statements about one kind that cannot all be true."""

    what: str
    count: int
    examples: tuple[str, ...]


def shortcuts(facts: Sequence[Facts]) -> list[Shortcut]:
    """Kinds whose label follows from the source or the view; the worst first."""
    found = []
    for by in ("source", "view"):
        tables: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
        for fact in facts:
            for kind, state in fact.labels:
                if state in (PRESENT, ABSENT):
                    tables[kind][getattr(fact, by) or "unknown"][state] += 1
        for kind, table in tables.items():
            share = uncertainty_removed(np.array([[row[PRESENT], row[ABSENT]] for row in table.values()]))
            if share >= SHORTCUT and sum(row.total() for row in table.values()) >= LEAST:
                present = {name: f"{row[PRESENT]} / {row.total()}" for name, row in sorted(table.items())}
                found.append(Shortcut(kind, by, round(share, 3), present))
    return sorted(found, key=lambda one: -one.share)


def uncertainty_removed(table: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> float:
    """Theil's uncertainty coefficient U(label | group) of counts (groups, labels); 0 where there is one label only."""
    label = entropy(table.sum(0))
    if label == 0:
        return 0.0
    weights = table.sum(1) / table.sum()
    return float(1 - sum(weight * entropy(row) for weight, row in zip(weights, table, strict=True)) / label)


def entropy(counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """Entropy of counts, in bits."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def missing_sections(facts: Iterable[Facts]) -> dict[str, int]:
    """Reports by what they lack; only those whose source tells sections apart."""
    counts: Counter[str] = Counter()
    for fact in facts:
        if not fact.sections:
            continue
        counts["with sections"] += 1
        for name in ("findings", "impression"):
            counts[f"without {name}"] += name not in fact.sections
        counts["without both"] += not {"findings", "impression"} & set(fact.sections)
        counts["with sections, but no report"] += not fact.has_report
    return dict(counts)


def conflicts(index: Index) -> list[Conflict]:
    """Label conflicts: within a study, between a label and the report, between copies of one image."""
    found: dict[str, list[str]] = defaultdict(list)
    by_pixels: dict[int, list[int]] = defaultdict(list)
    for number, fact in enumerate(index.facts):
        labels, read = dict(fact.labels), dict(fact.read)
        others = [k for k, state in labels.items() if state == PRESENT and k not in (NO_FINDING, "Support_Devices")]
        if labels.get(NO_FINDING) == PRESENT and others:
            found[f"{NO_FINDING} is present, and so is {others[0]}"].append(index.ids[number])
        for kind in labels.keys() & read.keys():
            if {labels[kind], read[kind]} == {PRESENT, ABSENT}:
                found[f"{kind}: the label says {_word(labels[kind])}, the report {_word(read[kind])}"].append(
                    index.ids[number]
                )
        if index.pixels[number]:
            by_pixels[index.pixels[number]].append(number)
    for numbers in by_pixels.values():
        for kind in _differing([dict(index.facts[number].labels) for number in numbers]):
            found[f"{kind}: copies of one image have different labels"].append(index.ids[numbers[0]])
    made = [Conflict(what, len(ids), tuple(ids[:SHOWN])) for what, ids in found.items()]
    return sorted(made, key=lambda one: (-one.count, one.what))


def _differing(labels: Sequence[dict[str, int]]) -> list[str]:
    kinds = {kind for known in labels for kind in known}
    return sorted(kind for kind in kinds if len({known[kind] for known in labels if kind in known}) > 1)


def _word(state: int) -> str:
    return "present" if state == PRESENT else "absent"

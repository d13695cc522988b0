"""The figures of each kind as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from xlip.pages.operating_points import RULES, OperatingPoints
from xlip.results.figures import Classification

FIELDS = ("threshold", "f1", "accuracy", "mcc", "sensitivity", "specificity", "tp", "fp", "fn", "tn")
HEADER = ("kind", "auroc", "ci95_low", "ci95_high", "auprc", "positives", "negatives", "in_macro")


def kind_csv(kinds: Classification, points: OperatingPoints | None) -> str:
    """One row per kind, with a column per threshold rule and figure (`f1@val`); empty = could not be computed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*HEADER, *(f"{name}@{rule}" for rule in RULES for name in FIELDS)])
    table: Mapping[str, Mapping[str, Any]] = points.table if points else {}
    for kind, one in kinds.per_kind.items():
        own = [one.auroc, *one.ci95, one.auprc, one.positives, one.negatives]
        rules = table.get(kind, {})
        decided = [getattr(rules[rule], name) if rule in rules else None for rule in RULES for name in FIELDS]
        cells = ["" if value is None else value for value in (*own, int(kind in kinds.counted), *decided)]
        writer.writerow([kind, *cells])
    return text.getvalue()

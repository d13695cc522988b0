"""Published figures beside ours: which may be compared, and for the others why not (`published.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

PROTOCOLS = {"zeroshot": "zero-shot", "finetune": "fine-tuning", "probe": "linear probe"}
"""Evaluators in words."""
MOST_NAMED = 3
"""Kinds that a reason names; more are counted."""


@dataclass(frozen=True)
class Column:
    """One data set of a published table, as it was measured there."""

    name: str
    set: str
    split: str
    split_source: str
    """stated or inferred."""
    images: int | None
    """Size of the test part; None where it is not known."""
    kinds: tuple[str, ...]
    """Empty where the publication does not name them: such a column stands beside nothing."""


@dataclass(frozen=True)
class Table:
    """One published table: methods x data sets, in per cent."""

    id: str
    title: str
    source: str
    evaluator: str
    prompts: str
    metrics: tuple[str, ...]
    note: str
    columns: tuple[Column, ...]
    rows: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True)
class Ours:
    """What decides whether a published figure may stand beside one of ours."""

    evaluator: str
    split: str
    """Its name alone, without size and checksum."""
    images: int
    kinds: tuple[str, ...]
    """Of the macro mean."""

    @classmethod
    def of(cls, evaluator: str, split: str, images: int, kinds: Sequence[str]) -> Ours:
        """From a split id `name:size:checksum` (the size there counts what was scored)."""
        return cls(evaluator, split.rsplit(":", 2)[0], images, tuple(sorted(kinds)))


@cache
def published_tables() -> tuple[Table, ...]:
    """The shipped tables."""
    import yaml

    raw = yaml.safe_load(files("xlip.pages").joinpath("published.yaml").read_text("utf-8"))
    return tuple(_table(item) for item in raw["tables"])


def differences(ours: Ours, table: Table, column: Column) -> list[str]:
    """Why a column must not be compared with ours; empty where it may."""
    reasons = []
    if table.evaluator != ours.evaluator:
        theirs, own = (PROTOCOLS.get(name, name) for name in (table.evaluator, ours.evaluator))
        reasons.append(f"another protocol: {theirs}, ours {own}")
    if column.split_source != "stated":
        reasons.append(f"their test split is not published by name (probably {column.split})")
    elif column.split != ours.split:
        reasons.append(f"another split: {column.split}, ours {ours.split}")
    if column.images is not None and column.images != ours.images:
        reasons.append(f"{column.images:,} test images, ours {ours.images:,}")
    if not column.kinds:
        return [*reasons, "their labels are not published by name"]
    missing, extra = sorted(set(column.kinds) - set(ours.kinds)), sorted(set(ours.kinds) - set(column.kinds))
    if missing:
        reasons.append(f"another label set: ours lacks {_listed(missing)}")
    elif extra and table.evaluator == "finetune":
        # What it was trained on counts too; of scores without training, a mean over their kinds can be taken.
        reasons.append(f"another label set: ours has {_listed(extra)} besides")
    return reasons


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kinds) if len(kinds) <= MOST_NAMED else f"{len(kinds)} kinds"


def _table(item: Mapping[str, Any]) -> Table:
    columns = tuple(
        Column(name, raw["set"], raw["split"], raw["split_source"], raw["images"], tuple(raw["kinds"]))
        for name, raw in item["columns"].items()
    )
    rows = {method: {name: tuple(cells) for name, cells in row.items()} for method, row in item["rows"].items()}
    words = {name: item[name] for name in ("id", "title", "source", "evaluator", "prompts", "note")}
    return Table(**words, metrics=tuple(item["metrics"]), columns=columns, rows=rows)

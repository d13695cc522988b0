"""When a map stays without colour: how likely a finding must be before anything is coloured for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.shipped import model_place

FILE = "abstention.json"
"""Of a rule beside a model's weights."""


@dataclass(frozen=True)
class Rule:
    """The least zero-shot probability at which a finding counts as found."""

    threshold: float
    """Of texts, and of kinds without one of their own."""
    of_kind: Mapping[str, float] = field(default_factory=dict)
    chosen_on: str = ""
    """Which labelled images the thresholds come from, and by which weights."""

    def __post_init__(self) -> None:
        for kind, value in {"threshold": self.threshold, **self.of_kind}.items():
            if not 0 <= value <= 1:
                raise XLIPError(f"abstention: expected a probability in [0, 1], got {value} for {kind}")

    def of(self, kinds: str) -> float:
        """The threshold of a kind, or of several separated by commas: the least of theirs."""
        return min(self.of_kind.get(kind, self.threshold) for kind in kinds.split(","))

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)


@cache
def shipped_rule() -> Rule:
    """The rule for models that have none of their own."""
    return _parse(files("xlip.explain").joinpath(FILE).read_text("utf-8"), FILE)


def load_rule(path: Path) -> Rule:
    """A rule that `xlip abstain` wrote.

    Raises:
        XLIPError: no such file, or another form.
    """
    with reading(path, "make it by `xlip abstain`"):
        text = path.read_text("utf-8")
    return _parse(text, str(path))


def rule_of(model: str, file: str) -> Rule:
    """The rule that the user names, else that beside the model's weights, else the shipped one.

    Raises:
        XLIPError: the file is not there or of another form.
    """
    beside = Path(model_place(model)) / FILE
    if file or beside.is_file():
        return load_rule(Path(file or beside))
    return shipped_rule()


def _parse(text: str, name: str) -> Rule:
    with reading(name, "make it by `xlip abstain`"):
        found = json.loads(text)
        return Rule(float(found["threshold"]), dict(found["of_kind"]), str(found["chosen_on"]))

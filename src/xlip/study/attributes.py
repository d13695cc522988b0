"""What an archive knows of an image without a reading (sex, age, view), as texts and targets (`attributes.yaml`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from xlip.study.record import Study

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field of a study: either named values or points of a quantity."""

    name: str
    values: tuple[str | float, ...]
    texts: tuple[tuple[str, ...], ...]
    """A family for each value."""
    spread: float = 0.0
    """Standard deviation of a quantity's target around the study's own value, in its unit; 0: named values."""

    def target(self, value: str | float | None) -> Array:
        """(values,) float32 that sums to 1; zeros where the value is unknown.

        A quantity's target is a normal density on its points: 58 years is nearly 60, and hardly 20 (label distribution
        learning, Geng et al. 2013, doi:10.1109/TPAMI.2013.51).
        """
        if not self.spread or value is None:
            return np.array([value == one for one in self.values], np.float32)
        distance = (np.array(self.values, np.float64) - float(value)) / self.spread
        density = np.exp(-0.5 * (distance**2 - (distance**2).min()))
        target: Array = (density / density.sum()).astype(np.float32)
        return target


@cache
def attributes() -> tuple[Attribute, ...]:
    """Every attribute, in the order of `attributes.yaml`."""
    import yaml

    raw = yaml.safe_load(files("xlip.study").joinpath("attributes.yaml").read_text("utf-8"))
    return tuple(_attribute(name, item) for name, item in raw.items())


def _attribute(name: str, item: dict[str, Any]) -> Attribute:
    if "values" in item:
        return Attribute(name, tuple(item["values"]), tuple(tuple(texts) for texts in item["values"].values()))
    numbers = tuple(item["numbers"])
    texts = tuple(tuple(text.format(number) for text in item["texts"]) for number in numbers)
    return Attribute(name, tuple(float(number) for number in numbers), texts, float(item["spread"]))


def attribute_targets(studies: Sequence[Study]) -> Array:
    """(n, V) float32: the targets of every attribute side by side."""
    rows = [[one.target(getattr(study, one.name)) for one in attributes()] for study in studies]
    return np.array([np.concatenate(row) for row in rows], np.float32).reshape(len(rows), len(attribute_families()))


def attribute_families() -> list[tuple[str, ...]]:
    """V families of texts, in the order of the targets' columns."""
    return [texts for one in attributes() for texts in one.texts]


def attribute_columns() -> list[slice]:
    """The columns of each attribute."""
    ends = np.cumsum([len(one.values) for one in attributes()]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

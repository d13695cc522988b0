"""What `xlip ablate` trains: variants of one base config, each at several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.options import read_options

KEYS = {"base", "phantom", "test", "test_split", "variants", "grid", "seeds", "reference", "quick"}
PHANTOM = {"pairs": 60, "images": 5000, "texts": 2000, "test": 600, "size": 128}


@dataclass(frozen=True)
class Cell:
    """One training: a variant at a seed."""

    variant: str
    seed: int
    config: Mapping[str, Any]
    """Options of `PretrainConfig`, without `out`."""
    phantom: Mapping[str, int]
    """Phantoms of each stream and their size; empty where the config names prepared sets."""
    test: str
    """Prepared set that is scored; the phantoms held out where `phantom` is given."""
    test_split: str


@dataclass(frozen=True)
class Plan:
    """All cells, and the variant that the others are compared with."""

    cells: tuple[Cell, ...]
    reference: str
    base: str = ""
    """File of the options below all variants; '' where they stand in the plan."""

    @property
    def variants(self) -> list[str]:
        """Names, the reference first."""
        names = dict.fromkeys((self.reference, *(cell.variant for cell in self.cells)))
        return list(names)

    def part(self, variants: Sequence[str], seeds: Sequence[int]) -> Plan:
        """The cells of some variants, the reference among them, and of some seeds; of all where none is named.

        Raises:
            XLIPError: the plan has no such variant or seed.
        """
        planned = sorted({cell.seed for cell in self.cells})
        if unknown := [name for name in variants if name not in self.variants]:
            raise XLIPError(f"ablate: no variant {unknown[0]!r}; expected some of {', '.join(self.variants)}")
        if missing := [seed for seed in seeds if seed not in planned]:
            raise XLIPError(f"ablate: no seed {missing[0]}; expected some of {', '.join(map(str, planned))}")
        names = {self.reference, *variants} if variants else set(self.variants)
        kept = (one for one in self.cells if one.variant in names and one.seed in (seeds or planned))
        return replace(self, cells=tuple(kept))


def read_plan(path: str, *, quick: bool) -> Plan:
    """The plan of a YAML file.

    `base` holds options of `xlip pretrain` (or the path of such a file); `variants` name options that are laid over
    them, where `null` removes an objective; `grid` makes a variant of every combination of values of dotted options.
    With `quick`, what stands under `quick` is laid over the whole file.

    Raises:
        XLIPError: no such file, or one of another form.
    """
    raw = read_options(path, "variants: {whole: {}}")
    if quick:
        raw = laid_over(raw, raw.get("quick") or {})
    unknown = sorted(set(raw) - KEYS)
    if unknown:
        raise XLIPError(f"{path}: unknown key {unknown[0]!r}; expected {', '.join(sorted(KEYS))}")
    base = raw.get("base") or {}
    beside = str(Path(path).parent / base) if isinstance(base, str) else ""
    base = read_options(beside) if beside else base
    variants = {name: laid_over(base, changes or {}) for name, changes in (raw.get("variants") or {}).items()}
    for name, changes in _grid(raw.get("grid") or {}).items():
        variants[name] = laid_over(base, changes)
    seeds = raw.get("seeds") or [0]
    if not variants or not isinstance(seeds, list):
        raise XLIPError(
            f"{path}: expected `variants` or a `grid`, and `seeds` as a list; got {len(variants)}, {seeds!r}"
        )
    reference = raw.get("reference") or next(iter(variants))
    if reference not in variants:
        raise XLIPError(f"{path}: the reference {reference!r} is no variant; expected one of {', '.join(variants)}")
    phantom = {} if raw.get("phantom") is None else {**PHANTOM, **raw["phantom"]}
    if not phantom and not raw.get("test"):
        raise XLIPError(f"{path}: expected `phantom` (counts and size) or `test` (a prepared set to score)")
    told = (phantom, str(raw.get("test") or ""), str(raw.get("test_split") or ""))
    cells = (Cell(name, seed, config, *told) for seed in seeds for name, config in variants.items())
    return Plan(tuple(cells), reference, beside)


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested options with changes; None takes an entry away, lists are replaced whole."""
    made = dict(base)
    for name, value in changes.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, Mapping):
            below = made.get(name)
            made[name] = laid_over(below if isinstance(below, Mapping) else {}, value)
        else:
            made[name] = value
    return made


def _grid(axes: Mapping[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """`{a.b: [1, 2], c: [x]}` -> a nested change for every combination, named by its values."""
    if not axes:
        return {}
    made: dict[str, dict[str, Any]] = {}
    for values in product(*axes.values()):
        changes: dict[str, Any] = {}
        for option, value in zip(axes, values, strict=True):
            changes = laid_over(changes, _nested(option.split("."), value))
        names = (f"{option.rsplit('.', 1)[-1]}={value}" for option, value in zip(axes, values, strict=True))
        made[" ".join(names)] = changes
    return made


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {first: _nested(rest, value) if rest else value}

"""Suites as data: which evaluators run on which prepared sets, and what those sets must be (`xlip/suites/*.yaml`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.evaluate.registry import Evaluator, build_evaluator
from xlip.files import reading
from xlip.images.square import PREPROCESS
from xlip.preparation.splits import rule
from xlip.study.kinds import named


@dataclass(frozen=True)
class SuiteData:
    """A prepared set of a suite, and how to know that it is the right one."""

    path: str = ""
    """Where it is; `{root}` stands for the folder that the user names with --root."""
    prepare: str = ""
    """The command that makes it, for the message when it is missing."""
    split: str = ""
    """Part to evaluate; default: test where there is one."""
    named_split: str = ""
    """Name in `xlip.preparation.splits` that the set must have been prepared with."""
    kinds: tuple[str, ...] = ()
    """Default: all that the set labels."""
    images: int = 0
    """How many the part must hold; 0 = any number."""
    studies: int = 0
    """How many different studies (ids up to the last slash); 0 = any number."""
    checksum: str = ""
    """The 12 digits that every evaluation prints with its split; '' = any."""
    laterals: bool = False
    """Whether lateral views count too; elsewhere they are left out."""
    phantom: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source `phantom`, and `holdout`: the set is made where it is missing."""


@dataclass(frozen=True)
class SuiteEntry:
    """One evaluator on one set."""

    name: str
    data: str
    evaluator: str
    options: Mapping[str, Any]
    preprocess: str = ""
    """Instead of the model's own way to make images square."""

    def build(self, more: Mapping[str, Any]) -> Evaluator:
        """The evaluator; `more` are options that the suite does not set. Raises as `build_evaluator`."""
        return build_evaluator(self.evaluator, {**more, **self.options})


@dataclass(frozen=True)
class Suite:
    """A named list of evaluations."""

    name: str
    about: str
    data: Mapping[str, SuiteData]
    entries: tuple[SuiteEntry, ...]


def suite_names() -> list[str]:
    """The suites that come with the package."""
    found = files("xlip.suites").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in found if file.name.endswith(".yaml"))


def load_suite(name_or_path: str) -> Suite:
    """A suite that comes with the package, or a YAML file of the same form.

    Raises:
        XLIPError: neither, or a file with a fault: the message names it.
    """
    import yaml

    if name_or_path in suite_names():
        text = files("xlip.suites").joinpath(f"{name_or_path}.yaml").read_text("utf-8")
    elif Path(name_or_path).is_file():
        with reading(name_or_path, "copy it again, or name a suite that comes with the package"):
            text = Path(name_or_path).read_text("utf-8")
    else:
        raise XLIPError(f"suite: expected one of {', '.join(suite_names())} or a YAML file; got {name_or_path!r}")
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise XLIPError(f"{name_or_path}: not YAML ({' '.join(str(error).split())}); mend or copy it") from error
    return _suite(name_or_path, _mapping(name_or_path, raw, ("suite", "about", "data", "entries")))


def _suite(where: str, raw: Mapping[str, Any]) -> Suite:
    for needed in ("suite", "data", "entries"):
        if not raw.get(needed):
            raise XLIPError(f"{where}: expected a `{needed}`; see xlip/suites/phantom.yaml for an example")
    with_own = _own_prompts(_mapping(where, raw["entries"]))
    data = {
        name: _data(f"{where}: data.{name}", item, own_kinds=name in with_own)
        for name, item in _mapping(where, raw["data"]).items()
    }
    entries = [_entry(f"{where}: entries.{n}", n, e, data) for n, e in _mapping(where, raw["entries"]).items()]
    return Suite(str(raw["suite"]), str(raw.get("about", "")), data, tuple(entries))


def _own_prompts(entries: Mapping[str, Any]) -> set[str]:
    """Names of the sets on which an entry uses prompts of one's own, and so kinds of one's own."""
    given = [entry for entry in entries.values() if isinstance(entry, dict) and "prompts" in entry]
    return {str(one.get("data")) for one in given if re.search(r"\.ya?ml\b", str(one["prompts"]))}


def _data(where: str, raw: Any, *, own_kinds: bool) -> SuiteData:
    item = dict(_mapping(where, raw, [one.name for one in fields(SuiteData)]))
    if item.get("named_split"):
        rule(item["named_split"])
    item["kinds"] = tuple(named(",".join(map(str, item.get("kinds") or ())), None if own_kinds else ()))
    return SuiteData(**item)


def _entry(where: str, name: str, raw: Any, data: Mapping[str, SuiteData]) -> SuiteEntry:
    options = dict(_mapping(where, raw))
    set_, evaluator = (str(options.pop(key, "")) for key in ("data", "evaluator"))
    preprocess = options.pop("preprocess", "")
    if set_ not in data:
        raise XLIPError(f"{where}: data: expected one of {', '.join(data)}; got {set_!r}")
    if preprocess not in ("", *PREPROCESS):
        raise XLIPError(f"{where}: preprocess: expected one of {', '.join(PREPROCESS)}; got {preprocess!r}")
    entry = SuiteEntry(name, set_, evaluator, options, preprocess)
    try:
        entry.build({"data": "later"} if evaluator == "finetune" else {})
    except XLIPError as error:
        raise XLIPError(f"{where}: {error}") from error
    return entry


def _mapping(where: str, raw: Any, known: Sequence[str] = ()) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise XLIPError(f"{where}: expected names with values, got {raw!r}")
    for name in raw:
        if known and name not in known:
            raise XLIPError(f"{where}: unknown key {name!r}; expected one of {', '.join(known)}")
    return raw

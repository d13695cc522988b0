"""Every objective by the name it has in a config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from xlip.errors import XLIPError
from xlip.objectives.attmim import TRUTH, AttMIM
from xlip.objectives.attributes import ImageAttributes
from xlip.objectives.contrastive import Contrastive
from xlip.objectives.denial_contrast import DenialContrast
from xlip.objectives.description_contrast import DescriptionContrast
from xlip.objectives.entmlm import EntMLM
from xlip.objectives.kind_contrast import KindContrast
from xlip.objectives.kinds import ImageKind, ReportKind
from xlip.objectives.local_kind import LocalKind
from xlip.objectives.objective import Objective
from xlip.objectives.view_contrast import ViewContrast

OBJECTIVES: dict[str, type[Any]] = {
    "contrastive": Contrastive,
    "attmim": AttMIM,
    "entmlm": EntMLM,
    "denial_contrast": DenialContrast,
    "description_contrast": DescriptionContrast,
    "image_kind": ImageKind,
    "image_attributes": ImageAttributes,
    "kind_contrast": KindContrast,
    "local_kind": LocalKind,
    "report_kind": ReportKind,
    "view_contrast": ViewContrast,
}


OBJECTIVE_DEFAULTS: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "attmim": {},
    "entmlm": {},
    "description_contrast": {},
    "image_kind": {},
    "kind_contrast": {},
    "local_kind": {},
    "report_kind": {},
}


WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}


def build_objectives(config: Mapping[str, Mapping[str, Any]]) -> list[Objective]:
    """Objectives from `{name: {option: value}}`.

    Raises:
        XLIPError: an unknown objective or option, a value that it cannot have, or no objective at all.
    """
    if not config:
        raise XLIPError(f"objectives: expected at least one of {', '.join(OBJECTIVES)}; got none")
    return [_build(name, options or {}) for name, options in config.items()]


def reads_denials(config: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether some objective of `{name: {option: value}}` needs `Batch.denials`, which costs text passes."""
    return DenialContrast.name in config or any((options or {}).get("denials") for options in config.values())


def reads_regions(config: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether some objective of `{name: {option: value}}` needs `Batch.regions`."""
    return (config.get(AttMIM.name) or {}).get("response") == TRUTH


def _build(name: str, options: Mapping[str, Any]) -> Objective:
    if name not in OBJECTIVES:
        raise XLIPError(f"objectives: unknown objective {name!r}; expected one of {', '.join(OBJECTIVES)}")
    known = {field.name: field.default for field in fields(OBJECTIVES[name]) if field.name != "name"}
    for option in options:
        if option not in known:
            raise XLIPError(f"objectives.{name}: unknown option {option!r}; expected one of {', '.join(known)}")
        _check(f"objectives.{name}.{option}", options[option], known[option])
    made: Objective = OBJECTIVES[name](**options)
    return made


def _check(where: str, value: Any, default: Any) -> None:
    """Refuse a value of another type than the option's default; numbers are never negative."""
    wanted = type(default)
    fits = isinstance(value, int | float if wanted is float else wanted) and isinstance(value, bool) == (wanted is bool)
    if not fits:
        raise XLIPError(f"{where}: expected {WORDS.get(wanted, wanted.__name__)}, got {value!r}")
    if isinstance(value, int | float) and not 0 <= value < math.inf:
        raise XLIPError(f"{where}: expected at least 0, got {value}")

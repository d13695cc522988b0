"""Options in YAML files: read, and looked at before a parser sees them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from xlip.errors import XLIPError
from xlip.files import reading


def read_options(file: str | os.PathLike[str], such_as: str = "steps: 100") -> dict[str, Any]:
    """The options, by name, that stand in a YAML file.

    Args:
        file: its path.
        such_as: what could stand there, for the message.

    Raises:
        XLIPError: no such file, no YAML, or no option in it.
    """
    import yaml

    expected = f"expected a YAML file of options, such as {such_as!r}"
    with reading(file, expected):
        found = yaml.safe_load(Path(file).read_text("utf-8"))
    if not isinstance(found, dict):
        raise XLIPError(f"{file}: {expected}; found no option in it")
    return found


def check_groups(options: Mapping[str, Any], config: type, above: str = "") -> None:
    """Refuse a number or a word where options of a group's own belong (`optim: 3`): the parser lets some of them pass,
    and they fail as the config is made.

    Args:
        options: by name; what is no option of the config is passed over.
        config: the dataclass that they are for.
        above: the group that they stand in, with a dot, for the message.

    Raises:
        XLIPError: a group that is no mapping.
    """
    hints = get_type_hints(config)
    for item in (one for one in fields(config) if one.name in options):
        hint, value, name = hints[item.name], options[item.name], f"{above}{item.name}"
        several = get_origin(hint) is list
        allowed = get_args(hint) if several or get_origin(hint) in (Union, UnionType) else (hint,)
        groups: list[type] = [one for one in allowed if isinstance(one, type) and is_dataclass(one)]
        if not groups or (value is None and NoneType in allowed):
            continue
        given = value if several and isinstance(value, list) else [value]
        for one in given:
            _check_group(one, groups, name, "a list of options" if several else "options of its own")


def _check_group(value: Any, groups: list[type], name: str, expected: str) -> None:
    if isinstance(value, tuple(groups)):
        return
    first = groups[0]
    if not isinstance(value, Mapping):
        raise XLIPError(f"{name}: expected {expected}, such as {name}.{fields(first)[0].name}; got {value!r}")
    if len(groups) == 1:
        check_groups(value, first, f"{name}.")

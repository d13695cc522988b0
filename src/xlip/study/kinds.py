"""The canonical disease kinds and the names that other data sets give them (`kinds.yaml`)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xlip.errors import XLIPError

NO_FINDING = "No_Finding"


@dataclass(frozen=True, slots=True)
class Kind:
    """One disease kind: `id` is the canonical label, `name` the phrase used in prompts."""

    id: str
    name: str
    aliases: tuple[str, ...]
    incidental: bool = False
    """Whether a chest may have it and still be called free of disease (a device, a worn spine)."""


@cache
def kinds() -> dict[str, Kind]:
    """Every kind by its id, in the order of `kinds.yaml`."""
    import yaml

    raw = yaml.safe_load(files("xlip.study").joinpath("kinds.yaml").read_text("utf-8"))
    return {
        id_: Kind(id_, item["name"], tuple(item["aliases"]), item.get("incidental", False)) for id_, item in raw.items()
    }


def canonical(name: str) -> str:
    """The id of the kind that `name` means, whatever its case, spaces, hyphens and underscores.

    Raises:
        XLIPError: no kind has this name or alias; the message lists the nearest ones.
    """
    known = _aliases()
    key = _key(name)
    if key in known:
        return known[key]
    near = sorted({known[match] for match in difflib.get_close_matches(key, known, n=3)}) or sorted(kinds())
    raise XLIPError(
        f"unknown kind {name!r}; did you mean {', '.join(near)}? All kinds and aliases: xlip/study/kinds.yaml"
    )


def named(text: str, own: Collection[str] | None = None) -> list[str]:
    """The kinds of a list separated by commas: ids of kinds that XLIP knows, other names as they are.

    Args:
        text: such as `Effusion, my_finding`.
        own: names of one's own that the data hold; None: whoever reads the data will tell.

    Raises:
        XLIPError: a name that is neither known nor one of `own`.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [canonical(name) if is_kind(name) or (own is not None and name not in own) else name for name in names]


def is_kind(name: str) -> bool:
    """Whether `canonical(name)` would succeed."""
    return _key(name) in _aliases()


@cache
def _aliases() -> dict[str, str]:
    table: dict[str, str] = {}
    for kind in kinds().values():
        for name in (kind.id, kind.name, *kind.aliases):
            taken = table.setdefault(_key(name), kind.id)
            if taken != kind.id:
                raise XLIPError(f"kinds.yaml: {name!r} names both {taken} and {kind.id}; keep it in one of them")
    return table


def _key(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()

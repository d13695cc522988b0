"""Which index lies at a place: files that are searched exactly, or a LanceDB table."""

from __future__ import annotations

from pathlib import Path

from xlip.errors import XLIPError
from xlip.search.index import Index
from xlip.search.store import Facts, Store

BACKENDS = EXACT, LANCE = ("exact", "lance")


def open_store(place: str) -> Store:
    """The index at a path or, for LanceDB, a URL.

    Raises:
        XLIPError: there is none, or it is damaged.
    """
    from xlip.search.lance import LanceIndex, is_lance

    return LanceIndex.open(place) if is_lance(place) else Index.open(place)


def create_store(place: str, facts: Facts, backend: str) -> Store:
    """A new index, or the one that is there, for more vectors of the same model.

    Raises:
        XLIPError: an index of another checkpoint or backend, or a place that cannot be one.
    """
    from xlip.search.lance import LanceIndex, is_lance

    if "://" in place and backend == EXACT:
        raise XLIPError(f"{place}: an exact index lies on this machine's disk; for a URL use --backend lance")
    if is_lance(place) != (backend == LANCE) and (is_lance(place) or (Path(place) / "index.json").exists()):
        raise XLIPError(f"{place}: an index of another backend is there; choose another --out")
    if backend == LANCE:
        return LanceIndex.create(place, facts)
    return Index.create(place, facts)

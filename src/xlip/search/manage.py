"""`xlip index`: what an index holds; rows taken out; files written together."""

from __future__ import annotations

from dataclasses import dataclass

from xlip.search.open import open_store
from xlip.search.store import Store


@dataclass(frozen=True)
class IndexConfig:
    """`xlip index`."""

    index: str
    """Folder (or URL) that `xlip embed` wrote."""
    remove: tuple[str, ...] | list[str] = ()
    """Ids of rows to take out of every answer; --compact takes them off the disk too."""
    compact: bool = False
    """Write small parts together and leave removed rows out for good."""
    ids: bool = False
    """List the ids."""


def manage(config: IndexConfig) -> tuple[Store, int]:
    """The index after removal and compaction, and how many rows were removed.

    Raises:
        XLIPError: no index, or another process changes it.
    """
    store = open_store(config.index)
    removed = store.remove(config.remove) if config.remove else 0
    if config.compact:
        store.compact()
    return store, removed

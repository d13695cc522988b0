"""Similar cases: an index of embeddings, as the service answers from it."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xlip.errors import XLIPError
from xlip.runtime.encoder import Array
from xlip.serve.answers import Case

REPORT = "report"
"""The column that is shown as a text of its own."""
SAMPLE = 20_000
"""Films of the index that scores are compared with, evenly spread over it."""


class Searchable(Protocol):
    """What is needed of an index."""

    columns: Sequence[str]

    def __len__(self) -> int:
        """Cases."""

    def nearest(self, queries: Array, top: int, where: str = "") -> Sequence[Sequence[Any]]:
        """For each of (q, E) the hits: id, score, columns."""

    def thumbnail(self, identifier: str) -> bytes | None:
        """A small picture."""


@dataclass(frozen=True)
class Cases:
    """An open index of the model's own vectors."""

    index: Searchable
    columns: tuple[str, ...]
    sample: Array
    """(n, E): the films that stand for all of the index."""

    @classmethod
    def open(cls, folder: str, identity: str) -> Cases:
        """The index of a folder.

        Raises:
            XLIPError: no index there, or one of another checkpoint.
        """
        from xlip.search import Index  # here: a service without an index does without what reads one

        index = Index.open(folder)
        if index.identity != identity:
            raise XLIPError(
                f"{folder}: its vectors are of the checkpoint {index.identity}, the model is {identity}; embed again"
            )
        return cls(index, tuple(index.columns), index.sample(SAMPLE))

    def __len__(self) -> int:
        return len(self.index)

    def like(self, vector: Array, top: int, where: str = "") -> list[Case]:
        """The `top` cases nearest to (E,) that meet a condition over the columns.

        Raises:
            XLIPError: `where` is no such condition.
        """
        hits = self.index.nearest(vector[None], top, where)[0]
        return [self._case(hit.id, float(hit.score), hit.columns) for hit in hits]

    def _case(self, identifier: str, score: float, columns: Mapping[str, Any]) -> Case:
        picture = self.index.thumbnail(identifier)
        shown = {name: _plain(value) for name, value in columns.items() if name != REPORT}
        report = columns.get(REPORT)
        return Case(
            id=identifier,
            similarity=score,
            columns=shown,
            report=str(report) if report else None,
            thumbnail=base64.b64encode(picture).decode("ascii") if picture else None,
        )


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it; None for what is no number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)

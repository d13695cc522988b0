"""Similar cases: an index of embeddings, as the service answers from it."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.runtime.encoder import Array, Encoder
from xlip.serve.answers import Case

if TYPE_CHECKING:
    from xlip.search.store import Store

REPORT = "report"
"""The column that is shown as a text of its own."""
SAMPLE = 1000
"""Films of the index that scores are compared with, evenly spread over it."""


@dataclass
class Cases:
    """An open index of the model's own vectors."""

    index: Store

    @classmethod
    def open(cls, folder: str, encoder: Encoder) -> Cases:
        """The index of a folder.

        Raises:
            XLIPError: no index there, or one of another checkpoint.
        """
        # Here: a service without an index does without the packages that read one, and starts sooner.
        try:
            from xlip.search.open import open_store
            from xlip.search.store import facts_of

            index = open_store(folder)
        except ImportError as error:
            raise XLIPError(
                f"serve: --index needs the package {error.name}; run `pip install 'xlip[search]'`"
            ) from error
        index.facts.check(facts_of(encoder), folder)
        return cls(index)

    @cached_property
    def columns(self) -> list[str]:
        """That a search may be narrowed by."""
        return [name for name in self.index.columns if name != REPORT]

    @cached_property
    def sample(self) -> Array:
        """(n, E): the films that stand for all of the index."""
        ids = self.index.ids()
        some = [ids[int(row)] for row in np.unique(np.linspace(0, len(ids) - 1, min(SAMPLE, len(ids))).round())]
        found = [vector for vector in map(self.index.vector, some) if vector is not None]
        return np.stack(found) if found else np.zeros((0, 1), np.float32)

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

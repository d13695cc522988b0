"""What any index is: vectors of one checkpoint with ids and columns, to which one may append and from which remove."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xlip.errors import XLIPError
from xlip.runtime.encoder import Array, Encoder

Half = np.ndarray[Any, np.dtype[np.float16]]
IMAGES, REPORTS = FINDABLE = ("images", "reports")
"""What can be searched for: by the vectors of images, or by those of reports."""
NO_IDENTITY = "in memory"


@dataclass(frozen=True, slots=True)
class Hit:
    """One row that was found."""

    row: int
    """Its place in the index; another one after a compaction."""
    id: str
    score: float
    """Product of its vector with the query: the cosine, for a query of length 1."""
    columns: Mapping[str, Any]
    """Column -> value; what is unknown is not in it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What all vectors of an index have in common."""

    identity: str
    """Of the checkpoint that made them."""
    width: int
    """E: numbers of a vector."""
    image_size: int
    preprocess: str
    model: str = ""
    """What the user called the model; relative to the folder of the index where it is a path."""

    def check(self, other: Facts, where: object) -> None:
        """Refuse vectors that lie in another space.

        Raises:
            XLIPError: the checkpoint, or the way to its pixels, is another one.
        """
        mine, theirs = self._space(), other._space()
        if mine != theirs:
            raise XLIPError(
                f"{where}: this index holds vectors of checkpoint {mine}, the model given is {theirs}; vectors of two "
                "checkpoints cannot be compared: name the model that made it, or embed into another folder"
            )

    def _space(self) -> str:
        return f"{self.identity} ({self.preprocess}/{self.image_size}, {self.width} numbers)"


def facts_of(encoder: Encoder, model: str = "") -> Facts:
    """The facts of what an encoder makes.

    Raises:
        XLIPError: a model without an identity, whose vectors could never be matched to it again.
    """
    if encoder.identity == NO_IDENTITY:
        raise XLIPError("this model is in memory alone: save it first, so that the index can name its weights")
    return Facts(encoder.identity, encoder.width, encoder.image_size, encoder.preprocess, model)


@dataclass(frozen=True)
class Records:
    """Rows to append; a vector of zeros stands for none."""

    ids: Sequence[str]
    images: Array | Half
    """(n, E), each L2-normalised or 0."""
    reports: Array | Half
    """(n, E), each L2-normalised or 0."""
    columns: Sequence[Mapping[str, Any]]
    """Of each row: column -> text or number."""
    thumbnails: Sequence[bytes]
    """Encoded pictures; b'' for none."""

    def check(self, width: int, where: object) -> None:
        """Refuse rows that do not fit together, or that no search could rank.

        Raises:
            XLIPError: shapes, lengths or values are not as described; or an id repeats.
        """
        count = len(self.ids)
        for name, vectors in ((IMAGES, self.images), (REPORTS, self.reports)):
            if vectors.shape != (count, width):
                raise XLIPError(f"{where}: expected {name} of shape {(count, width)}, got {vectors.shape}")
            lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
            wrong = np.flatnonzero(~((lengths == 0) | (np.abs(lengths - 1) < 0.01)))
            if len(wrong):
                row = int(wrong[0])
                raise XLIPError(
                    f"{where}: row {self.ids[row]!r}: expected a vector of length 1, got {lengths[row]:g}; "
                    "normalise it, or look why the model gives it"
                )
        if len(self.columns) != count or len(self.thumbnails) != count:
            raise XLIPError(f"{where}: expected columns and thumbnails of {count} rows")
        if len(set(self.ids)) != count:
            raise XLIPError(f"{where}: an id repeats among the rows to append")


class Store(Protocol):
    """An index, whatever holds it."""

    @property
    def facts(self) -> Facts:
        """What its vectors have in common."""

    @property
    def identity(self) -> str:
        """Of the checkpoint."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Column -> its type: text, whole or real."""

    def __len__(self) -> int:
        """Rows, without the removed ones."""

    def ids(self) -> list[str]:
        """Ids in the order of the rows, without the removed ones."""

    def append(self, records: Records) -> None:
        """Add rows, all or none.

        Raises:
            XLIPError: an id is there already, or a column holds another type.
        """

    def remove(self, ids: Iterable[str]) -> int:
        """Take rows out; returns how many were there. The disk keeps them until `compact`."""

    def compact(self) -> None:
        """Write small parts together and leave removed rows out for good; answers stay the same."""

    def nearest(
        self, queries: Array, top: int, where: str = "", find: str = IMAGES, without: Sequence[str] = ()
    ) -> list[list[Hit]]:
        """For each of the queries (q, E) the `top` rows with the greatest product, best first; ties by row.

        Raises:
            XLIPError: `where` is no filter over the columns, or `find` is none of `FINDABLE`.
        """

    def vector(self, id_: str, find: str = IMAGES) -> Array | None:
        """The stored vector (E,) of a row; None where it has none."""

    def thumbnail(self, id_: str) -> bytes | None:
        """The encoded picture of a row; None where there is none."""

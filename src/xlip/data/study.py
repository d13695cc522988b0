"""The one record (`Study`) and its one file format (Parquet): what every source writes and every stream reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError

if TYPE_CHECKING:
    import pyarrow as pa

PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
"""Label states. A kind that is missing from `Study.labels` is unknown."""

ENTITY_TYPES = ("finding", "anatomy", "location", "severity", "device", "procedure")
ASSERTIONS = ("present", "absent", "uncertain", "historical", "hypothetical")
SIDES = ("", "left", "right", "bilateral")
VIEWS = ("PA", "AP", "LATERAL", "")
ROWS_PER_GROUP = 256
SCHEMA_VERSION = "2"
"""2 added links, sides and the tagger; files of version 1 are still read."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A medical entity in a report: characters `start` to `end` (exclusive) of `Study.report`."""

    start: int
    end: int
    type: str
    """One of ENTITY_TYPES."""
    assertion: str
    """One of ASSERTIONS: what the report says of the entity, or of `kind` where an anatomy bears one ('heart size is
    normal': cardiomegaly is absent)."""
    kind: str | None = None
    locations: tuple[int, ...] = ()
    """Of a finding or device: where it is, as indices of entities of the same report (anatomy and location words)."""
    severities: tuple[int, ...] = ()
    """The severity and descriptor words about it, as indices."""
    side: str = ""
    """One of SIDES, as the linked location words say."""


@dataclass(frozen=True, slots=True)
class Study:
    """One image, one report, or both, of one patient, with what is known of its disease kinds."""

    study_id: str
    patient_id: str
    source: str
    image: bytes | None = None
    """Encoded 8-bit grayscale image (PNG or JPEG), or None for a report alone."""
    image_path: str = ""
    """Where the image came from, relative to the root of its source."""
    report: str | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    """Canonical kind -> PRESENT, ABSENT or UNCERTAIN; a missing kind is unknown."""
    entities: tuple[Entity, ...] = ()
    view: str = ""
    split: str = "train"
    tagger: str = ""
    """What found the entities, as `id@version`; empty where nobody looked, or where the source brought them."""


def schema() -> pa.Schema:
    """The Arrow schema of a Parquet file of studies; `image` decodes as an image feature in `datasets`."""
    import pyarrow as pa

    string, small = pa.string(), pa.int8()
    whole = pa.int32()
    entity = pa.struct(
        [
            ("start", whole),
            ("end", whole),
            ("type", string),
            ("assertion", string),
            ("kind", string),
            ("locations", pa.list_(whole)),
            ("severities", pa.list_(whole)),
            ("side", string),
        ]
    )
    columns = [
        ("study_id", string),
        ("patient_id", string),
        ("source", string),
        ("split", string),
        ("view", string),
        ("image", pa.struct([("bytes", pa.binary()), ("path", string)])),
        ("report", string),
        ("labels", pa.list_(pa.struct([("kind", string), ("state", small)]))),
        ("entities", pa.list_(entity)),
        ("tagger", string),
    ]
    return pa.schema(columns, metadata={"xlip_schema": SCHEMA_VERSION})


def to_row(study: Study) -> dict[str, Any]:
    """One study as a row of `schema()`."""
    return {
        "study_id": study.study_id,
        "patient_id": study.patient_id,
        "source": study.source,
        "split": study.split,
        "view": study.view,
        "image": None if study.image is None else {"bytes": study.image, "path": study.image_path},
        "report": study.report,
        "labels": [{"kind": kind, "state": state} for kind, state in sorted(study.labels.items())],
        "entities": [{name: getattr(entity, name) for name in Entity.__slots__} for entity in study.entities],
        "tagger": study.tagger,
    }


def from_row(row: Mapping[str, Any]) -> Study:
    """The study that `to_row` wrote."""
    image = row["image"] or {"bytes": None, "path": ""}
    return Study(
        study_id=row["study_id"],
        patient_id=row["patient_id"],
        source=row["source"],
        image=image["bytes"],
        image_path=image["path"] or "",
        report=row["report"],
        labels={item["kind"]: item["state"] for item in row["labels"] or ()},
        entities=tuple(entity_from_row(item) for item in row["entities"] or ()),
        tagger=row.get("tagger") or "",
        view=row["view"] or "",
        split=row["split"] or "train",
    )


def entity_from_row(item: Mapping[str, Any]) -> Entity:
    """The entity of a Parquet struct, of this version of the schema or of version 1."""
    return Entity(
        item["start"],
        item["end"],
        item["type"],
        item["assertion"],
        item["kind"],
        tuple(item.get("locations") or ()),
        tuple(item.get("severities") or ()),
        item.get("side") or "",
    )


def write_studies(studies: Iterable[Study], path: str | os.PathLike[str]) -> int:
    """Write studies to one Parquet file, atomically (a killed run leaves no file of that name).

    Returns the number of studies written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    written = 0
    try:
        with pq.ParquetWriter(partial, schema(), compression="zstd") as writer:
            for rows in _groups(map(to_row, studies)):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema()))
                written += len(rows)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return written


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def parquet_files(path: str | os.PathLike[str]) -> list[Path]:
    """The Parquet files at `path` (one file, or a folder that `prepare` wrote), sorted by name.

    Raises:
        XLIPError: nothing is there, or the folder holds no Parquet file.
    """
    root = Path(path)
    files = sorted(root.glob("*.parquet")) if root.is_dir() else [root]
    if not files or not files[0].exists():
        raise XLIPError(
            f"expected a Parquet file, or a folder of them, at {root}; found none: run `xlip prepare` first"
        )
    return files


def read_studies(path: str | os.PathLike[str], *, columns: list[str] | None = None) -> Iterator[Study]:
    """Stream the studies of a Parquet file or folder; memory stays bounded by one row group.

    `columns` leaves the others empty (say, without "image" to read labels fast).
    """
    import pyarrow.parquet as pq

    blank = dict.fromkeys(schema().names)
    for file in parquet_files(path):
        parquet = pq.ParquetFile(file)
        missing = [name for name in schema().names if name not in parquet.schema_arrow.names]
        if set(missing) - {"tagger"}:
            raise XLIPError(f"{file} lacks the columns {missing} of a study table; write it with `xlip prepare`")
        wanted = None if columns is None else [name for name in columns if name not in missing]
        for batch in parquet.iter_batches(ROWS_PER_GROUP, columns=wanted):
            for row in batch.to_pylist():
                yield from_row({**blank, **row})

"""The one file format of studies (Parquet): what every source writes and every stream reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xlip.errors import XLIPError
from xlip.files import is_local, open_path, reading, whole_file
from xlip.study.labels import from_file, to_file
from xlip.study.record import Box, Entity, Study

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 256
SCHEMA_VERSION = "3"
"""3 added `report_kinds` and `language`; 2 the others that `_later_columns` lists and the links and sides of entities.
Older files are read."""
PICTURES = ("image.bytes", "masks.list.element.png")
"""Parquet columns of bytes that are compressed already."""
DAMAGED = "copy or prepare it again"
"""What to do about a Parquet file that cannot be read."""
BYTES_PER_GROUP = 16 << 20
"""Images of one row group: bounds the memory of a writer and of a reader whatever the image size."""


def schema() -> pa.Schema:
    """The Arrow schema of a Parquet file of studies; `image` decodes as an image feature in `datasets`."""
    import pyarrow as pa

    string, whole = pa.string(), pa.int32()
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
        ("labels", _states()),
        ("entities", pa.list_(entity)),
        *_later_columns(),
    ]
    return pa.schema(columns, metadata={"xlip_schema": SCHEMA_VERSION})


def _states() -> pa.DataType:
    import pyarrow as pa

    return pa.list_(pa.struct([("kind", pa.string()), ("state", pa.int8())]))


def _later_columns() -> list[tuple[str, Any]]:
    """Columns that tables of schemas 1 and 2 lack; reading fills in the defaults."""
    import pyarrow as pa

    string, real = pa.string(), pa.float32()
    box = pa.struct([("kind", string), *((side, real) for side in ("x", "y", "width", "height"))])
    return [
        ("tagger", string),
        ("sections", pa.list_(pa.struct([("name", string), ("text", string)]))),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pixel_spacing", pa.list_(real)),
        ("sex", string),
        ("age", real),
        ("boxes", pa.list_(box)),
        ("masks", pa.list_(pa.struct([("kind", string), ("png", pa.binary())]))),
        ("tags", pa.list_(string)),
        ("report_kinds", _states()),
        ("language", string),
    ]


def to_row(study: Study) -> dict[str, Any]:
    """One study as a row of `schema()`."""
    return {name: value(study) for name, value in _values().items()}


def _values() -> dict[str, Callable[[Study], Any]]:
    """Name of a column -> what a study has there, in the order of `schema()`."""
    nested: dict[str, Callable[[Study], Any]] = {
        "image": lambda study: None if study.image is None else {"bytes": study.image, "path": study.image_path},
        "labels": lambda study: _state_rows(study.labels),
        "report_kinds": lambda study: None if study.report_kinds is None else _state_rows(study.report_kinds),
        "entities": lambda study: [
            {name: getattr(entity, name) for name in Entity.__slots__} for entity in study.entities
        ],
        "sections": lambda study: [{"name": name, "text": text} for name, text in study.sections.items()],
        "boxes": lambda study: [{name: getattr(box, name) for name in Box.__slots__} for box in study.boxes],
        "masks": lambda study: [{"kind": kind, "png": png} for kind, png in sorted(study.masks.items())],
    }
    return {name: nested.get(name) or attrgetter(name) for name in schema().names}


def _state_rows(states: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"kind": kind, "state": to_file(states[kind])} for kind in sorted(states)]


def _states_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {item["kind"]: from_file(item["state"]) for item in rows}


def from_row(row: Mapping[str, Any]) -> Study:
    """The study that `to_row` wrote."""
    image = row["image"] or {"bytes": None, "path": ""}
    return Study(
        study_id=row["study_id"],
        patient_id=row["patient_id"],
        source=row["source"],
        image=image["bytes"],
        image_path=image.get("path") or "",
        report=row["report"],
        labels=_states_of(row["labels"] or ()),
        entities=tuple(entity_from_row(item) for item in row["entities"] or ()),
        view=row["view"] or "",
        split=row["split"] or "train",
        **_later_fields(row),
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


def _later_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    spacing, read = row.get("pixel_spacing"), row.get("report_kinds")
    return {
        "tagger": row.get("tagger") or "",
        "sections": {item["name"]: item["text"] for item in row.get("sections") or ()},
        "width": row.get("width") or 0,
        "height": row.get("height") or 0,
        "pixel_spacing": (spacing[0], spacing[1]) if spacing else None,
        "sex": row.get("sex") or "",
        "age": row.get("age"),
        "boxes": tuple(Box(**item) for item in row.get("boxes") or ()),
        "masks": {item["kind"]: item["png"] for item in row.get("masks") or ()},
        "tags": tuple(row.get("tags") or ()),
        "report_kinds": None if read is None else _states_of(read),
        "language": row.get("language") or "",
    }


def write_studies(studies: Iterable[Study], path: str | os.PathLike[str]) -> int:
    """Write studies to one Parquet file, atomically (a killed run leaves no file of that name).

    Returns the number of studies written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as stream:
        return write_stream(studies, stream)


def write_stream(studies: Iterable[Study], stream: IO[bytes]) -> int:
    """Write studies as one Parquet file into an open binary stream, a row group at a time; returns their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    written, values = 0, _values()
    with pq.ParquetWriter(stream, schema(), **writer_options()) as writer:
        for group in _groups(studies):
            columns = [pa.array(map(values[field.name], group), field.type) for field in writer.schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))
            written += len(group)
    return written


def writer_options() -> dict[str, Any]:
    """How `pyarrow.parquet.ParquetWriter` writes studies."""
    packed = [path for field in schema() for path in _leaves(field.name, field.type)]
    # PNG and JPEG bytes do not shrink: looking for repeated ones and packing them again doubles the cost of writing.
    codecs = {path: "none" if path in PICTURES else "zstd" for path in packed}
    repeated = [path for path in packed if path not in PICTURES]
    # With a sum of every page: a bit that flips on a disk is a fault then, not another label.
    return {"compression": codecs, "use_dictionary": repeated, "write_page_checksum": True}


def _leaves(path: str, type_: pa.DataType) -> list[str]:
    """Names of the Parquet columns that an Arrow column is stored in."""
    import pyarrow as pa

    if pa.types.is_struct(type_):
        return [leaf for field in type_ for leaf in _leaves(f"{path}.{field.name}", field.type)]
    if pa.types.is_list(type_):
        return _leaves(f"{path}.list.element", type_.value_type)
    return [path]


def _groups(studies: Iterable[Study]) -> Iterator[list[Study]]:
    group: list[Study] = []
    size = 0
    for study in studies:
        group.append(study)
        size += len(study.image or b"")
        if len(group) == ROWS_PER_GROUP or size >= BYTES_PER_GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def parquet_files(path: str | os.PathLike[str]) -> list[Path]:
    """The Parquet files at `path` (one file, or a folder that `prepare` wrote; or the URL of one), sorted by name.

    Raises:
        XLIPError: nothing is there, the folder holds no Parquet file, or the storage does not answer.
    """
    root = open_path(path)
    with reading(root, "are its name and the access to its storage right?"):
        unfinished = (root / "journal").is_dir() and not (root / "stats.json").exists()
        files = sorted(root.glob("*.parquet")) if root.is_dir() else [root]
        found = bool(files) and files[0].exists()
    if unfinished:
        raise XLIPError(f"{root}: `xlip prepare` was not finished here; run the same command again to go on")
    if not found:
        raise XLIPError(
            f"expected a Parquet file, or a folder of them, at {root}; found none: run `xlip prepare` first"
        )
    return files


def is_study_table(path: str | os.PathLike[str]) -> bool:
    """Whether a Parquet file, or a folder of them, was written by `xlip prepare`."""
    root = Path(path)
    files = sorted(root.glob("*.parquet")) if root.is_dir() else [root]
    if not files or not _begins_as_parquet(files[0]):
        return False  # known without pyarrow, which a server may lack
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return (pq.read_schema(str(files[0])).metadata or {}).get(b"xlip_schema") is not None
    except (OSError, pa.ArrowException):
        return False


def _begins_as_parquet(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(4) == b"PAR1"
    except OSError:
        return False


def read_studies(path: str | os.PathLike[str], *, columns: list[str] | None = None) -> Iterator[Study]:
    """Stream the studies of a Parquet file or folder; memory stays bounded by one row group.

    `columns` leaves the others empty (say, without "image" to read labels fast).

    Raises:
        XLIPError: no Parquet file there, one that is damaged or may not be read, or one of other columns.
    """
    blank = dict.fromkeys(schema().names)
    required = set(schema().names) - {name for name, _ in _later_columns()}
    for file in parquet_files(path):
        parquet = open_parquet(file)
        missing = sorted(required - set(parquet.schema_arrow.names))
        if missing:
            raise XLIPError(f"{file} lacks the columns {missing} of a study table; write it with `xlip prepare`")
        there = parquet.schema_arrow.names
        wanted = None if columns is None else [name for name in columns if name in there]
        batches = parquet.iter_batches(ROWS_PER_GROUP, columns=wanted)
        while rows := _next_rows(file, batches):
            yield from (from_row({**blank, **row}) for row in rows)


def open_parquet(file: Path, metadata: Any = None) -> Any:
    """A `pyarrow.parquet.ParquetFile` whose pages are compared with their sums, where they have any.

    Args:
        file: a path, or an fsspec path of another storage, of which no more than what is asked for is read.
        metadata: `ParquetFile.metadata` of the same file, where it was read before.

    Raises:
        XLIPError: damaged, or may not be read.
    """
    import pyarrow.parquet as pq

    with reading(file, DAMAGED):
        if is_local(file):
            return pq.ParquetFile(str(file), metadata=metadata, page_checksum_verification=True)
        remote: Any = file
        # What `pre_buffer` joins to few requests is read once: a cache of fsspec's own would read on for nothing.
        stream = remote.fs.open(remote.path, "rb", cache_type="none")
        return pq.ParquetFile(stream, metadata=metadata, page_checksum_verification=True, pre_buffer=True)


def _next_rows(file: Path, batches: Iterator[Any]) -> list[dict[str, Any]]:
    """The rows of the next batch that has some; none at the end."""
    with reading(file, DAMAGED):
        return next((rows for batch in batches if (rows := batch.to_pylist())), [])

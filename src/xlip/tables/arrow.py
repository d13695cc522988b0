"""Parquet and Arrow files, and the folders of Hugging Face data sets, as rows of text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError
from xlip.tables.delimited import unique_names
from xlip.tables.encoding import as_text
from xlip.tables.row import Fault, Row, cell_text, checked_header

if TYPE_CHECKING:
    import pyarrow as pa

SPLIT = "split"
"""Column that the parts of a data set get where they have none."""
_BATCH = 256


def data_set_files(folder: Path) -> list[Path]:
    """The files of a data set that `datasets` saved, or of one of the hub's layout; [] where the folder is none."""
    if (folder / "dataset_dict.json").is_file():
        names = json.loads((folder / "dataset_dict.json").read_text("utf-8")).get("splits", [])
        return [file for name in names for file in data_set_files(folder / name)]
    if (folder / "state.json").is_file():
        state = json.loads((folder / "state.json").read_text("utf-8"))
        return [folder / item["filename"] for item in state.get("_data_files", [])]
    return sorted({*folder.glob("*.parquet"), *folder.glob("data/*.parquet")})


def read_arrow(path: Path, files: list[Path], required: tuple[str, ...], pictures: bool) -> Iterator[Row | Fault]:
    """Rows of the files, numbered through.

    Raises:
        XLIPError: a file is damaged, or a required column is missing.
    """
    import pyarrow as pa

    number = 0
    for file in files:
        try:
            for batch, names in _batches(file, required, path, pictures):
                split = "" if (len(files) == 1 and file == path) or SPLIT in batch.schema.names else _split(path, file)
                for cells, images in _rows(batch, names, pictures):
                    number += 1
                    yield Row(number, {**cells, SPLIT: split} if split else cells, images)
        except (pa.ArrowException, OSError) as error:
            raise XLIPError(f"{file}: not readable as Parquet or Arrow ({error}); copy or write it again") from error


def _batches(
    file: Path, required: tuple[str, ...], path: Path, pictures: bool
) -> Iterator[tuple[pa.RecordBatch, dict[str, list[str]]]]:
    """Batches of a file, with the names behind the numbers of its class columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file.open("rb") as stream:
        if stream.read(4) == b"PAR1":
            stream.seek(0)
            parquet = pq.ParquetFile(stream)
            schema = parquet.schema_arrow
            texts = {field.name for field in schema if _is_binary(field) and _holds_text(parquet, field.name)}
            wanted = [leaf for field in schema for leaf in _leaves(field, pictures or field.name in texts)]
            batches = parquet.iter_batches(_BATCH, columns=list(dict.fromkeys(wanted)))
        else:
            stream.seek(0)
            reader = _arrow_reader(pa, stream)
            schema = reader.schema
            batches = (part for whole in _each(reader) for part in _slices(whole))
        checked_header(path, [*schema.names, *(() if path == file else (SPLIT,))], required)
        names = _class_names(file, schema)
        for batch in batches:
            yield batch, names


def _arrow_reader(pa: Any, stream: Any) -> Any:
    start = stream.read(6)
    stream.seek(0)
    return pa.ipc.open_file(stream) if start == b"ARROW1" else pa.ipc.open_stream(stream)


def _each(reader: Any) -> Iterator[pa.RecordBatch]:
    if hasattr(reader, "num_record_batches"):
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from reader


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    yield from (batch.slice(start, _BATCH) for start in range(0, batch.num_rows, _BATCH))


def _leaves(field: pa.Field, pictures: bool) -> list[str]:
    """Parquet columns to read: the bytes of pictures only where they are asked for."""
    import pyarrow as pa

    if pictures:
        return [field.name]
    if pa.types.is_struct(field.type) and {"bytes", "path"} <= {inner.name for inner in field.type}:
        return [f"{field.name}.path"]
    return [] if _is_binary(field) else [field.name]


def _is_binary(field: pa.Field) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))


def _holds_text(parquet: Any, name: str) -> bool:
    """Whether a column of bytes holds texts: some programs write their strings so. Its first value tells."""
    for batch in parquet.iter_batches(_BATCH, columns=[name]):
        for value in batch.column(0):
            if value.is_valid and value.as_py():
                return _text_of(value.as_py()) is not None
    return False


def _text_of(value: bytes) -> str | None:
    """Bytes as the text that they are; None where they are none, as those of a picture."""
    if any(byte < 32 and byte not in b"\t\r\n\f\v" for byte in value[:64]):
        return None
    return as_text(value)


def _rows(
    batch: pa.RecordBatch, classes: dict[str, list[str]], pictures: bool
) -> Iterator[tuple[dict[str, str], dict[str, bytes]]]:
    names = unique_names(batch.schema.names)
    columns = {name: batch.column(place).to_pylist() for place, name in enumerate(names)}
    for values in zip(*columns.values(), strict=True):
        cells, images = {}, {}
        for name, value in zip(columns, values, strict=True):
            if isinstance(value, bytes) and (text := _text_of(value)) is not None:
                cells[name] = text
                continue
            data = value.get("bytes") if isinstance(value, dict) else value
            if pictures and isinstance(data, bytes):
                images[name] = data
            cells[name] = "" if isinstance(value, bytes) else cell_text(_named(value, classes.get(name)))
        yield cells, images


def _named(value: Any, names: list[str] | None) -> Any:
    """Numbers of a class column as the names of the classes."""
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if 0 <= value < len(names) else ""


def _class_names(file: Path, schema: pa.Schema) -> dict[str, list[str]]:
    """Column -> names of its classes, as `datasets` notes them in the file or beside it."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = (noted.get("info") or {}).get("features") or {}
        beside = file.parent / "dataset_info.json"
        if not features and beside.is_file():
            features = json.loads(beside.read_text("utf-8")).get("features") or {}
    except (ValueError, AttributeError):
        return {}
    inner = {name: item[0] if isinstance(item, list) and item else item for name, item in features.items()}
    inner = {name: item.get("feature", item) if isinstance(item, dict) else {} for name, item in inner.items()}
    return {name: item["names"] for name, item in inner.items() if isinstance(item, dict) and "names" in item}


def _split(path: Path, file: Path) -> str:
    """`train` of `train/data-00000-of-00001.arrow`, `data/train-00000-of-00002.parquet` or `train.parquet`."""
    named = re.match(r"([A-Za-z]+)(?:-\d+-of-\d+)?(?:-\w+)?\.parquet$", file.name)
    if named and named.group(1).lower() not in ("data", "part"):
        return named.group(1)
    return "" if file.parent == path else file.parent.name

"""`xlip embed`: the images of any source as vectors in an index; a killed run goes on where it stopped."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import check_target, is_local, open_path, reading, whole_text, writing
from xlip.images.any_form import gray
from xlip.images.files import encode
from xlip.images.gray import Gray
from xlip.images.square import fit
from xlip.processes import in_order
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.inputs import Input, images_of
from xlip.runtime.quality import judge
from xlip.search.manifest import NAME
from xlip.search.open import BACKENDS, create_store
from xlip.search.part import check_names
from xlip.search.store import Records, Store, facts_of
from xlip.sources.pseudonyms import Private

REFUSED = "refused.csv"
SHARD = 2048
"""Rows that count together: what a killed run makes again, at most."""
REPORT = "report"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EmbedConfig:
    """`xlip embed`."""

    model: str
    """Folder of a run, a saved or an exported model, a hub id, hf:NAME, or `phantom`, the model of the package."""
    data: str
    """A prepared set, a table (CSV, Excel, Parquet ...), a folder of images or DICOM files, or one image."""
    out: str
    """Folder of the index; one that is there is added to, and a run that was stopped goes on."""
    columns: str = "all"
    """What to keep of what is known of the images: names separated by commas, all, or none."""
    thumbnails: int = -1
    """Pixels of a side of the pictures that result pages show, 0 for none; default: as the model sees them, which maps
    over them need."""
    any_picture: bool = False
    """Also embed what is no frontal chest film (blank, inverted, lateral, something else); the unreadable stays out."""
    no_reports: bool = False
    """Leave the reports without vectors: they are then shown, and not searched."""
    image_column: str = ""
    """Table: column of image paths or images; default: path, image or the like."""
    report_column: str = ""
    """Table: column of report texts; default: report."""
    id_column: str = ""
    """Table: column of ids; default: the path of the image."""
    key: str = ""
    """DICOM: file with the key of the hashed ids; default: OUT.key, made where it is not there."""
    backend: str = "exact"
    """exact (files that any machine searches), or lance (approximate, for what outgrows a machine; extra `search`)."""
    batch_size: int = 64
    """Images that are encoded at once."""
    precision: str = "auto"
    """Numbers that images are encoded in: fp32, bf16 (cosines within 0.01 of fp32), or auto, the one of them that this
    machine is measured to multiply faster."""
    workers: int = 2
    """Processes that decode images; 0 = in this process."""


@dataclass
class Embedded:
    """What a run did."""

    added: int = 0
    known: int = 0
    """Images that the index held already."""
    refused: dict[str, str] = field(default_factory=dict)
    """Id or row -> why it is not in the index."""
    rows: int = 0
    """Of the index in all."""

    def reasons(self) -> Counter[str]:
        """Kind of fault -> how often."""
        return Counter(reason.partition(": ")[0] for reason in self.refused.values())


@dataclass(frozen=True)
class _Picture:
    """An input after its image was looked at."""

    id: str
    columns: dict[str, Any]
    square: Gray | None
    thumbnail: bytes
    reason: str


def embed(config: EmbedConfig, encoder: Encoder, progress: Progress | None = None) -> Embedded:
    """Look at every image of a source, encode those that are frontal films, and add them to an index.

    Images stream: memory holds a shard of `SHARD` rows whatever the number of images. A shard counts once it is whole
    on the disk; what is in the index already is not decoded again, so that the same command goes on after any stop and
    later adds what is new. `OUT/refused.csv` names what is kept out, and why; refused images are tried again.

    Args:
        config: see `EmbedConfig`.
        encoder: the model.
        progress: called with the number of inputs done, and their number in all (0: unknown).

    Raises:
        XLIPError: no such source, an index of another checkpoint, nothing usable, or no room.
    """
    _check(config)
    out = open_path(config.out)
    check_target(out, folder=True)
    known = not is_local(out) or (out / NAME).exists()
    store = create_store(config.out, facts_of(encoder, _model_name(config)), config.backend)
    made = Embedded(refused=_read_refused(out))
    run = _Run(config, encoder, store, made, out)
    try:
        run.embed(progress or (lambda done, total: None))
        made.rows = len(store)
        if not made.rows:
            first = next(iter(made.refused.values()), "")
            raise XLIPError(f"{config.data}: no image could be used ({len(made.refused)} refused; first: {first})")
    except (XLIPError, OSError):
        if not known and not len(store):  # an index of nothing would answer every search, with nothing
            (out / NAME).unlink(missing_ok=True)
        raise
    return made


def _check(config: EmbedConfig) -> None:
    if config.backend not in BACKENDS:
        raise XLIPError(f"backend: expected one of {', '.join(BACKENDS)}; got {config.backend!r}")
    if config.batch_size < 1 or config.workers < 0:
        raise XLIPError(f"expected batch_size >= 1 and workers >= 0; got {config.batch_size} and {config.workers}")
    if not -1 <= config.thumbnails <= 2048:
        raise XLIPError(f"thumbnails: expected 0 to 2048 pixels, or -1; got {config.thumbnails}")


@dataclass
class _Run:
    config: EmbedConfig
    encoder: Encoder
    store: Store
    made: Embedded
    out: Path
    names: dict[str, str] = field(default_factory=dict)
    """Column of the source -> of the index."""
    done: int = 0

    def embed(self, progress: Progress) -> None:
        total = count_of(self.config)
        fresh = in_order(self._look(), self._fresh(), self.config.workers)
        while shard := list(islice(self._good(fresh, progress, total), SHARD)):
            self._append(shard)
            _write_refused(self.out, self.made.refused)
        _write_refused(self.out, self.made.refused)
        if len(getattr(self.store, "parts", ())) > 1 or self.config.backend != "exact":
            self.store.compact()
        progress(self.done, self.done)

    def _look(self) -> Callable[[Input], _Picture]:
        side = self.encoder.image_size if self.config.thumbnails < 0 else self.config.thumbnails
        options = (self.encoder.image_size, self.encoder.preprocess, side, not self.config.any_picture)
        return partial(looked_at, options=options)

    def _fresh(self) -> Iterator[Input]:
        """The inputs that the index does not hold."""
        held = {_short(id_) for id_ in self.store.ids()}
        for one in self._inputs():
            self.done += 1
            short = _short(one.id)
            if short in held:
                self.made.known += 1
                continue
            held.add(short)
            yield one

    def _inputs(self) -> Iterator[Input]:
        config = self.config
        columns = {name: getattr(config, name) for name in ("image_column", "report_column", "id_column")}
        private = private_files(config)
        wanted = None if config.columns in ("all", "none") else _listed(config.columns)
        reports = not config.no_reports and (wanted is None or REPORT in wanted) and config.columns != "none"
        for one in images_of(config.data, self._refuse, private=private, reports=reports, **columns):
            kept = (
                one.columns if wanted is None else {name: one.columns[name] for name in wanted if name in one.columns}
            )
            yield replace(one, columns={} if config.columns == "none" else kept)

    def _refuse(self, row: str, reason: str) -> None:
        self.done += 1
        self.made.refused[row] = " ".join(reason.split())

    def _good(self, pictures: Iterator[_Picture], progress: Progress, total: int) -> Iterator[_Picture]:
        for one in pictures:
            progress(self.done, max(total, self.done))
            if one.reason:
                self.made.refused[one.id] = one.reason
            else:
                self.made.refused.pop(one.id, None)
                yield one

    def _append(self, shard: Sequence[_Picture]) -> None:
        images, reports = (np.zeros((len(shard), self.store.facts.width), np.float32) for _ in range(2))
        rows = [place for place, one in enumerate(shard) if one.square is not None]
        for start in range(0, len(rows), self.config.batch_size):
            batch = rows[start : start + self.config.batch_size]
            squares = [square for place in batch if (square := shard[place].square) is not None]
            images[batch] = self.encoder.encode_squares(np.stack(squares))
        if not self.config.no_reports:
            rows = [place for place, one in enumerate(shard) if str(one.columns.get(REPORT, "")).strip()]
            for start in range(0, len(rows), self.config.batch_size):
                batch = rows[start : start + self.config.batch_size]
                reports[batch] = self._texts([str(shard[place].columns[REPORT]) for place in batch])
        columns = [self._renamed(one.columns) for one in shard]
        ids, pictures = [one.id for one in shard], [one.thumbnail for one in shard]
        self.store.append(Records(ids, images, reports, columns, pictures))
        self.made.added += len(shard)

    def _texts(self, texts: list[str]) -> Array:
        """Vectors of reports; 0 for one that the model's vocabulary cannot represent."""
        try:
            return self.encoder.encode_texts(texts)
        except XLIPError:
            if len(texts) == 1:
                return np.zeros((1, self.store.facts.width), np.float32)
            return np.concatenate([self._texts([text]) for text in texts])

    def _renamed(self, columns: dict[str, Any]) -> dict[str, Any]:
        if new := [name for name in columns if name not in self.names]:
            self.names = check_names([*self.names, *new])
        return {self.names[name]: value for name, value in columns.items()}


def looked_at(one: Input, options: tuple[int, str, int, bool]) -> _Picture:
    """The square and the thumbnail of an input, or why it has none.

    Args:
        one: of `images_of`.
        options: side and way of the square, side of the thumbnail, and whether only frontal films may pass.
    """
    size, preprocess, side, gate = options
    columns = dict(one.columns)
    if one.image is None:
        return _Picture(one.id, columns, None, b"", "")
    try:
        pixels = gray(one.image)
        reason = judge(pixels, str(columns.get("view", ""))) if gate else ""
        if reason:
            return _Picture(one.id, {}, None, b"", reason)
        square = fit(pixels, size, preprocess)
        thumbnail = b"" if not side else encode(square if side == size else fit(pixels, side, preprocess))
    except XLIPError as error:
        return _Picture(one.id, {}, None, b"", _without_path(one, str(error)))
    return _Picture(one.id, columns, square, thumbnail, "")


def count_of(config: EmbedConfig) -> int:
    """About how many inputs a source has, cheaply; 0 where only reading it would tell."""
    import pyarrow.parquet as pq

    from xlip.study.parquet import is_study_table, parquet_files

    path = open_path(config.data)
    if is_study_table(path):
        return sum(pq.read_metadata(file).num_rows for file in parquet_files(path))
    if is_local(path) and path.is_dir() and not any(path.glob("*.parquet")):
        return sum(1 for file in path.rglob("*") if file.is_file())
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl") and path.is_file():
        with path.open("rb") as stream:
            return max(sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b"")) - 1, 0)
    return 0


def private_files(config: EmbedConfig) -> Private:
    """The key of hashed ids, and the list that leads back from them: beside the index, never in it."""
    beside = open_path(config.out)
    if not is_local(beside):
        return Private(Path(config.key) if config.key else None)
    beside = beside.resolve()
    key = Path(config.key) if config.key else beside.with_name(f"{beside.name}.key")
    return Private(key, beside.with_name(f"{beside.name}.lookup.csv"), make=not config.key)


def _model_name(config: EmbedConfig) -> str:
    """How `xlip search` finds the model again: a folder by its way from the index, anything else by its name."""
    model, out = Path(config.model), open_path(config.out)
    if not model.exists() or not is_local(out):
        return config.model
    try:
        return str(model.resolve().relative_to(out.resolve(), walk_up=True))  # type: ignore[call-arg]
    except TypeError:  # before Python 3.12
        import os

        return os.path.relpath(model.resolve(), out.resolve())


def _short(id_: str) -> int:
    """Eight bytes for an id, so that a set of them is small."""
    return int.from_bytes(hashlib.blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _listed(names: str) -> list[str]:
    return [name for part in names.split(",") if (name := part.strip())]


def _without_path(one: Input, reason: str) -> str:
    """What is wrong, without the path: a folder of DICOM files may be called like a patient."""
    said = reason.replace(f"{one.image}: ", "", 1) if isinstance(one.image, str | Path) else reason
    said = said.removeprefix("image bytes: ")
    if isinstance(one.image, str | Path):
        said = said.replace(str(one.image), "the file")
    return f"unreadable: {' '.join(said.split())}"


def _read_refused(out: Path) -> dict[str, str]:
    file = out / REFUSED
    if not file.is_file():
        return {}
    with reading(file), file.open(encoding="utf-8", newline="") as stream:
        return {row[0]: row[1] for row in csv.reader(stream) if len(row) == 2 and row != ["id", "reason"]}


def _write_refused(out: Path, refused: dict[str, str]) -> None:
    if not refused and not (out / REFUSED).exists():
        return
    with writing(out), whole_text(out / REFUSED) as stream:
        csv.writer(stream).writerows([("id", "reason"), *refused.items()])

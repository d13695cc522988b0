"""Files and folders that appear whole or not at all, whatever stops the process that writes them."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TextIO

from xlip.errors import XLIPError


def is_local(path: Path) -> bool:
    """Whether a path is on this machine's file system (fsspec paths of other protocols are not `Path`)."""
    return isinstance(path, Path)


def open_path(text: str | os.PathLike[str]) -> Path:
    """A path object for a local path or an fsspec URL (`s3://bucket/set`, `zip://set/t.csv::set.zip`, `zip://set.zip`).

    Raises:
        XLIPError: the URL is of no known kind, or its archive cannot be opened.
    """
    if "://" not in str(text):
        return Path(text)
    if not isinstance(text, str):
        return text  # type: ignore[return-value]
    from upath import UPath

    protocol, _, rest = text.partition("://")
    inner, chained, outer = rest.partition("::")
    try:
        if chained or protocol in ("zip", "tar"):
            root = _archive(protocol, outer if chained else rest)
            return root / inner if inner and chained else root
        made: Any = UPath(text)
    except (ImportError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise XLIPError(
            f"{text}: cannot open this URL ({error}); expected such as s3://bucket/set or zip://table.csv::set.zip"
        ) from error
    return made  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _archive(protocol: str, outer: str) -> Path:
    """The root of an archive, whose table of contents is read once in a process."""
    from upath import UPath

    root: Any = UPath(f"{protocol}://::{outer}")
    root.fs.ls("")  # a missing or damaged archive is a fault now, not at its first file
    return root  # type: ignore[no-any-return]


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream whose content takes the place of `path` at the end of the block; nothing is left if it fails.

    The content is on the disk before the name is: also a power cut leaves the old file or the new one. On an fsspec
    path of another protocol it is uploaded in one step at the end.
    """
    if not is_local(path):
        with tempfile.TemporaryFile() as stream:
            yield stream
            stream.seek(0)
            with path.open("wb") as target:
                shutil.copyfileobj(stream, target)
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file that is whole or not there."""
    with whole_file(path) as stream:
        stream.write(data)


@contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """The same as a stream of UTF-8 text, whose ends of lines are written as they are given (as `csv` needs it)."""
    with whole_file(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        try:
            yield text
        finally:
            text.detach()  # or it would close the stream before its content is on the disk


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is whole or not there.

    Raises:
        ValueError: NaN or infinity, which JSON does not know.
    """
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling that takes the place of `target` at the end of the block; nothing is left if it fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        take_place(partial, target)
    finally:
        if partial.exists():
            shutil.rmtree(partial)


def take_place(new: Path, target: Path) -> None:
    """Rename a local folder to `target`; a folder of that name goes afterwards, and comes back on failure."""
    old = target.with_name(f".{target.name}.old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder of files, on any file system; one that is not there is no fault."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    system: Any = folder
    if folder.exists():
        system.fs.rm(system.path, recursive=True)


@contextmanager
def writing(
    path: Path, advice: str = "make room, or choose another place", error: type[XLIPError] = XLIPError
) -> Iterator[None]:
    """Turns a failed write into a message that says what to do.

    Raises:
        XLIPError: (or `error`) the block raised an OSError.
    """
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault) or type(fault).__name__
        raise error(f"{path}: cannot write ({reason}); {advice}") from fault

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
from platform import node
from typing import IO, Any, TextIO
from uuid import uuid4

from xlip.errors import XLIPError


def cache_folder() -> Path | None:
    """`$XLIP_CACHE`, or `~/.cache/xlip`; None for a user without a home, as containers know some."""
    if place := os.environ.get("XLIP_CACHE"):
        return Path(place)
    try:
        return Path.home() / ".cache" / "xlip"
    except RuntimeError:
        return None


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
    partial = path.with_name(f".{path.name}.{node()}-{os.getpid()}.partial")  # machines may share a folder
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def meant_by(path: str) -> str:
    """The final path of what is written at `path`: for partial files and folders of this process, what they will
    replace.
    """
    parts = Path(path).parts
    for index, name in enumerate(parts):
        if name.startswith(".") and name.endswith(".partial"):
            stem = name[1:].removesuffix(".partial")
            own = f".{node()}-{os.getpid()}"
            stem = stem.removesuffix(own) if stem.endswith(own) else stem.rpartition(".")[0]
            return str(Path(*parts[:index], stem))
    return path


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
    partial = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
    partial.mkdir()
    try:
        yield partial
        obey_umask(partial)
        take_place(partial, target)
    finally:
        if partial.exists():
            shutil.rmtree(partial)


def obey_umask(folder: Path) -> None:
    """Give the files in a local folder the mode that its own mode implies: libraries write some as 0600, by way of
    temporary files, and colleagues could not read them.
    """
    mode = folder.stat().st_mode & 0o777
    for path in folder.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)


def sync_folder(folder: Path) -> None:
    """Return once the content of a local folder's files is on the disk."""
    for path in (*(file for file in folder.rglob("*") if file.is_file()), folder):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


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


def brought_back(target: Path) -> Path:
    """`target`, put back where a process died between the two renames of `take_place`."""
    old = target.with_name(f".{target.name}.old")
    if not target.exists() and old.exists():
        old.rename(target)
    return target


def remove_tree(folder: Path) -> None:
    """Remove a folder of files, on any file system; one that is not there is no fault."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    system: Any = folder
    if folder.exists():
        system.fs.rm(system.path, recursive=True)


def check_target(path: Path, *, folder: bool = False) -> None:
    """Refuse a local place that cannot be written, before the work whose result goes there.

    Raises:
        XLIPError: a file where a folder is to be (or the other way round), or no right to write.
    """
    if not is_local(path):
        return
    if path.exists() and path.is_dir() != folder:
        raise XLIPError(f"{path}: {'a file' if folder else 'a folder'} is there already; choose another --out")
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if (there != path.absolute() and not there.is_dir()) or not os.access(there, os.W_OK):
        raise XLIPError(f"{path}: cannot write ({there} is no folder, or may not be written); choose another --out")


def refuse_input(out: str | Path, *inputs: str) -> None:
    """Refuse an output that would take the place of what it is made from.

    Raises:
        XLIPError: the output is one of the inputs, or a file within one.
    """
    if not out or not is_local(open_path(str(out))):
        return
    target = Path(out).resolve()
    for one in (Path(given) for given in inputs if given and "://" not in given):
        within = target.exists() and target.is_file() and one.resolve() in target.parents
        if one.exists() and (target == one.resolve() or within):
            raise XLIPError(f"{out}: would write over the input {one}; choose another --out")


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


@contextmanager
def reading(path: object, advice: str = "copy or make it again", error: type[XLIPError] = XLIPError) -> Iterator[None]:
    """Turns whatever a library raises over a file that cannot be read into a message that says what to do.

    For blocks that do nothing but read: libraries for JSON, safetensors, Arrow, tokenizers and images share no base
    class of their faults, so every exception counts as one.

    Raises:
        XLIPError: (or `error`) the block raised anything else.
    """
    try:
        yield
    except XLIPError:
        raise
    except Exception as fault:
        said = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        reason = " ".join(said.split())[:300] or type(fault).__name__
        raise error(f"{path}: cannot be read ({reason}); {advice}") from fault

"""Row groups that were read, kept as files that every process of a run on a machine maps into its memory."""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from xlip.files import remove_tree

MOST_BYTES = 1 << 30
"""What the kept row groups of a run take on a machine, of all its processes together."""
MOST_MAPPED = 64
"""Row groups that a process keeps mapped: opening one takes as long as taking a row."""
SUFFIX = ".arrow"
logger = logging.getLogger(__name__)


class GroupCache:
    """A folder of row groups as Arrow files; the least recently used go first."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self._mapped: dict[Path, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Another process maps for itself."""
        return {**self.__dict__, "_mapped": {}}

    def batch(self, name: str, read: Callable[[], Any]) -> Any:
        """The rows of a group as a `pyarrow.RecordBatch`.

        Args:
            name: of the group, by which every process knows it.
            read: gives its rows as a `pyarrow.Table`, where no process has read them yet.
        """
        file = self.folder / f"{name}{SUFFIX}"
        if (found := self._map(file)) is not None:
            return found
        made: list[Any] = []
        try:
            with self._alone(name):
                if (found := self._map(file)) is not None:
                    return found
                made.append(_one_batch(read()))
                _write(made[0], file)
                self._make_room()
        except OSError as error:
            _say_once(f"{self.folder}: {error.strerror or error}: what was read of the data is not kept there")
        return made[0] if made else _one_batch(read())

    def holds(self, name: str) -> bool:
        """Whether a group need not be read."""
        return (self.folder / f"{name}{SUFFIX}").exists()

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """One process reads a group; the others wait for it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self.folder / f"{name}.lock"
        with place.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                place.unlink(missing_ok=True)  # who waits for it finds the group

    def _map(self, file: Path) -> Any:
        """The rows in a file, None where it is not there."""
        try:
            os.utime(file)  # the last use
        except FileNotFoundError:
            self._mapped.pop(file, None)
            return None
        if (found := self._mapped.get(file)) is None:
            with suppress(FileNotFoundError):  # gone since
                found = self._mapped[file] = _mapped(file)
            for oldest in list(self._mapped)[:-MOST_MAPPED]:
                self._mapped.pop(oldest, None)  # threads map side by side
        return found

    def _make_room(self) -> None:
        for file in [one for one in list(self._mapped) if not one.exists()]:
            self._mapped.pop(file, None)  # what is mapped takes room also when its file is gone
        kept = []
        for entry in os.scandir(self.folder):
            with suppress(FileNotFoundError):  # another process makes room as well
                if entry.name.endswith(SUFFIX):
                    found = entry.stat()
                    kept.append((found.st_mtime_ns, found.st_size, entry.path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.most_bytes:
                return
            Path(path).unlink(missing_ok=True)  # who has it mapped still reads it
            total -= size


@cache
def run_cache() -> GroupCache:
    """The cache of this run, below the folder for temporary files; it goes with the process.

    Processes that one launcher started on this machine share it. It is readable by this user alone: it holds images.
    """
    owner = os.getppid() if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1 else os.getpid()
    start = f"xlip-{os.getuid()}-"
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{start}*"):
        if (process := left.name.removeprefix(start)).isdigit() and not _lives(int(process)):
            remove_tree(left)  # of a run that was killed
    folder = place / f"{start}{owner}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            folder = Path(tempfile.mkdtemp(prefix="xlip-"))  # somebody else's
    atexit.register(remove_tree, folder)
    return GroupCache(folder)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 asks, and stops nothing
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is another user's
    return True


def _mapped(file: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        # Not a file of batches: Arrow opens those with threads of its own, which takes as long as all the rest.
        return pa.ipc.open_stream(source).read_next_batch()


def _write(batch: Any, file: Path) -> None:
    import pyarrow as pa

    partial = file.with_suffix(f".{os.getpid()}.partial")
    try:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _one_batch(table: Any) -> Any:
    return table.combine_chunks().to_batches()[0]


@cache
def _say_once(words: str) -> None:
    logger.warning(words)

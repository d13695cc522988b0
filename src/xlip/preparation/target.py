"""Where `prepare` writes: beside the target and moved there at the end, or into it (URLs, several machines)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from xlip.errors import XLIPError
from xlip.files import is_local, remove_tree, take_place
from xlip.preparation.part import JOURNAL, VERSION, InterruptedRunError, write_final
from xlip.preparation.plan import Plan

PLAN = "plan.json"
STATS = "stats.json"


@dataclass(frozen=True)
class Target:
    """A folder to fill."""

    out: Path
    work: Path
    """`out` itself, or its sibling that takes its place when everything is there."""

    @classmethod
    def at(cls, out: Path, *, shared: bool) -> Target:
        """The target for an output path; `shared` when several machines write there together."""
        direct = shared or not is_local(out)
        return cls(out, out if direct else out.with_name(f".{out.name}.partial"))

    @property
    def direct(self) -> bool:
        """Whether parts are written where they stay."""
        return self.out == self.work

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[None]:
        """Ready to write parts of this plan: what an earlier run of the same plan finished is still there.

        Raises:
            XLIPError: the target holds something else, cannot be written, or another run is at it.
        """
        self._refuse_foreign()
        try:
            (self.work / JOURNAL).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InterruptedRunError(
                f"{self.out}: cannot write ({error.strerror or error}); choose another --out"
            ) from error
        lock = self._lock()
        try:
            self._start(plan)
            if not self.direct:  # of a shared target, other machines may be writing them now
                _discard_partials(self.work)
            yield
        finally:
            if lock:
                lock.close()

    def finished_kept(self, name: str, key: str) -> int | None:
        """Studies kept in a part that is already there, as its record says; None where it has to be made (again).

        Args:
            name: of the part.
            key: digest of what goes into it (`Unit.key`): one that another state of the source left is none.
        """
        journal = self.work / JOURNAL / f"{name}.json"
        try:
            entry = json.loads(journal.read_bytes())
            same = entry["key"] == key and entry["version"] == VERSION
            done = same and (self.work / f"{name}.parquet").stat().st_size == entry["bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return int(entry["kept"]) if done else None

    def journals(self) -> list[Path]:
        """The journal entries, in the order of the parts."""
        return sorted((self.work / JOURNAL).glob("part-*.json"), key=lambda path: path.name)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Held by one of the runs that share a target while it finishes it; False where another one has done so."""
        if not self.direct or not is_local(self.work):
            yield True
            return
        import fcntl

        with (self.work / ".finishing").open("wb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield not (self.out / STATS).exists()
            finally:
                (self.work / ".finishing").unlink(missing_ok=True)

    def finish(self) -> None:
        """Move everything into place, then remove the journal, which is needed until then and harmless afterwards.

        `STATS` says that a folder is whole, whether or not a journal still stands in it.
        """
        if not self.direct:
            (self.work / ".lock").unlink(missing_ok=True)
            take_place(self.work, self.out)
        else:
            _discard_partials(self.out)
        remove_tree(self.out / JOURNAL)
        (self.out / PLAN).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what was written, where it came to nothing."""
        if not self.direct:
            remove_tree(self.work)
            return
        for file in self.work.glob("part-*.parquet"):
            file.unlink()
        remove_tree(self.work / JOURNAL)
        for name in (PLAN, "quarantine.csv", "warnings.csv", "conflicts.csv"):
            (self.work / name).unlink(missing_ok=True)

    def _refuse_foreign(self) -> None:
        out = self.out
        ours = (out / STATS).exists() or (out / PLAN).exists() or (out / JOURNAL).exists()
        if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
            raise XLIPError(f"{out} exists and was not written by `xlip prepare`; choose another --out")
        if self.direct and (out / STATS).exists():
            raise XLIPError(f"{out} already holds a prepared set; choose another --out, or remove it first")

    def _lock(self) -> IO[bytes] | None:
        """Held while a local run lasts, and released by the system when it is killed."""
        if self.direct:
            return None
        import fcntl

        handle = (self.work / ".lock").open("wb")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.close()
            raise XLIPError(f"{self.out}: another `xlip prepare` is writing there; wait for it, or stop it") from error
        return handle

    def _start(self, plan: Plan) -> None:
        """Clear away what another plan left; keep what this one did."""
        note = self.work / PLAN
        if note.exists() and _key(note) == plan.key:
            return
        if self.direct and note.exists() and _key(note):
            raise XLIPError(
                f"{self.out} holds an unfinished set with other settings or another source; remove it, or choose "
                "another --out"
            )
        for file in list(self.work.iterdir()) if not self.direct else ():  # others may have begun there just now
            if file.name == JOURNAL:
                remove_tree(file)
            elif file.name != ".lock":
                file.unlink()
        (self.work / JOURNAL).mkdir(exist_ok=True)
        write_final(note, json.dumps({"key": plan.key, "parts": plan.parts, "studies": plan.studies}).encode())


def _discard_partials(folder: Path) -> None:
    """Remove half-written files that killed runs left."""
    if is_local(folder):
        for file in (*folder.glob(".*.partial"), *(folder / JOURNAL).glob(".*.partial")):
            file.unlink(missing_ok=True)


def _key(note: Path) -> str:
    try:
        return str(json.loads(note.read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""

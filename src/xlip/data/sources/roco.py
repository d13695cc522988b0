"""ROCO captions (Pelka et al. 2018): figure captions of publications, as reports alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.data.report import clean
from xlip.data.sources.base import Candidate, Dropped
from xlip.data.study import Study
from xlip.errors import XLIPError


def studies(root: Path) -> Iterator[Candidate | Dropped]:
    """Lines `ID<tab>caption` of every `captions.txt` under `root` (radiology folders)."""
    tables = sorted(root.glob("**/radiology/captions.txt"))
    if not tables:
        raise XLIPError(f"{root}: expected **/radiology/captions.txt, found none")
    for table in tables:
        for line, text in enumerate(table.read_text("utf-8").splitlines(), 1):
            id_, _, caption = text.partition("\t")
            report = clean(caption)
            where = f"{table.relative_to(root)}:{line}"
            if report is None:
                yield Dropped(where, "empty caption")
            else:
                yield Candidate(Study(f"roco/{id_.strip()}", f"roco/{id_.strip()}", "roco", report=report))

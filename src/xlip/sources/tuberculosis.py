"""Shenzhen and Montgomery County sets (Jaeger et al. 2014): tuberculosis or not, with a short clinical reading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xlip.errors import XLIPError
from xlip.reports.sections import clean
from xlip.sources.cells import sex_of, years
from xlip.sources.source import Candidate, Dropped, Row, relative, text_of
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

SETS = {"CHNCXR": "shenzhen", "MCUCXR": "montgomery"}
_SEX = re.compile(r"(?i)(?:patient's sex:\s*)?\b(male|female|[mf])\b")
_AGE = re.compile(r"(?i)(\d+\s*(?:yrs?|y|years?|months?|m|days?|d)\b)")
_HEAD = re.compile(r"(?im)^\s*(?:patient's (?:sex|age):.*|(?:fe)?male\b.*)$")


def studies(root: Path) -> Iterator[Row]:
    """Images `{CHNCXR,MCUCXR}_0001_{0,1}.png` of any `CXR_png` folder under `root`; 1 is tuberculosis.

    The reading in `ClinicalReadings/` of the same name is the report; 'normal' alone makes No_Finding present.
    """
    files = sorted({*root.glob("CXR_png/*.png"), *root.glob("*/CXR_png/*.png")})
    if not files:
        raise XLIPError(f"{root}: expected CXR_png/ with CHNCXR_*.png or MCUCXR_*.png, found none")
    for file in files:
        match = re.fullmatch(r"(CHNCXR|MCUCXR)_(\d+)_([01])", file.stem)
        if match is None:
            yield Dropped(relative(file, root), "the name is not CHNCXR_number_class or MCUCXR_number_class")
            continue
        yield Candidate(_study(root, file, SETS[match.group(1)], PRESENT if match.group(3) == "1" else ABSENT), file)


def _study(root: Path, file: Path, source: str, tuberculosis: int) -> Study:
    reading = file.parent.parent / "ClinicalReadings" / f"{file.stem}.txt"
    text = text_of(reading, "replace") if reading.is_file() else ""
    sex, age = _SEX.search(text), _AGE.search(text)
    report = clean(_HEAD.sub("", text))
    known = {"Tuberculosis": tuberculosis}
    if tuberculosis:
        known[NO_FINDING] = ABSENT
    elif report and report.strip(" .").lower() == "normal":
        known[NO_FINDING] = PRESENT
    return Study(
        f"{source}/{file.stem}",
        f"{source}/{file.stem}",
        source,
        image_path=relative(file, root),
        report=report,
        labels=known,
        sex=sex_of(sex.group(1)) if sex else "",
        age=years(age.group(1)) if age else None,
    )

"""What damage does to an archive is as if it were clean, or counted and named; nothing is silent, and nothing leaks."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bad_archives import DAMAGES, Archive, Exam, clean, damaged, readable
from xlip.errors import XLIPError
from xlip.images.files import decode
from xlip.preparation.run import prepare
from xlip.study.parquet import read_studies
from xlip.study.record import Study

KEY = "5a" * 32
COMBINED = 2000
LINES = ("reports.csv:", "Brzeczek_MRN4410278.csv:")
EVERYWHERE = "de-identified"
"""What is noticed of each report, for each names its patient."""


@dataclass
class Run:
    """The outputs of one preparation."""

    archive: Archive
    out: Path
    studies: dict[str, Study]
    named: set[str]
    """Rows of quarantine.csv and warnings.csv."""
    paths: dict[str, str]
    """Row or study id -> path of the file below the root."""
    said: str


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))[1:]


def run(archive: Archive, folder: Path, **options: Any) -> Run:
    (folder / "key").write_text(KEY)
    out = folder / "out"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        settings = {"key": str(folder / "key"), **archive.options, **options}
        prepare("dicom", archive.root, out, workers=0, holdout=0.5, options=settings)
    studies = {study.study_id: study for study in read_studies(out)}
    told = [row for name in ("quarantine.csv", "warnings.csv") for row in rows(out / name)]
    named = {row[0] for row in told if not row[-1].startswith(EVERYWHERE)}
    paths = {}
    for kind, pseudonym, value in rows(folder / "out.lookup.csv"):
        if kind in ("file", "image"):
            paths[pseudonym if kind == "file" else f"dicom/{pseudonym}"] = value
    return Run(archive, out, studies, named, paths, said.getvalue())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whole")
    return run(clean(folder), folder)


def files_of(root: Path) -> set[str]:
    """Every file below a root, links followed, each real folder once."""
    found, seen = set(), set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found |= {(Path(folder) / name).relative_to(root).as_posix() for name in names}
    return found


def silences(made: Run, whole: Run) -> list[str]:
    """What went wrong without a word."""
    kept = {made.paths[id_] for id_ in made.studies}
    spoken = {made.paths.get(row, row) for row in made.named}
    inside = (
        made.archive.table.relative_to(made.archive.root).as_posix()
        if made.archive.table.is_relative_to(made.archive.root)
        else ""
    )
    found = [f"file {path}" for path in files_of(made.archive.root) - kept - spoken - {inside}]
    for exam in made.archive.exams:
        path = exam.files[0].relative_to(made.archive.root).as_posix()
        before = next(study for id_, study in whole.studies.items() if whole.paths[id_] in original(exam, whole))
        now = next((study for id_, study in made.studies.items() if made.paths[id_] == path), None)
        same = exchanged(exam, now, made.archive)
        if path not in spoken and (now is None or not alike(before, now, report=not same)):
            found.append(f"study of {path}: {before[:1]} and {now and now[:1]} differ")
    reports = " ".join(study.report or "" for study in made.studies.values())
    spoken_lines = {row.rpartition(":")[2] for row in made.named if row.startswith(LINES)}
    for line, row in made.archive.lines():
        code = code_of(row["ReportText"])
        if str(line) not in spoken_lines and (not code or f"Code {code}." not in reports):
            found.append(f"report in line {line}")
    return found


def code_of(report: str) -> str:
    """What tells a report from all others."""
    return report.partition("Code ")[2].partition(".")[0]


def exchanged(exam: Exam, now: Study | None, archive: Archive) -> bool:
    """Whether the archive itself has another report in the place of the examination's, which the study got."""
    texts = [row["ReportText"] for row in archive.rows() if row["AccessionNumber"].strip().upper() == exam.accession]
    got = code_of((now and now.report) or "")
    return exam.report not in texts and any(got and got == code_of(text) for text in texts)


def original(exam: Exam, whole: Run) -> set[str]:
    twin = whole.archive.exams[exam.number]
    return {file.relative_to(whole.archive.root).as_posix() for file in twin.files}


def alike(before: Study, now: Study, *, report: bool = True) -> bool:
    """Whether a study came out as from the clean archive, its report too where it is asked for."""
    fields = ("patient_id", "view", "sex", "age", *(("report",) if report else ()))
    same = all(getattr(before, name) == getattr(now, name) for name in fields)
    assert before.image
    assert now.image
    first, second = decode(before.image), decode(now.image)
    close = first.shape == second.shape and np.abs(first.astype(int) - second).mean() < 8
    return same and close and set(before.tags) == set(now.tags) and before.split == now.split


def leaks(made: Run) -> list[str]:
    """Identifiers in any output."""
    texts = [*readable(made.out), ("printed", made.said)]
    return [
        f"{secret} in {name}"
        for name, text in texts
        for secret in made.archive.secrets
        if secret.lower() in text.lower()
    ]


def two_sided(made: Run) -> list[str]:
    """People with studies on both sides, of whom no file is named."""
    sides = defaultdict(set)
    spoken = {made.paths.get(row, row) for row in made.named}
    for exam in made.archive.exams:
        path = exam.files[0].relative_to(made.archive.root).as_posix()
        for id_, study in made.studies.items():
            if made.paths[id_] == path and path not in spoken:
                sides[exam.person].add(study.split)
    return [person[0] for person, splits in sides.items() if len(splits) > 1]


def test_a_clean_archive_is_whole_silent_and_anonymous(whole: Run) -> None:
    assert len(whole.studies) == len(whole.archive.exams) == 9
    assert all(study.report and study.image for study in whole.studies.values())
    told = [row[-1] for name in ("quarantine.csv", "warnings.csv") for row in rows(whole.out / name)]
    assert [reason for reason in told if not reason.startswith(EVERYWHERE)] == [
        "view is lateral: not known to be frontal"
    ] * 3
    assert {study.split for study in whole.studies.values()} == {"train", "test"}
    assert len({study.patient_id for study in whole.studies.values()}) == 6
    assert not (leaks(whole) + two_sided(whole) + silences(whole, whole))


def test_there_are_at_least_25_damages() -> None:
    assert len(DAMAGES) >= 25


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_as_if_clean_or_counted_and_named(name: str, tmp_path: Path, whole: Run) -> None:
    made = run(damaged(tmp_path, (name,)), tmp_path)
    assert not (silences(made, whole) + leaks(made) + two_sided(made))


AS_IF_CLEAN = (
    *("named_by_uid", "named_by_uid_with_letters", "without_suffix", "suffix_ima", "suffix_img", "suffix_txt"),
    *("hidden_file", "linked_folder", "without_preamble", "patient_in_other_case_and_space", "implicit_syntax"),
    *("accessions_with_spaces", "table_inside_the_tree", "table_with_semicolons", "table_with_tabs_in_utf16"),
    *("root_named_after_a_patient", "table_named_after_a_patient", "names_in_other_elements"),
)


@pytest.mark.parametrize("name", AS_IF_CLEAN)
def test_what_only_looks_odd_changes_nothing(name: str, tmp_path: Path, whole: Run) -> None:
    made = run(damaged(tmp_path, (name,)), tmp_path)
    assert made.studies.keys() == whole.studies.keys()
    assert all(alike(whole.studies[id_], study) for id_, study in made.studies.items())
    assert len(made.named) == 3


def combination(number: int) -> tuple[str, ...]:
    rng = random.Random(number)
    return tuple(rng.sample(sorted(DAMAGES), rng.randint(2, 6)))


def check_combination(number: int, folder: Path, whole: Run) -> None:
    names = combination(number)
    try:
        made = run(damaged(folder, names, 0), folder)
    except XLIPError as error:
        pytest.fail(f"{number} {names}: {error}")
    assert not (silences(made, whole) + leaks(made) + two_sided(made)), (number, names)


@pytest.mark.parametrize("number", range(8))
def test_damages_together_are_not_silent(number: int, tmp_path: Path, whole: Run) -> None:
    check_combination(number, tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8, COMBINED + 8))
def test_any_damages_together_are_not_silent(number: int, tmp_path: Path, whole: Run) -> None:
    check_combination(number, tmp_path, whole)

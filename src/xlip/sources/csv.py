"""Any table of image paths, report texts and label columns: how users bring their own archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xlip.errors import XLIPError
from xlip.reports.sections import clean
from xlip.sources.cells import has_failed, identifier, said
from xlip.sources.hiding import Hiding
from xlip.sources.labels import parse_values
from xlip.sources.pseudonyms import Private, Pseudonyms, lookup
from xlip.sources.source import Candidate, Dropped, Noticed
from xlip.sources.source import Row as Made
from xlip.sources.table_columns import Columns, header_fields
from xlip.sources.table_paths import Found, find_images
from xlip.sources.table_survey import Reader, Survey, survey_of
from xlip.sources.views import FRONTAL, projection
from xlip.study.kinds import NO_FINDING
from xlip.study.kinds import kinds as known_kinds
from xlip.study.labels import ABSENT, PRESENT, LabelState, stronger
from xlip.study.record import Study
from xlip.tables.arrow import SPLIT
from xlip.tables.read import read_rows
from xlip.tables.row import Fault, Row

VIEWS = ("all", "frontal")


def studies(
    root: Path,
    private: Private | None = None,
    image_column: str = "",
    report_column: str = "",
    patient_column: str = "",
    id_column: str = "",
    split_column: str = "",
    view_column: str = "",
    sex_column: str = "",
    age_column: str = "",
    kinds: str = "",
    labels_column: str = "",
    state_column: str = "",
    values: str = "",
    encoding: str = "",
    sheet: str = "",
    views: str = "all",
    source: str = "csv",
) -> Iterator[Made]:
    """Rows of a table `root` (see `xlip.tables.read`); image paths are relative to its folder.

    Several rows of one image, or of one id and image, are one study: of each kind the strongest of what columns and
    rows say counts (present, uncertain, absent, unknown). Rows of one image with different reports stay studies of
    their own, with the same labels. Of several paths in a cell each is a study. What is guessed is noticed.

    Args:
        private: key of hashes in the place of ids and paths, as in `dicom`; None: they stay as the table has them.
        root: the table: CSV of any delimiter, Excel, Parquet, JSON lines, or the folder of a Hugging Face data set.
        image_column: holds paths, or the images themselves (Parquet); empty: the table has no images.
        report_column: holds texts; empty: the table has no reports.
        patient_column: holds patient ids; without one every row is a patient of its own, and splits may leak.
        id_column: holds unique study ids; default: the line number.
        split_column: holds `train`, `val` or `test`; default: that of a data set folder, else all `train`.
        view_column: holds PA, AP, LATERAL or words for them in one of several languages (`xlip.sources.views`).
        sex_column: holds F or M, or a word for it in one of several languages.
        age_column: holds years (`57`, `057Y`), or another unit with its name (`18 months`).
        kinds: label columns, separated by commas, also of one's own; default: every column that names a kind.
        labels_column: holds kinds (`A|B`, `A;B`, `A, B`) that are present; default: one called like `Finding Labels`.
        state_column: what the row says of the kinds in `labels_column` (1, 0, -1 ...).
        values: meaning of label cells, such as `0.7=present,maybe=uncertain`.
        encoding: of a text file; default: found.
        sheet: of a workbook; default: the first with the columns.
        views: all, or frontal: rows whose view is not known to be frontal are dropped.
        source: name stored with every study.
    """
    _check(root, views, view_column, image_column, report_column)
    first = _first_row(root, options := {"encoding": encoding, "sheet": sheet})
    split_column = split_column or (SPLIT if root.is_dir() and SPLIT in first.cells else "")
    columns = Columns(
        *(image_column, report_column, patient_column, id_column, split_column, view_column),
        *(sex_column, age_column, labels_column, state_column),
    )
    reader = Reader(root, columns, kinds, source, options, image_column in first.pictures)
    with lookup(private.lookup if private else None) as names:
        hide = Hiding(Pseudonyms(private), names) if private else None
        for row in _rows(reader, parse_values(values), frontal=views == "frontal"):
            yield hide(row) if hide else row


def _check(root: Path, views: str, view_column: str, image_column: str, report_column: str) -> None:
    if views not in VIEWS:
        raise XLIPError(f"views: expected one of {', '.join(VIEWS)}; got {views!r}")
    if views == "frontal" and not view_column:
        raise XLIPError("views: frontal needs the column that says the view; name it by view_column")
    if not image_column and not report_column:
        raise XLIPError(f"{root}: name at least one of image_column and report_column")


def _rows(reader: Reader, values: Mapping[str, LabelState | None], *, frontal: bool) -> Iterator[Made]:
    survey = survey_of(reader, values)
    joined = _joined(reader, survey) if len(survey.repeated) else {}
    yield from survey.notices
    for row in reader.rows(pictures=True):
        if isinstance(row, Fault):
            yield reader.fault(row)
        else:
            yield from _studies_of(row, reader, survey, joined, frontal=frontal)


def _first_row(root: Path, options: Mapping[str, str]) -> Row:
    """The first row that could be read; one without cells where there is none."""
    rows = read_rows(root, pictures=True, encoding=options["encoding"], sheet=options["sheet"])
    return next((row for row in rows if isinstance(row, Row)), Row(0, {}))


@dataclass
class _Joined:
    """What the rows of one study say together."""

    lines: list[int]
    labels: dict[str, LabelState]
    report: str
    patient: str
    contradicted: set[str] = field(default_factory=set)
    patients: int = 1
    reports: set[int] = field(default_factory=set)
    """Hashes of the different reports."""


def _joined(reader: Reader, survey: Survey) -> dict[str, _Joined]:
    """Key -> what its rows say, for the keys that are repeated; rows whose labels are not understood stay out."""
    found: dict[str, _Joined] = {}
    for row in reader.rows():
        if isinstance(row, Fault) or hash(key := reader.key(row)) not in survey.repeated:
            continue
        try:
            labels = survey.labels.labels(row.cells)
        except XLIPError:
            continue
        report, patient = said(row.cells.get(reader.columns.report)), identifier(row.cells.get(reader.columns.patient))
        group = found.setdefault(key, _Joined([], {}, report, patient))
        group.lines.append(row.line)
        group.patients += bool(patient and group.patient and patient != group.patient)
        group.report, group.patient = group.report or report, group.patient or patient
        if report:
            group.reports.add(hash(report))
        for kind, state in labels.items():
            if {group.labels.get(kind), state} == {PRESENT, ABSENT}:
                group.contradicted.add(kind)
            group.labels[kind] = stronger(group.labels.get(kind), state)
    return found


def _studies_of(
    row: Row, reader: Reader, survey: Survey, joined: Mapping[str, _Joined], *, frontal: bool
) -> Iterator[Made]:
    """The studies of a row, and what was noticed of it."""
    where, cells, columns = reader.where(row.line), dict(row.cells), reader.columns
    try:
        labels = survey.labels.labels(cells)
    except XLIPError as error:
        yield Dropped(where, str(error))
        return
    group = joined.get(reader.key(row)) if joined else None
    if group is not None and len(group.lines) > 1:
        if group.patients > 1:
            yield Dropped(where, "the rows of one image or id name different patients; mend the table")
            return
        own = hash(group.report if row.line == group.lines[0] else said(cells.get(columns.report)))
        if row.line != group.lines[0] and own not in group.reports:
            return  # it says nothing that the first row, which has its labels, does not say
        group.reports.discard(own)
        yield from _of_group(where, row.line, group, columns)
        labels = group.labels
        if row.line == group.lines[0]:
            cells |= {columns.report: group.report, columns.patient: group.patient}
    notes: list[str] = []
    fields = header_fields(cells, columns, survey, notes)
    if isinstance(fields, str):
        yield Dropped(where, fields)
        return
    if frontal and projection(said(cells.get(columns.view))) not in FRONTAL:
        yield Dropped(where, f"view is {fields['view'].lower() or 'unknown'}: not known to be frontal")
        return
    report = cells.get(columns.report)
    strangers = survey.labels.strangers(cells)
    notes += ["a label is no kind: it went to the tags"] * bool(strangers)
    notes += ["No_Finding stands beside a finding: both are kept"] * _contradicts_itself(labels)
    notes += [f"a formula failed, in column {name}: the cell was taken as empty" for name in _failed(cells, survey)]
    id_ = identifier(cells.get(columns.id)) or f"{reader.root.stem}:{row.line}"
    study = Study(
        study_id=f"{reader.source}/{id_}",
        patient_id=f"{reader.source}/{identifier(cells.get(columns.patient)) or id_}",
        source=reader.source,
        report=report if clean(said(report)) else None,
        labels=labels,
        tags=tuple(strangers),
        **fields,
    )
    if columns.image and reader.repeats_a_part(row, survey):
        notes.append("an image of several in one cell stands in another row, or twice: it is in two studies")
    known = [cells.get(column) or "" for column in (*survey.people, columns.patient, columns.id)] if report else ()
    for made in _with_images(row, study, reader, notes):
        yield made._replace(known=tuple(filter(None, known))) if isinstance(made, Candidate) else made
    yield from (Noticed(where, note) for note in notes)


def _failed(cells: Mapping[str, str], survey: Survey) -> list[str]:
    """The columns in which a formula of a spreadsheet failed."""
    return [name for name in survey.named if "#" in cells.get(name, "") and has_failed(cells[name])]


def _contradicts_itself(labels: Mapping[str, LabelState]) -> bool:
    """Whether nothing is found, and something."""
    if labels.get(NO_FINDING) != PRESENT:
        return False
    known = known_kinds()
    present = (kind for kind, state in labels.items() if state == PRESENT and kind != NO_FINDING)
    return any(kind not in known or not known[kind].incidental for kind in present)


def _of_group(where: str, line: int, group: _Joined, columns: Columns) -> Iterator[Noticed]:
    if line == group.lines[0]:
        if not columns.labels:
            lines = ", ".join(map(str, group.lines[:9])) + (" ..." if len(group.lines) > 9 else "")
            yield Noticed(where, f"rows of one image or id were joined: lines {lines}")
        if group.contradicted:
            yield Noticed(where, f"rows of one image contradict each other: {', '.join(sorted(group.contradicted))}")


def _with_images(row: Row, study: Study, reader: Reader, notes: list[str]) -> Iterator[Made]:
    """The study with its image; of several images a study each."""
    where, column, whole = reader.where(row.line), reader.columns.image, study.report is not None
    text, picture = said(row.cells.get(column)), row.pictures.get(column)
    if picture:
        path = text.replace("\\", "/").rpartition("/")[2] or f"{reader.root.stem}:{row.line}"
        yield Candidate(study._replace(image=picture, image_path=path), whole_report=whole)
        return
    found = find_images(text, reader.folder) if text else Found()
    notes += found.notes
    for missing in found.missing:
        yield Dropped(where, f"image file {missing} not found")
    if not text and study.report is None:
        yield Dropped(where, "neither an image path nor a report")
    elif not text:
        yield Candidate(study, whole_report=whole)
    for number, (path, file) in enumerate(found.files, 1):
        one = study._replace(image_path=path)
        if len(found.files) > 1:
            one = one._replace(study_id=f"{study.study_id}/{number}")
        yield Candidate(one, file, whole_report=whole)

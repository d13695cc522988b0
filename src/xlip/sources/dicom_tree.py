"""A hospital's own archive: any tree of DICOM files, joined with its reports, without the identifiers of either."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from xlip.errors import XLIPError
from xlip.images.header import Header, read_header
from xlip.sources.cells import sex_of
from xlip.sources.identifiers import without_identifiers, words_of
from xlip.sources.joining import JOINS, Image, Report, joined
from xlip.sources.pseudonyms import Lookup, Private, Pseudonyms, lookup
from xlip.sources.radiograph import REPORT, age_of, day_of, projection_of, why_not
from xlip.sources.report_files import Columns, key_of, read_reports
from xlip.sources.source import Candidate, Dropped, Noticed, Row
from xlip.sources.tree import tree
from xlip.sources.view_check import only_frontal
from xlip.sources.views import FRONTAL, STORED
from xlip.study.record import Study

CHOICES = {
    "join": JOINS,
    "views": ("frontal", "classify", "all"),
    "dates": ("year", "shifted", "none"),
    "captures": ("drop", "keep"),
    "date_order": ("", "dmy", "mdy"),
}


def studies(
    root: Path,
    private: Private | None = None,
    reports: str = "",
    join: str = "accession",
    views: str = "frontal",
    dates: str = "year",
    captures: str = "drop",
    accession_column: str = "",
    study_column: str = "",
    patient_column: str = "",
    date_column: str = "",
    report_column: str = "",
    date_order: str = "",
    source: str = "dicom",
) -> Iterator[Row]:
    """Every radiograph below `root`, found by content, whatever the names of files and folders; links are followed.

    No identifier leaves this generator but as a keyed hash: ids, rows of drops and notices, image paths. What the
    header says beside the fields of a study goes to its tags, as `modality:DX`, `year:2020`, `accession:` and a hash.
    All headers are read before the first study comes, some 2 kB of memory for each.

    Args:
        root: the tree.
        private: the key of the hashes, and where the list goes that leads back from them (`xlip prepare --key`); None:
            a random key, which joins nothing later.
        reports: table, or folder with one text file for each report; default: the structured reports in the tree only.
        join: what brings images and reports together: accession, study_uid or patient+date.
        views: frontal (what the header says is PA, AP or frontal), classify (and what the shipped classifier takes for
            frontal where the header does not say), all.
        dates: year, shifted (by a number of days of the patient's own) or none.
        captures: keep takes secondary captures whose modality is that of a radiograph.
        accession_column: of the table; default: by its name, as the four below.
        study_column: with the Study Instance UID.
        patient_column: with the patient's id as in the header.
        date_column: with the day of the examination.
        report_column: with the text.
        date_order: dmy or mdy, where days such as 03/04/2020 leave it open.
        source: name stored with every study.
    """
    _check({"join": join, "views": views, "dates": dates, "captures": captures, "date_order": date_order})
    if not root.is_dir():
        raise XLIPError(f"{root}: expected a folder of DICOM files, found none")
    pseudonyms = Pseudonyms(private)
    columns = Columns(accession_column, study_column, patient_column, date_column, report_column, date_order)
    with lookup(private.lookup if private else None) as names:
        archive = Archive(root, pseudonyms, names, source, join, views, dates, captures == "keep")
        archive.read(Path(reports) if reports else None)
        if not archive.found:
            archive.refuse_empty()
        if reports:
            archive.take(Path(reports), read_reports(Path(reports), join, columns, pseudonyms, names))
        yield from archive.result()


def _check(chosen: Mapping[str, str]) -> None:
    for name, value in chosen.items():
        if value not in CHOICES[name]:
            raise XLIPError(f"{name}: expected one of {', '.join(filter(None, CHOICES[name]))}; got {value!r}")


@dataclass(frozen=True, slots=True)
class Found:
    """A radiograph: its study without report, and what is needed to join and to check it."""

    study: Study
    file: Path | str
    image: Image
    identifiers: tuple[str, ...]
    person: tuple[str, str, str]
    """Pseudonym of name and birth date together; birth date; sex."""
    issuer: str
    """Of the patient's id."""


@dataclass
class Archive:
    """What is found in one tree."""

    root: Path
    pseudonyms: Pseudonyms
    names: Lookup
    source: str
    join: str = "study_uid"
    views: str = "frontal"
    dates: str = "year"
    captures: bool = False
    by_path: bool = False
    """Ids of images are made of their paths: in a set whose files all have one id, say."""
    rows: list[Row] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    texts: list[Report] = field(default_factory=list)
    instances: dict[str, str] = field(default_factory=dict)
    """Pseudonym of an image -> the row of its file."""
    watched: frozenset[str] = frozenset()
    """Words of the report table's name."""
    named: bool = False
    """Whether one of them is a name or a number of a header."""

    def read(self, reports: Path | None) -> None:
        """Go through all files of the tree but those of the reports, which may lie in it."""
        apart = reports.resolve() if reports else None
        self.watched = words_of(reports.stem) if reports else frozenset()
        for place in tree(self.root):
            path = place.row if isinstance(place, Dropped) else place[0]
            if apart and isinstance(place, tuple):
                file = Path(place[1]).resolve()
                if file == apart or apart in file.parents:
                    continue
            if isinstance(place, Dropped):
                self.rows.append(Dropped(self.row_of(path), place.reason))
            else:
                self.add(path, place[1])

    def take(self, table: Path, reports: Iterable[Report | Row]) -> None:
        """Take in reports and the rows that hold none; a table called after a patient is called `reports` in them."""
        found = list(reports)
        known = (word for one in found if isinstance(one, Report) for word in one.identifiers)
        hide = self.named or not self.watched.isdisjoint(word for text in known for word in words_of(text))
        for one in found:
            if hide and not isinstance(one, Candidate):
                one = replace(one, row=re.sub(f"^{re.escape(table.name)}:", f"reports{table.suffix}:", one.row))
            if isinstance(one, Report):
                self.texts.append(one)
            else:
                self.rows.append(one)

    def row_of(self, path: str) -> str:
        """What stands for a file in drops and notices."""
        row = "file/" + self.pseudonyms.of("path", path)
        self.names.add("file", row, path)
        return row

    def add(self, path: str, file: Path | str) -> None:
        """Take in one file: a radiograph, a structured report, or a row that says why it is neither."""
        row = self.row_of(path)
        try:
            header = read_header(file)
            if header is None:
                raise XLIPError("not DICOM: neither a preamble nor a header; the file was not read")
            self._add(row, path, file, header)
        except (XLIPError, OSError) as error:
            reason = error.strerror or "cannot read" if isinstance(error, OSError) else str(error)
            self.rows.append(Dropped(row, reason))

    def refuse_empty(self) -> None:
        """Say why a tree without radiographs holds none.

        Raises:
            XLIPError: there is none.
        """
        reasons = sorted({row.reason for row in self.rows if isinstance(row, Dropped)})
        said = f"; {len(self.rows)} files were left out: {'; '.join(reasons[:3])}" if reasons else ""
        where = "root" if self.rows else str(self.root)  # a folder with files may be called after a patient
        raise XLIPError(f"{where}: expected DICOM radiographs, found none{said}")

    def result(self) -> Iterator[Row]:
        """Rows in the order of the files: drops and notices, then studies with their reports."""
        together = joined((one.image for one in self.found), self.texts, self.join)
        yield from self.rows
        yield from together.conflicts
        yield from _strangers(self.found)
        for one in self.found:
            if not one.image.kept:
                continue
            report = together.reports.get(one.image.row)
            complete = partial(with_report, report.text, (*one.identifiers, *report.identifiers)) if report else None
            look = partial(only_frontal) if self.views == "classify" and not one.image.projection else None
            row = report.row if report else ""
            yield Candidate(one.study, one.file, complete, whole_report=bool(row), look=look, report_row=row)

    def _add(self, row: str, path: str, file: Path | str, header: Header) -> None:
        if self.watched and not self.named:
            said = (*header.people, *header.numbers)
            self.named = any(not self.watched.isdisjoint(words_of(text)) for text in said)
        if header.sop_class.startswith(REPORT):
            if not header.text.strip():
                raise XLIPError("report without text: a structured report of measurements alone")
            patient, known = self.pseudonyms.of("patient", header.patient_id), (*header.people, *header.numbers)
            self.texts.append(Report(row, self._key(header), header.text, patient, known))
            return
        reason = why_not(header, path, captures=self.captures)
        own = f"path {path}" if self.by_path or not header.instance_uid else header.instance_uid
        instance = self.pseudonyms.of("image", own)
        if not reason and self.instances.setdefault(instance, row) != row:
            reason = f"image repeated: its id is that of {self.instances[instance]}, which is kept"
        if reason:
            raise XLIPError(reason)
        self.found.append(self._radiograph(row, path, file, header, instance))

    def _radiograph(self, row: str, path: str, file: Path | str, header: Header, instance: str) -> Found:
        of = self.pseudonyms.of
        if not header.patient_id:
            self.rows.append(Noticed(row, "patient id is missing: the study was taken for a patient of its own"))
        if not header.instance_uid and not self.by_path:
            self.rows.append(Noticed(row, "image id is missing: the path was taken for one"))
        patient = of("patient", header.patient_id or f"study {header.study_uid or path}")
        projection, doubt = projection_of(header)
        age, odd = age_of(header)
        self.rows += [Noticed(row, said) for said in (doubt, odd, *_doubts(header)) if said]
        kept = self.views == "all" or projection in FRONTAL or (self.views == "classify" and not projection)
        if not kept:
            said = f"is {projection.lower()}" if projection else "is unknown"
            self.rows.append(Dropped(row, f"view {said}: not known to be frontal"))
        self.names.add("image", instance, path)
        self.names.add("patient", patient, header.patient_id)
        self.names.add("accession", of("accession", header.accession), header.accession)
        group = of("study", header.study_uid)
        study = Study(
            f"{self.source}/{instance}",
            f"{self.source}/{patient}",
            self.source,
            image_path=f"{group or 'study'}/{instance}",
            view=STORED.get(projection, ""),
            sex=sex_of(header.sex),
            age=age,
            tags=self._tags(header, patient),
        )
        image = Image(row, self._key(header), group or row, patient, projection, kept)
        person = of("person", f"{header.patient_name} {header.birth_date}") if header.birth_date else ""
        known = (*header.people, *header.numbers)
        return Found(study, file, image, known, (person, header.birth_date, study.sex), header.issuer)

    def _key(self, header: Header) -> str:
        patient, day = self.pseudonyms.of("patient", header.patient_id), day_of(header.date)
        when = day.isoformat() if day else ""
        return key_of(self.join, self.pseudonyms, patient, header.accession, header.study_uid, when)

    def _tags(self, header: Header, patient: str) -> tuple[str, ...]:
        of, day = self.pseudonyms.of, day_of(header.date)
        when = {"year": f"year:{day.year}", "shifted": f"date:{self.pseudonyms.shifted(patient, day)}"} if day else {}
        maker = re.sub(r"[^A-Za-z0-9 .,&/-]", "", header.manufacturer)[:40].strip()
        tags = (
            ("modality", header.modality.upper()),
            ("manufacturer", without_identifiers(maker, (*header.people, *header.numbers))),
            ("laterality", header.laterality.upper()[:1]),
            ("study", of("study", header.study_uid)),
            ("series", of("series", header.series_uid)),
            ("accession", of("accession", header.accession)),
        )
        return (*(f"{name}:{value}" for name, value in tags if value), *filter(None, [when.get(self.dates)]))


def with_report(text: str, identifiers: tuple[str, ...], study: Study) -> Study:
    """The study with the whole text of its report, from which the patient's known names and numbers are taken."""
    return study._replace(report=without_identifiers(text, identifiers))


def _doubts(header: Header) -> Iterator[str]:
    if header.burned_in.upper() == "YES":
        yield "burned-in annotation: the header says that the picture shows identifiers"
    if "SECONDARY" in header.image_type.upper():
        yield "derived image: its header calls it secondary"
    if header.intent.upper() == "FOR PROCESSING":
        yield "raw image: its header calls it for processing, not for presentation"
    if header.date and day_of(header.date) is None:
        yield "date is not readable: taken as unknown"
    if not header.study_uid:
        yield "study id is missing: the image was taken for a study of its own"


def _strangers(found: list[Found]) -> Iterator[Noticed]:
    """Patient ids that may hold two people, and people who may have two ids, who could then stand in two splits."""
    people: dict[str, set[tuple[str, str]]] = defaultdict(set)
    ids: dict[str, set[str]] = defaultdict(set)
    issuers: dict[str, set[str]] = defaultdict(set)
    for one in found:
        name, born, sex = one.person
        people[one.image.patient].add((born, sex))
        issuers[one.image.patient].update(filter(None, [one.issuer]))
        if name:
            ids[name].add(one.image.patient)
    for one in found:
        name, born, sex = one.person
        said = people[one.image.patient]
        if len({day for day, _ in said if day}) > 1 or len({which for _, which in said if which}) > 1:
            yield Noticed(one.image.row, "one patient id with several birth dates or sexes: kept together")
        if len(issuers[one.image.patient]) > 1:
            yield Noticed(one.image.row, "one patient id from several issuers: may be two people; kept together")
        if name and len(ids[name]) > 1:
            yield Noticed(one.image.row, "one name and birth date under several patient ids: may stand in two splits")

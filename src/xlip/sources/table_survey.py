"""What has to be known of a whole table of one's own before its first row is a study."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from posixpath import normpath

import numpy as np

from xlip.sources.cells import identifier, is_either, is_spanish, said, several
from xlip.sources.identifiers import people_columns
from xlip.sources.labels import LabelColumns, label_columns, listing_column, refuse_other_columns, unread_columns
from xlip.sources.source import Dropped, Noticed
from xlip.sources.table_columns import Columns, plain_id
from xlip.sources.table_paths import find_images
from xlip.study.kinds import is_kind
from xlip.study.labels import LabelState
from xlip.tables.arrow import SPLIT
from xlip.tables.read import read_rows
from xlip.tables.row import Fault, Row

_PATIENTS = frozenset({"patient", "patientid", "subject", "subjectid", "mrn", "patientnumber", "patid"})
_SPLITS = frozenset({"split", "fold", "subset", "partition", "set"})
_SAMPLE = 100
_WORDS = 100
"""Different words of a column that are kept."""
_SPELT = re.compile(r"\\|//|(?:^|/)\.|^/|^[A-Za-z]:")
"""What a path may hold that another spelling of it does not."""
_EXACT = 15
"""Digits of a number that a spreadsheet keeps."""
_SEVERAL = re.compile(r"[|;,\n]")
_FEW = 3
"""So many long ids that all end in zeros are no chance."""


@dataclass(frozen=True)
class Reader:
    """A table and how to read it, as often as it takes."""

    root: Path
    columns: Columns
    kinds: str
    source: str
    options: Mapping[str, str]
    embedded: bool = False
    """Whether the images stand in the table; their names do not tell them apart."""

    @cached_property
    def folder(self) -> Path:
        """What the paths of the table begin from."""
        return self.root if self.root.is_dir() else self.root.parent

    def rows(self, *, pictures: bool = False) -> Iterator[Row | Fault]:
        """The table from its beginning."""
        kinds = (name.strip() for name in self.kinds.split(","))
        required = (*self.columns.named(), *(name for name in kinds if is_kind(name)))
        return read_rows(self.root, required, pictures=pictures, **self.options)

    def where(self, line: int) -> str:
        """A row in words."""
        return f"{self.root.name}:{line}"

    def fault(self, fault: Fault) -> Dropped | Noticed:
        """A fault of the table as a drop or a notice."""
        return (Dropped if fault.lost else Noticed)(self.where(fault.line), fault.reason)

    def key(self, row: Row) -> str:
        """What rows of one study have in common: id and image; '' where a row can only be a study of its own."""
        return next(iter(self.keys(row)), "")

    def keys(self, row: Row) -> tuple[str, ...]:
        """The key of a row, and behind it those of the images of a cell that names several."""
        image = "" if self.embedded else said(row.cells.get(self.columns.image))
        id_ = identifier(row.cells.get(self.columns.id))
        if not image and not id_:
            return ()
        parts = several(image) if _SEVERAL.search(image) else ()
        return tuple(f"{id_}\t{self._plain(one)}" for one in (image, *parts))

    def repeats_a_part(self, row: Row, survey: Survey) -> bool:
        """Whether an image of a cell that names several comes again in the table."""
        return bool(survey.repeated) and any(hash(key) in survey.repeated for key in self.keys(row)[1:])

    def _plain(self, image: str) -> str:
        """One spelling for a path with doubled, single or backward slashes, and for one of another machine."""
        if not _SPELT.search(image):
            return image
        plain = image.replace("\\", "/")
        if plain.startswith("/") or plain[1:2] == ":":
            found = find_images(image, self.folder).files
            return found[0][0] if len(found) == 1 else plain
        return normpath(plain)


@dataclass
class Survey:
    """What has to be known of a whole table before its first row is a study."""

    labels: LabelColumns
    repeated: frozenset[int]
    """Hashes of keys that come more than once."""
    spanish: bool
    """Whether M is mujer."""
    unclear_patients: frozenset[int]
    """Hashes of ids that differ in capitals or leading zeros only."""
    notices: list[Noticed] = field(default_factory=list)
    people: tuple[str, ...] = ()
    """Columns whose cells name people."""
    named: tuple[str, ...] = ()
    """Columns that mean something."""
    unclear_sexes: bool = False
    """Whether M and V may be mujer and varón, or man and vrouw."""


def survey_of(reader: Reader, values: Mapping[str, LabelState | None]) -> Survey:
    """Go through the table once: its columns, repeated keys and the words it uses. 8 bytes a row, and its patients."""
    columns, keys, names = reader.columns, array("q"), dict[str, None]()
    sample: list[Mapping[str, str]] = []
    sexes: set[str] = set()
    patients: dict[int, int] = {}
    unclear: set[int] = set()
    long = [0, 0]
    """Long numbers as ids that end in zeros, and those that do not."""
    for row in reader.rows():
        if isinstance(row, Fault):
            continue
        if row.cells.keys() != names.keys():
            names |= dict.fromkeys(row.cells)
        if len(sample) < _SAMPLE:
            sample.append(row.cells)
        keys.extend(map(hash, reader.keys(row)))
        if columns.sex and len(sexes) < _WORDS:
            sexes.add(said(row.cells.get(columns.sex)))
        if columns.patient and (patient := identifier(row.cells.get(columns.patient))):
            if len(patient) > _EXACT and patient.isdigit():
                long[bool(patient[_EXACT:].strip("0"))] += 1
            plain = hash(plain_id(patient))
            if patients.setdefault(plain, hash(patient)) != hash(patient):
                unclear.add(plain)
    unique, counts = np.unique(np.frombuffer(keys, np.int64) if keys else np.zeros(0, np.int64), return_counts=True)
    listed = columns.labels or listing_column(sample, {*columns.named(), columns.report})
    single = label_columns(names, reader.kinds, {*columns.named(), listed})
    labels = LabelColumns(single, listed, columns.state, values)
    refuse_other_columns(labels, sample)
    repeated = frozenset(int(key) for key in unique[counts > 1])
    people = people_columns(names, columns.named())
    notices = _notices(reader, labels, list(names))
    notices += _unread(reader, labels, sample, people) + _rounded(reader, long)
    return Survey(
        labels, repeated, is_spanish(sexes), frozenset(unclear), notices, people, columns.named(), is_either(sexes)
    )


def _unread(
    reader: Reader, labels: LabelColumns, sample: list[Mapping[str, str]], people: tuple[str, ...]
) -> list[Noticed]:
    """Columns that look like labels, where all that name a kind were taken and these do not."""
    taken = {*labels.single, *reader.columns.named(), labels.several, *people, SPLIT}
    found = [] if reader.kinds else unread_columns(labels, sample, taken)
    shown = ", ".join(found[:9]) + (" ..." if len(found) > 9 else "")
    reason = f"columns that hold labels were not read, for no kind is called so: {shown}; name by kinds those to use"
    return [Noticed(reader.where(1), reason)] if found else []


def _rounded(reader: Reader, long: list[int]) -> list[Noticed]:
    rounded, exact = long
    if exact or rounded < _FEW:
        return []
    reason = f"all ids of more than {_EXACT} digits end in zeros: did a spreadsheet round them? Export them as text"
    return [Noticed(reader.where(1), reason)]


def _notices(reader: Reader, labels: LabelColumns, names: list[str]) -> list[Noticed]:
    """What was decided for the whole table without being asked to."""
    where, columns = reader.where(1), reader.columns
    found = [
        Noticed(
            where, f"columns were joined to one kind, {kind} = {' + '.join(joined)}: of each row the strongest counts"
        )
        for kind, joined in labels.joined.items()
        if not {name.strip() for name in reader.kinds.split(",")}.issuperset(joined)
    ]
    if labels.several and not columns.labels:
        found.append(Noticed(where, f"{labels.several} was taken for a list of kinds: name it labels_column"))
    for role, words in (("patient", _PATIENTS), ("split", _SPLITS)):
        like = [name for name in names if "".join(filter(str.isalnum, name)).lower() in words]
        if like and not getattr(columns, role):
            found.append(Noticed(where, f"{like[0]} was not read: name it {role}_column if it is that"))
    return found

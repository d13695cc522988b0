"""Keyed hashes in the place of the ids and paths of a table of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from xlip.sources.pseudonyms import Lookup, Pseudonyms
from xlip.sources.source import Candidate, Dropped, Row

MISSING = "image file "


@dataclass(frozen=True)
class Hiding:
    """Turns rows of a table into rows whose ids and paths are hashes, the same as those of a DICOM tree."""

    pseudonyms: Pseudonyms
    names: Lookup

    def __call__(self, row: Row) -> Row:
        """The row with hashes; a row of the table keeps its line, by which it is found again.

        Raises:
            XLIPError: the key cannot be read.
        """
        if isinstance(row, Dropped) and row.reason.startswith(MISSING):
            return Dropped(row.row, "image file not found: its path is in the table")
        if not isinstance(row, Candidate):
            return row
        study = row.study
        study = study._replace(
            study_id=self._hashed("study", study.study_id, study.source),
            patient_id=self._hashed("patient", study.patient_id, study.source),
            image_path=self._hashed("path", study.image_path, study.source),
        )
        return row._replace(study=study)

    def _hashed(self, kind: str, value: str, source: str) -> str:
        """`csv/123` as `csv/` and the hash of 123."""
        if not value:
            return value
        plain = value.removeprefix(f"{source}/") if kind != "path" else value
        pseudonym = self.pseudonyms.of(kind, plain)
        self.names.add(kind, pseudonym, plain)
        return f"{source}/{pseudonym}" if kind != "path" else pseudonym

"""What the DICOM objects of one prediction share: whose they are, what made them, what they warn of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xlip.explain.explanation import Explanation
from xlip.identity import digest
from xlip.pacs.extra import package
from xlip.pacs.finding import WARNING

SERIES = {"sc": 9101, "pm": 9102, "seg": 9103, "sr": 9104}
"""Kind of object -> the number of its series, far above those of a modality."""
NAMES = {"sc": "overlay", "pm": "response map", "seg": "regions", "sr": "scores"}
SCHEME = "99XLIP"
_SNOMED = {"Effusion": ("60046008", "Pleural effusion"), "Pneumothorax": ("36118008", "Pneumothorax")}
_SNOMED |= {"Edema": ("19242006", "Pulmonary edema")}
"""Kinds whose codes stand in the context groups of DICOM PS3.16 (CID 645, 6102, 3700); the others get our own."""


@dataclass(frozen=True)
class Maker:
    """What made an object."""

    model: str
    """Identity of the weights."""
    version: str
    """Of this package."""

    def equipment(self) -> dict[str, Any]:
        """As arguments of highdicom."""
        return {
            "manufacturer": "xlip (research software)",
            "manufacturer_model_name": "xlip",
            "software_versions": self.version,
            "device_serial_number": self.model[:64] or "unknown",
        }

    def algorithm(self) -> Any:
        """As highdicom's identification of an algorithm."""
        hd = package("highdicom")
        family = hd.sr.CodedConcept("123109", "DCM", "Artificial Intelligence")
        return hd.AlgorithmIdentificationSequence("xlip", family, self.version)


def place_in_study(kind: str) -> dict[str, Any]:
    """A series and an instance of their own, as arguments of highdicom."""
    hd = package("highdicom")
    return {
        "series_instance_uid": hd.UID(),
        "series_number": SERIES[kind],
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
    }


def described(dataset: Any, kind: str, header: Any) -> Any:
    """The object with its series' description, the warning, and what the film's header has for its kind of object."""
    dataset.SeriesDescription = f"xlip {NAMES[kind]} - {WARNING}"[:64]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    scheme = package("pydicom").dataset.Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = SCHEME, "Kinds of findings and scores of xlip"
    dataset.CodingSchemeIdentificationSequence = [scheme]
    if kind != "sr" and "ImageOrientationPatient" not in dataset:
        dataset.PatientOrientation = header.PatientOrientation
    if kind != "sr":
        dataset.BodyPartExamined = "CHEST"  # an unpaired part has no laterality, which other parts need
    return dataset


def concept(finding: Explanation) -> Any:
    """What a finding is called in codes."""
    hd = package("highdicom")
    if finding.kind in _SNOMED:
        value, meaning = _SNOMED[finding.kind]
        return hd.sr.CodedConcept(value, "SCT", meaning)
    own = finding.kind or finding.text
    value = own if len(own) <= 16 and own.isascii() else digest(own)
    return hd.sr.CodedConcept(value, SCHEME, finding.text[:64])

"""The scores as a Structured Report (TID 1500), with the film as evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.explain.explanation import Explanation
from xlip.pacs.extra import package
from xlip.pacs.finding import WARNING, Prediction
from xlip.pacs.maps import region
from xlip.pacs.objects import SCHEME, Maker, concept, described, place_in_study
from xlip.pacs.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def structured_report(source: Source, prediction: Prediction, maker: Maker) -> Dataset:
    """A measurement report: for each finding its score, threshold and whether it is marked; where it is, a box.

    It is partial, unverified and preliminary, and says so in the elements that stand for that.
    """
    hd = package("highdicom")
    content = hd.sr.MeasurementReport(
        observation_context=_context(maker),
        procedure_reported=_code("RADIOGRAPHY", "Projection radiography of chest"),
        imaging_measurements=[_group(one, source, prediction, maker) for one in prediction.findings],
        title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    comment = hd.sr.TextContentItem(
        name=hd.sr.CodedConcept("121106", "DCM", "Comment"),
        value=f"{WARNING}. Scores of model {maker.model}, xlip {maker.version}; no human has checked them.",
        relationship_type="CONTAINS",
    )
    content[0].ContentSequence.append(comment)
    made = hd.sr.ComprehensiveSR(
        evidence=[source.header],
        content=content[0],
        manufacturer=maker.equipment()["manufacturer"],
        **place_in_study("sr"),
    )
    made.ManufacturerModelName, made.SoftwareVersions = "xlip", maker.version
    made.DeviceSerialNumber = maker.equipment()["device_serial_number"]
    made.PreliminaryFlag = "PRELIMINARY"
    made.CompletionFlagDescription = WARNING
    return described(made, "sr", source.header)


def _group(finding: Explanation, source: Source, prediction: Prediction, maker: Maker) -> Any:
    hd = package("highdicom")
    one = hd.sr.CodedConcept("1", "UCUM", "no units")
    shared = {
        "tracking_identifier": hd.sr.TrackingIdentifier(hd.UID(), finding.text[:64]),
        "finding_type": concept(finding),
        "algorithm_id": hd.sr.AlgorithmIdentification("xlip", maker.version, parameters=[f"weights {maker.model}"]),
        "measurements": [
            hd.sr.Measurement(_code("SCORE", "Zero-shot score"), round(finding.score, 6), one),
            hd.sr.Measurement(_code("THRESHOLD", "Threshold of the score"), round(finding.threshold, 6), one),
        ],
        "qualitative_evaluations": [
            hd.sr.QualitativeEvaluation(
                _code("MARKED", "Score against threshold"),
                _code("ABOVE", "At or above threshold") if finding.found else _code("BELOW", "Below threshold"),
            )
        ],
    }
    header = source.header
    film = (header.SOPClassUID, header.SOPInstanceUID)
    mask = region(finding, source.pixels.shape, prediction.preprocess)
    if not mask.any():
        images = [hd.sr.SourceImageForMeasurementGroup(*film)]
        return hd.sr.MeasurementsAndQualitativeEvaluations(**shared, source_images=images)
    box = hd.sr.ImageRegion("POLYLINE", _around(mask), hd.sr.SourceImageForRegion(*film))
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(**shared, referenced_region=box)


def _around(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The closed outline of a box around a region: (5, 2) as (column, row), where 0, 0 is the corner of the film."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom = float(rows[0]), float(rows[-1] + 1)
    left, right = float(columns[0]), float(columns[-1] + 1)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])


def _context(maker: Maker) -> Any:
    hd = package("highdicom")
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=hd.UID(), name="xlip", manufacturer_name="xlip (research software)", serial_number=maker.model
    )
    kind = hd.sr.CodedConcept("121007", "DCM", "Device")
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(observer_type=kind, observer_identifying_attributes=device)
    )


def _code(value: str, meaning: str) -> Any:
    return package("highdicom").sr.CodedConcept(value, SCHEME, meaning)

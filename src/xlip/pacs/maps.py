"""Maps as DICOM: their values as a Parametric Map, what they mark as a binary Segmentation."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.explain.explanation import Explanation
from xlip.pacs.extra import package
from xlip.pacs.finding import WARNING, Prediction
from xlip.pacs.geometry import on_film
from xlip.pacs.objects import Maker, concept, described, place_in_study
from xlip.pacs.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SHARE = 0.5
"""Of the way from the scale's lower end to a map's peak: from there on a place belongs to the region."""


def parametric_map(source: Source, prediction: Prediction, maker: Maker) -> Dataset:
    """The values of each finding's map in logits, one frame of float32 of the film's size for each.

    A film has no place in space, which this kind of object has to have: it gets a frame of reference of its own, in
    which row and column directions and the distances of pixels are those of the film (1 mm where it does not say).
    """
    hd = package("highdicom")
    header = deepcopy(source.header)
    header.FrameOfReferenceUID, header.PositionReferenceIndicator = hd.UID(), ""
    header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = list(source.spacing or (1, 1)), 1
    findings = prediction.findings
    frames = [on_film(one.map, source.pixels.shape, prediction.preprocess) for one in findings]
    low, high = min(one.low for one in findings), max(one.high for one in findings)
    made = hd.pm.ParametricMap(
        [header],
        np.stack(frames, axis=-1)[None],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[[_values(one, frame)] for one, frame in zip(findings, frames, strict=True)],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=(low + high) / 2, window_width=high - low)],
        content_description=f"{WARNING}: response in logits"[:64],
        content_label="RESEARCH",
        content_qualification="RESEARCH",
        **place_in_study("pm"),
        **maker.equipment(),
    )
    return described(made, "pm", source.header)


def region(finding: Explanation, shape: tuple[int, ...], preprocess: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where a found finding's map is at least `SHARE` of the way to its peak, (rows, columns); else nowhere."""
    heat = on_film(finding.map, shape, preprocess)
    peak = float(heat.max())
    if not finding.found or peak <= finding.low:
        return np.zeros(shape, bool)
    return np.asarray(heat >= finding.low + SHARE * (peak - finding.low))


def segmentation(source: Source, prediction: Prediction, maker: Maker) -> Dataset:
    """One binary segment for each finding, empty for one that is not found; pixel for pixel on the film."""
    hd = package("highdicom")
    shape = source.pixels.shape
    masks = [region(one, shape, prediction.preprocess) for one in prediction.findings]
    abnormal = hd.sr.CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
    described_segments = [
        hd.seg.SegmentDescription(number, one.text[:64], abnormal, concept(one), "AUTOMATIC", maker.algorithm())
        for number, one in enumerate(prediction.findings, 1)
    ]
    made = hd.seg.Segmentation(
        [source.header],
        np.stack(masks, axis=-1)[None].astype(np.uint8),
        "BINARY",
        described_segments,
        content_description=WARNING,
        content_label="RESEARCH",
        omit_empty_frames=False,
        **place_in_study("seg"),
        **maker.equipment(),
    )
    return described(made, "seg", source.header)


def _values(finding: Explanation, frame: np.ndarray[Any, Any]) -> Any:
    hd = package("highdicom")
    return hd.pm.RealWorldValueMapping(
        lut_label=finding.text[:16],
        lut_explanation=f"{finding.text}: response in logits"[:64],
        unit=hd.sr.CodedConcept("1", "UCUM", "no units"),
        value_range=(float(frame.min()), float(frame.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=concept(finding),
    )

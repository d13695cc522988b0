"""The overlay as a Secondary Capture, which every viewer shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xlip.explain.explanation import Explanation
from xlip.images.gray import Gray
from xlip.pacs.extra import package
from xlip.pacs.finding import WARNING, Prediction
from xlip.pacs.geometry import on_film
from xlip.pacs.objects import Maker, described, place_in_study
from xlip.pacs.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

RGB = np.ndarray[Any, np.dtype[np.uint8]]
COLOURS = ((255, 140, 0), (0, 200, 255), (255, 80, 200), (140, 255, 60), (255, 235, 60), (160, 140, 255))
"""One for each finding that is there, from the first on; they begin again after the last."""
OPACITY = 0.55
"""Of the colour where a map reaches the end of its scale."""
SMALLEST = 512
"""Pixels of the longer side that are enough for legible text."""
LINES = 60
"""Lines of text that would fill a film from top to bottom."""
SHOWN = 12
"""Findings whose scores are written on the picture, the highest first; all stand in the structured report."""


def capture(source: Source, prediction: Prediction, maker: Maker) -> Dataset:
    """An RGB image of the film's size: the film, its findings coloured, scores and the warning burned in.

    What is not found is not coloured. A film below `SMALLEST` is enlarged by a whole number.
    """
    hd = package("highdicom")
    header = source.header
    times = -(-SMALLEST // max(source.pixels.shape))  # a thumbnail is enlarged, or its warning could not be read
    film = source.pixels.repeat(times, 0).repeat(times, 1)
    made = hd.sc.SCImage.from_ref_dataset(
        header,
        pixel_array=overlay(film, prediction),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        manufacturer=maker.equipment()["manufacturer"],
        patient_orientation=("L", "F"),  # one has to be given; the film's own takes its place
        **place_in_study("sc"),
    )
    made.ManufacturerModelName, made.SoftwareVersions = "xlip", maker.version
    made.DeviceSerialNumber = maker.equipment()["device_serial_number"]
    made.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    made.BurnedInAnnotation = "YES"  # text is burned in, though none that names the patient
    made.ImageComments = f"{WARNING}. Colours: response of model {maker.model}"
    made.DerivationDescription = f"{WARNING}. Overlay of a model's response by xlip {maker.version}"
    made.SourceImageSequence = [_reference(header)]
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        if keyword in header:
            setattr(made, keyword, [f"{float(value) / times:.12g}" for value in header[keyword].value])
    return described(made, "sc", source.header)


def overlay(film: Gray, prediction: Prediction) -> RGB:
    """The film as (rows, columns, 3), each found finding tinted by its map, and the text."""
    shown = np.repeat(film[..., None], 3, axis=2).astype(np.float32)
    found = [one for one in prediction.findings if one.found]
    for number, one in enumerate(found):
        heat = on_film(one.map, film.shape, prediction.preprocess)
        weight = OPACITY * np.clip((heat - one.low) / (one.high - one.low), 0, 1)[..., None]
        shown = shown * (1 - weight) + weight * np.array(COLOURS[number % len(COLOURS)], np.float32)
    return _written(np.round(shown).astype(np.uint8), prediction.findings, found)


def _written(picture: RGB, findings: Sequence[Explanation], found: Sequence[Explanation]) -> RGB:
    image = Image.fromarray(picture)
    width, height = image.size
    lines = [(WARNING.upper(), (255, 255, 255))]
    for one in sorted(findings, key=lambda finding: -finding.score)[:SHOWN]:
        colour = COLOURS[found.index(one) % len(COLOURS)] if one.found else (190, 190, 190)
        lines.append((f"{one.text} {one.score:.2f}" + ("" if one.found else " (not marked)"), colour))
    drawing = ImageDraw.Draw(image)
    size = max(8.0, height / LINES)
    longest = max(drawing.textlength(text, font=ImageFont.load_default(size)) for text, _ in lines)
    size = max(size * min(1.0, 0.96 * width / longest), 6.0)
    font, step = ImageFont.load_default(size), int(np.ceil(1.3 * size))
    for number, (text, colour) in enumerate(lines):
        place = (int(0.02 * width), step // 4 + number * step)
        drawing.rectangle(drawing.textbbox(place, text, font=font), fill=(0, 0, 0))
        drawing.text(place, text, fill=colour, font=font)
    return np.asarray(image)


def _reference(header: Dataset) -> Any:
    item = package("pydicom").dataset.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    purpose = package("highdicom").sr.CodedConcept("121322", "DCM", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item

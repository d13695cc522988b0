"""The objects of a prediction are valid, stand in the film's study, refer to it, and say what they are not for."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest

from films import SECRETS, encoded, film
from xlip.errors import XLIPError
from xlip.explain.explanation import Explanation
from xlip.pacs.capture import SMALLEST, overlay
from xlip.pacs.finding import WARNING, Prediction
from xlip.pacs.geometry import on_film
from xlip.pacs.maps import region
from xlip.pacs.source import Source, read_source, source_of
from xlip.pacs.write import KINDS, chosen, objects, write_objects

needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="no dciodvfy on the path; `make system` installs dicom3tools as root"
)
CLASSES = {
    "sc": "1.2.840.10008.5.1.4.1.1.7",
    "pm": "1.2.840.10008.5.1.4.1.1.30",
    "seg": "1.2.840.10008.5.1.4.1.1.66.4",
    "sr": "1.2.840.10008.5.1.4.1.1.88.33",
}
STUDY = ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "StudyID", "StudyDate", "AccessionNumber")


def heat(row: int, column: int, value: float) -> np.ndarray:
    made = np.zeros((8, 8), np.float32)
    made[row, column] = value
    return made


def finding(
    text: str, kind: str, score: float, threshold: float, heat: Any, low: float, high: float, found: bool
) -> Any:
    return Explanation(text, kind, heat, low, high, score, threshold, found, boxes=(), how="response")


def prediction(**changes: Any) -> Prediction:
    findings = [
        finding("pleural effusion", "Effusion", 0.91, 0.5, heat(5, 2, 6.0), 0.0, 8.0, True),
        finding("rib fracture", "Fracture", 0.2, 0.5, heat(2, 5, 7.0), 0.0, 8.0, False),
        finding("something that nobody has a code for", "", 0.7, 0.6, heat(3, 3, 5.0), 0.0, 8.0, True),
    ]
    return Prediction(**{"findings": findings, "preprocess": "letterbox", "model": "0123456789ab", **changes})


def source(number: int = 0, **fields: Any) -> Source:
    return source_of("film", encoded(film(number, size=96, columns=70, **fields)))


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return objects(source(), prediction())


@pytest.fixture(scope="module")
def written(made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = write_objects(made, tmp_path_factory.mktemp("objects"))
    return {path.stem: path for path in paths}


def faults(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@needs_dciodvfy
@pytest.mark.parametrize("kind", KINDS)
def test_the_validator_finds_no_fault(kind: str, written: dict[str, Path]) -> None:
    assert faults(written[kind]) == []


@needs_dciodvfy
def test_the_validator_is_one_that_finds_faults(written: dict[str, Path], tmp_path: Path) -> None:
    for kind, path in written.items():
        broken = pydicom.dcmread(path)
        del broken.StudyInstanceUID
        broken.save_as(tmp_path / f"{kind}.dcm")
        assert faults(tmp_path / f"{kind}.dcm")


ODD: dict[str, dict[str, Any]] = {
    "a header with as little as can be": dict.fromkeys(
        ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"), ""
    ),
    "names in other scripts": {
        "PatientName": "Yamada^Tarou=山田^太郎",
        "StudyDescription": "Röntgen",
    },
    "spacing": {"ImagerPixelSpacing": [0.143, 0.143], "PixelSpacing": [0.2, 0.1]},
    "spacing that is none": {"PixelSpacing": [0, 0]},
    "an orientation": {"PatientOrientation": ["L", "F"], "ImageLaterality": "U"},
    "no orientation": {"PatientOrientation": None},
}


@needs_dciodvfy
@pytest.mark.parametrize("name", ODD)
def test_whatever_the_film_lacks_its_objects_are_valid(name: str, tmp_path: Path) -> None:
    for path in write_objects(objects(source(1, **ODD[name]), prediction()), tmp_path):
        assert faults(path) == [], path.name


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_values_of_a_wrong_form_are_left_empty_and_named_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pydicom.config.disable_value_validation():
        dirty = film(0, size=96)
        dirty.PatientBirthDate, dirty.StudyDate, dirty.StudyTime = "unknown", "2020-01-01", "noon"
        dirty.PatientSex, dirty.SeriesNumber, dirty.PatientName = "female", None, "Quillfeather"
        data = encoded(dirty)
    made = objects(source_of("film", data), prediction())
    for one in made.values():
        assert (one.PatientBirthDate or "", one.PatientSex, one.PatientName) == ("", "", "Quillfeather")
        assert not one.StudyDate
    shown = caplog.text + "".join(capsys.readouterr())
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_stands_in_the_study_and_refers_to_the_film(kind: str, written: dict[str, Path]) -> None:
    one, of = pydicom.dcmread(written[kind]), film(0, size=96)
    assert one.SOPClassUID == CLASSES[kind] == one.file_meta.MediaStorageSOPClassUID
    assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID
    assert [str(one[name].value) for name in STUDY] == [str(of[name].value) for name in STUDY]
    assert one.SeriesInstanceUID not in (of.SeriesInstanceUID, one.SOPInstanceUID, one.StudyInstanceUID)
    referred = {(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in _references(one)}
    assert referred == {(of.SOPClassUID, of.SOPInstanceUID)}


def _references(dataset: pydicom.Dataset) -> list[pydicom.Dataset]:
    found = [dataset] if "ReferencedSOPInstanceUID" in dataset else []
    for element in dataset:
        for item in element.value if element.VR == "SQ" else ():
            found += _references(item)
    return found


def test_uids_are_of_their_own_in_every_object_and_every_run(made: dict[str, Any]) -> None:
    again = objects(source(), prediction())
    both = [*made.values(), *again.values()]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({one[keyword].value for one in both}) == len(both)


@pytest.mark.parametrize("kind", KINDS)
def test_the_warning_is_inside(kind: str, written: dict[str, Path]) -> None:
    one = pydicom.dcmread(written[kind])
    assert WARNING in one.SeriesDescription
    where = {"sc": "ImageComments", "pm": "ContentDescription", "seg": "ContentDescription"}
    if kind == "sr":
        texts = [item.TextValue for item in one.ContentSequence if item.ValueType == "TEXT"]
        assert any(WARNING in text for text in texts)
        assert (one.CompletionFlag, one.VerificationFlag, one.PreliminaryFlag) == (
            *("PARTIAL", "UNVERIFIED"),
            "PRELIMINARY",
        )
    else:
        assert WARNING in one[where[kind]].value
    if kind == "pm":
        assert one.ContentQualification == "RESEARCH"


def test_the_capture_shows_the_film_the_found_and_the_warning(written: dict[str, Path]) -> None:
    one, film_of = pydicom.dcmread(written["sc"]), source().pixels
    pixels = one.pixel_array.astype(int)
    times = -(-SMALLEST // 96)
    assert pixels.shape == (96 * times, 70 * times, 3)
    large = film_of.repeat(times, 0).repeat(times, 1)
    coloured = (pixels.max(-1) - pixels.min(-1)) > 20
    mask = region(prediction().findings[0], large.shape, "letterbox")
    text = slice(0, int(0.12 * len(large)))
    assert coloured[mask].mean() > 0.95, "the finding is not coloured"
    absent = region(finding("x", "", 1.0, 0.0, prediction().findings[1].map, 0.0, 8.0, True), large.shape, "letterbox")
    far = absent & ~_wide(prediction(), large.shape)
    far[text] = False
    assert far.any()
    assert not coloured[far].any(), "something that was not found is coloured"
    plain = ~coloured & ~_wide(prediction(), large.shape)
    plain[text] = False
    np.testing.assert_array_equal(pixels[plain][:, 0], large[plain])
    assert (pixels[text].min(-1) > 200).sum() > 500, "no text"


def _wide(of: Prediction, shape: tuple[int, ...]) -> np.ndarray:
    return np.any([on_film(one.map, shape, of.preprocess) > 0 for one in of.findings if one.found], axis=0)


def test_a_film_on_which_nothing_is_found_stays_gray_but_for_the_text() -> None:
    nothing = [finding(one.text, one.kind, 0.1, 0.5, one.map, 0.0, 8.0, False) for one in prediction().findings]
    pixels = overlay(np.full((600, 500), 90, np.uint8), prediction(findings=nothing))
    assert (pixels[200:] == 90).all()


def test_spacing_of_an_enlarged_capture_is_that_of_its_pixels() -> None:
    one = objects(source(PixelSpacing=[0.6, 0.3]), prediction(), ["sc"])["sc"]
    assert [float(value) for value in one.PixelSpacing] == [0.1, 0.05]


def test_the_map_holds_the_values_of_every_finding_on_the_pixels_of_the_film(written: dict[str, Path]) -> None:
    one, of = pydicom.dcmread(written["pm"]), prediction()
    frames = one.pixel_array
    assert frames.shape == (3, 96, 70)
    for frame, finding in zip(frames, of.findings, strict=True):
        np.testing.assert_array_equal(frame, on_film(finding.map, (96, 70), "letterbox"))
    labels = [
        item.RealWorldValueMappingSequence[0].LUTExplanation.partition(":")[0]
        for item in one.PerFrameFunctionalGroupsSequence
    ]
    assert labels == [finding.text for finding in of.findings]
    assert (one.Rows, one.Columns) == (96, 70)


def test_the_segmentation_is_the_region_pixel_for_pixel(written: dict[str, Path]) -> None:
    one, of = hd.seg.segread(written["seg"]), prediction()
    assert [one.get_segment_description(number).segment_label for number in (1, 2, 3)] == [f.text for f in of.findings]
    masks = one.get_pixels_by_source_instance(
        [film(0).SOPInstanceUID], segment_numbers=[1, 2, 3], assert_missing_frames_are_empty=True
    )[0]
    for number, finding in enumerate(of.findings):
        np.testing.assert_array_equal(masks[..., number].astype(bool), region(finding, (96, 70), "letterbox"))
    assert masks[..., 0].any()
    assert not masks[..., 1].any(), "a finding that is not found has a region"


def test_the_report_reads_back_as_tid_1500_with_scores_and_boxes(written: dict[str, Path]) -> None:
    report = hd.sr.srread(written["sr"])
    content = report.content
    assert isinstance(content, hd.sr.MeasurementReport)
    planar = content.get_planar_roi_measurement_groups()
    plain = content.get_image_measurement_groups()
    assert (len(planar), len(plain)) == (2, 1)
    scores = {group.tracking_identifier: group.get_measurements()[0].value for group in (*planar, *plain)}
    assert scores == {finding.text: finding.score for finding in prediction().findings}
    mask = region(prediction().findings[0], (96, 70), "letterbox")
    columns, rows = planar[0].roi.value[:, 0], planar[0].roi.value[:, 1]
    assert (rows.min(), rows.max()) == (mask.any(1).argmax(), 96 - mask.any(1)[::-1].argmax())
    assert (columns.min(), columns.max()) == (mask.any(0).argmax(), 70 - mask.any(0)[::-1].argmax())
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert evidence.StudyInstanceUID == film(0).StudyInstanceUID
    assert series.SeriesInstanceUID == film(0).SeriesInstanceUID


def test_a_choice_is_made_by_name(made: dict[str, Any]) -> None:
    assert chosen(" SR, sc,sr") == ["sr", "sc"]
    assert set(objects(source(), prediction(), ["sr"])) == {"sr"}
    for text in ("", "sc,gif"):
        with pytest.raises(XLIPError, match="--objects: expected some of sc, pm, seg, sr"):
            chosen(text)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_a_film_that_cannot_be_referred_to_is_refused(keyword: str, tmp_path: Path) -> None:
    lacking = film(0)
    delattr(lacking, keyword)
    lacking.save_as(tmp_path / "film.dcm", enforce_file_format=False)
    with pytest.raises(XLIPError, match=keyword):
        read_source(tmp_path / "film.dcm")


def test_numbers_that_no_prediction_has_are_refused() -> None:
    for changes in ({"score": 1.5}, {"map": heat(0, 0, np.nan)}, {"low": 9.0}, {"score": float("nan")}):
        values = {"score": 0.5, "map": heat(0, 0, 1.0), "low": 0.0, **changes}
        with pytest.raises(XLIPError, match="x: expected"):
            prediction(findings=[finding("x", "", values["score"], 0.5, values["map"], values["low"], 8.0, True)])
    with pytest.raises(XLIPError, match="at least one finding"):
        prediction(findings=[])

"""From a film that came as DICOM to the objects of one prediction, and in one line why not."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pydicom
import pytest
from film_files import as_dicom
from served_encoder import FakeEncoder

from films import SECRETS, encoded, film
from xlip.pacs.finding import WARNING
from xlip.phantom import generate

FILM = film(0, size=128)
PATIENT_ENOUGH = 240
"""Seconds: the first question imports what makes the objects."""


def unzipped(answer: Any) -> dict[str, pydicom.Dataset]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def test_all_objects_stand_in_the_films_study_and_say_what_explain_says(
    serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    client = serving(kinds="Effusion,Pneumothorax,No_Finding", timeout=PATIENT_ENOUGH)
    asked = {"kinds": "Effusion", "texts": "a tube, in the trachea"}
    made = unzipped(client.post("/v1/dicom", files={"image": encoded(FILM)}, data=asked))
    assert set(made) == {"sc.dcm", "pm.dcm", "seg.dcm", "sr.dcm"}
    for one in made.values():
        assert (one.StudyInstanceUID, one.PatientID) == (FILM.StudyInstanceUID, FILM.PatientID)
        assert one.SOPInstanceUID != FILM.SOPInstanceUID
        assert WARNING in str(one)
        assert FILM.SOPInstanceUID in str(one)
    maps = client.post("/v1/explain", files={"image": encoded(FILM)}, data=asked).json()["maps"]
    report = str(made["sr.dcm"])
    for one in maps:
        assert f"{one['score']:.6g}"[:6] in report
    labels = [segment.SegmentLabel for segment in made["seg.dcm"].SegmentSequence]
    assert labels == [one["name"] for one in maps]
    lines = [json.loads(line) for line in client.audit.read_text().splitlines()]
    assert [line["route"] for line in lines] == ["/v1/dicom", "/v1/explain"]
    assert not [secret for secret in SECRETS if secret in caplog.text + client.audit.read_text()]


def test_objects_are_chosen_and_the_usual_findings_are_taken_where_none_is_named(serving: Callable[..., Any]) -> None:
    client = serving(kinds="Effusion,No_Finding", timeout=PATIENT_ENOUGH)
    made = unzipped(client.post("/v1/dicom?objects=sc,sr", content=encoded(FILM)))
    assert set(made) == {"sc.dcm", "sr.dcm"}
    assert "Pleural effusion" in str(made["sr.dcm"])


def test_the_models_own_threshold_is_kept_by_maps_and_objects(serving: Callable[..., Any], tmp_path: Any) -> None:
    for threshold, found in ((0.0, True), (1.0, False)):
        rule = tmp_path / "rule.json"
        rule.write_text(json.dumps({"threshold": threshold, "of_kind": {}, "chosen_on": "a test"}))
        client = serving(rule=str(rule), timeout=PATIENT_ENOUGH)
        (one,) = client.post("/v1/explain?kinds=Effusion", content=encoded(FILM)).json()["maps"]
        assert (one["found"], one["threshold"]) == (found, threshold)
        report = str(unzipped(client.post("/v1/dicom?kinds=Effusion&objects=sr", content=encoded(FILM)))["sr.dcm"])
        assert ("At or above threshold" in report) == found


@pytest.mark.parametrize(
    ("body", "query", "kind", "said"),
    [
        ("png", "", "no-dicom", "came as DICOM"),
        ("no ids", "", "no-dicom", "StudyInstanceUID"),
        ("lateral", "", "no-dicom", "lateral"),
        ("film", "kinds=No_Finding", "invalid", "at least one finding"),
        ("film", "objects=gif", "invalid", "objects"),
        ("film", "how=guess", "invalid", "how"),
        ("film", "kinds=Efusion", "invalid", "unknown kind"),
    ],
)
def test_what_cannot_be_made_is_said(
    body: str, query: str, kind: str, said: str, serving: Callable[..., Any], png: bytes
) -> None:
    bodies: dict[str, Callable[[], bytes]] = {
        "png": lambda: png,
        "no ids": lambda: as_dicom(generate(0, size=128).pixels),
        "lateral": lambda: encoded(
            film(0, size=128, ViewPosition="LL", SeriesDescription="Thorax", PatientOrientation=["A", "F"])
        ),
        "film": lambda: encoded(FILM),
    }
    answer = serving().post(f"/v1/dicom?{query}", content=bodies[body]())
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:xlip:problem:{kind}")
    assert said in answer.json()["detail"]
    assert not [secret for secret in SECRETS if secret in answer.text]


def test_without_the_extra_the_service_says_so_before_it_is_asked(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = FakeEncoder()
    client = serving(encoder=encoder)
    assert client.get("/v1/kinds").json()["dicom"] is True
    monkeypatch.setattr("xlip.serve.objects.find_spec", lambda name: None)
    about = client.get("/v1/kinds").json()
    assert about["dicom"] is False
    assert "xlip[pacs]" in about["no_dicom"]
    passes = list(encoder.batches)
    answer = client.post("/v1/dicom", content=encoded(FILM))
    assert answer.json()["type"] == "urn:xlip:problem:no-dicom"
    assert encoder.batches == passes


def test_the_view_of_a_header_warns_whatever_the_picture_looks_like(serving: Callable[..., Any]) -> None:
    client = serving()
    side = encoded(film(0, size=128, ViewPosition="LL", SeriesDescription="Thorax", PatientOrientation=["A", "F"]))
    for data, said in ((encoded(FILM), ""), (side, "lateral")):
        warning = client.post("/v1/zeroshot", content=data).json()["films"][0]["warning"]
        assert (said in warning) if said else warning == ""

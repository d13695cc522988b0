from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fake_encoder import FakeEncoder
from xlip.errors import XLIPError
from xlip.explain.reference import Reference
from xlip.images.files import encode
from xlip.pacs.journal import Journal
from xlip.pacs.triage import TriageConfig, triage
from xlip.phantom import generate

SECRET = "MUSTERMANN-4711"
COUNT = 12


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms under a patient's name, some noise, an inverted film, a damaged one."""
    folder = tmp_path_factory.mktemp("films") / SECRET
    folder.mkdir()
    for index in range(COUNT):
        pixels = generate(index, size=128).pixels
        (folder / f"{SECRET}-{index}.png").write_bytes(encode(pixels, lossless=True))
    noise = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    (folder / "noise.png").write_bytes(encode(noise, lossless=True))
    (folder / "inverted.png").write_bytes(encode(255 - generate(0, size=128).pixels, lossless=True))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


def config(films: Path, out: Path, **changes: object) -> TriageConfig:
    values = {"source": str(films), "model": "fake", "out": str(out), "kinds": "Effusion,Mass", "side": 64, **changes}
    return TriageConfig(**values)  # type: ignore[arg-type]


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(out.read_text("utf-8").splitlines()))


def test_findings_come_first_then_what_cannot_be_judged_then_the_rest(films: Path, tmp_path: Path) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text('{"threshold": 0.42, "of_kind": {}, "chosen_on": "a test"}')
    out = tmp_path / "list.csv"
    counts = triage(config(films, out, rule=str(rule)), FakeEncoder(scale=3), lambda line: None)
    rows = rows_of(out)
    verdicts = [row["verdict"] for row in rows]
    assert verdicts == sorted(verdicts, key=["finding", "cannot judge", "nothing found"].index)
    assert [row["rank"] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert counts["cannot judge"] >= 2  # noise and the damaged file
    assert sum(counts[verdict] for verdict in set(verdicts)) == len(rows) == COUNT + 3
    for verdict in ("finding", "nothing found"):
        priorities = [float(row["priority"]) for row in rows if row["verdict"] == verdict]
        assert priorities == sorted(priorities, reverse=True)
        assert all((priority >= 0) == (verdict == "finding") for priority in priorities)
    for row in rows:
        if row["verdict"] == "cannot judge":
            assert row["reason"]
            assert not row["Effusion"] + row["Mass"] + row["map"]
        else:
            assert max(float(row["Effusion"]), float(row["Mass"])) >= 0
            assert bool(row["map"]) == (row["verdict"] == "finding")
            assert not row["map"] or (tmp_path / row["map"]).is_file()


def test_no_name_of_a_file_is_in_anything_that_is_written(films: Path, tmp_path: Path) -> None:
    said: list[str] = []
    triage(config(films, tmp_path / "list.csv"), FakeEncoder(), said.append)
    for file in tmp_path.rglob("*"):
        assert SECRET not in file.name
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes()
    assert SECRET not in " ".join(said)


def test_a_film_is_encoded_once_for_scores_distance_and_maps(films: Path, tmp_path: Path) -> None:
    encoder = FakeEncoder()
    counts = triage(config(films, tmp_path / "list.csv"), encoder, lambda line: None)
    assert sum(encoder.passes) == counts["finding"] + counts["nothing found"]
    assert counts["finding"] > 0


def test_a_second_run_judges_only_what_is_new(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    late = folder / f"{SECRET}-0.png"
    kept = late.read_bytes()
    late.unlink()
    out = tmp_path / "list.csv"
    triage(config(folder, out), FakeEncoder(), lambda line: None)
    late.write_bytes(kept)
    encoder = FakeEncoder()
    counts = triage(config(folder, out, no_maps=True), encoder, lambda line: None)
    assert sum(encoder.passes) == 1
    assert counts["judged before"] == COUNT + 1 or counts["judged before"] == COUNT + 2
    whole = tmp_path / "whole.csv"
    triage(config(folder, whole), FakeEncoder(), lambda line: None)
    assert [row["film"] for row in rows_of(out)] == [row["film"] for row in rows_of(whole)]
    assert [row["priority"] for row in rows_of(out)] == [row["priority"] for row in rows_of(whole)]


def test_a_killed_run_goes_on_behind_its_last_whole_line(films: Path, tmp_path: Path) -> None:
    out, journal = tmp_path / "list.csv", tmp_path / "list" / "journal.jsonl"
    triage(config(films, out), FakeEncoder(), lambda line: None)
    expected = out.read_text("utf-8")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:6]) + lines[6][:20])
    out.unlink()
    counts = triage(config(films, out), FakeEncoder(), lambda line: None)
    assert counts["judged before"] == 5
    assert out.read_text("utf-8") == expected


def test_other_settings_are_refused(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "list.csv"
    triage(config(films, out), FakeEncoder(), lambda line: None)
    before = out.read_text("utf-8")
    for encoder, changes in ((FakeEncoder(identity="another"), {}), (FakeEncoder(), {"kinds": "Edema"})):
        with pytest.raises(XLIPError, match=r"journal\.jsonl: made with another model, other kinds"):
            triage(config(films, out, **changes), encoder, lambda line: None)
    assert out.read_text("utf-8") == before


def test_films_far_from_the_training_data_are_not_judged(films: Path, tmp_path: Path) -> None:
    def nearest(images: np.ndarray, k: int) -> np.ndarray:
        """Bright images are near."""
        return np.repeat((images[:, 1] > np.median(images[:, 1])).astype(np.float32)[:, None], k, 1)

    reference = Reference(nearest, 0.5, "a test", "key")
    out = tmp_path / "list.csv"
    triage(config(films, out, batch_size=64), FakeEncoder(), lambda line: None, reference)
    rows = rows_of(out)
    far = [row for row in rows if row["reason"].startswith("far from the training data: distance 1.000, threshold 0.5")]
    judged = [row for row in rows if row["distance"]]
    assert COUNT <= len(judged) == len(far) + len(judged) // 2
    assert all(row["verdict"] == "cannot judge" and not row["Mass"] for row in far)
    assert {row["distance"] for row in rows if row["verdict"] != "cannot judge"} == {"0.0000"}


def test_the_folder_of_a_reference_that_is_images_is_made_and_kept(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "list.csv"
    triage(config(films, out, reference=str(films)), FakeEncoder(), lambda line: None)
    assert len(list((tmp_path / "list").glob("reference-*.npz"))) == 1
    assert all(row["distance"] for row in rows_of(out) if row["verdict"] != "cannot judge")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"out": "list.txt"}, "expected a file that ends in .csv"),
        ({"kinds": " , "}, "expected at least one kind"),
        ({"source": "/nowhere/at/all"}, "nothing is there"),
        ({"how": "response"}, "use --how occlusion"),
    ],
)
def test_what_cannot_be_done_is_said(changes: dict[str, str], said: str, films: Path, tmp_path: Path) -> None:
    asked = replace(config(films, tmp_path / "list.csv"), **changes)
    with pytest.raises(XLIPError, match=said):
        triage(asked, FakeEncoder(has_maps=False), lambda line: None)


def test_a_journal_of_another_form_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text("not JSON\n")
    with pytest.raises(XLIPError, match="remove it to begin again"):
        Journal(file, "x")
    file.write_text(json.dumps({"other": 1}) + "\n")
    with pytest.raises(XLIPError, match="remove it to begin again"):
        Journal(file, "x")

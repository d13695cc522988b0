from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from real_data import real_data
from xlip.audit import candidates as candidates_module
from xlip.audit import match as match_module
from xlip.audit.candidates import candidates
from xlip.audit.checks import conflicts, missing_sections, shortcuts, uncertainty_removed
from xlip.audit.index import Facts, Index, SetPart, build_index, text_digest
from xlip.audit.phash import POSES, SIZE
from xlip.audit.run import AuditConfig, audit, read_exclusions, refuse_leaks, write_exclusions
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.images.files import decode, encode
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.study.labels import UNCERTAIN
from xlip.study.parquet import write_studies
from xlip.study.record import Study

LONG = (
    "The heart is of normal size and there is a small effusion on the left side with some atelectasis next to it today."
)


def studies(numbers: Sequence[int], source: str, **fields: Any) -> list[Study]:
    made = []
    for number in numbers:
        image = encode(generate(number, size=128).pixels)
        made.append(Study(f"{source}/{number}", f"{source}/p{number}", source, image=image, **fields))
    return made


def turned_copy(study: Study, **fields: Any) -> Study:
    assert study.image is not None
    picture = Image.fromarray(decode(study.image)).rotate(2.5, Image.Resampling.BICUBIC).resize((110, 110))
    return study._replace(image=encode(np.asarray(picture)), **fields)


@pytest.fixture
def sets(tmp_path: Path) -> tuple[str, str]:
    """Eight training studies, four test studies, and one leak of every kind between them."""
    train = studies(range(8), "a")
    test = studies(range(20, 24), "b", split="test")
    train[0] = train[0]._replace(patient_id="b/p20")
    train[1] = train[1]._replace(image=test[1].image)
    train[2] = turned_copy(test[2], study_id="a/2", patient_id="a/p2", split="train")
    train[3] = train[3]._replace(report=LONG)
    test[3] = test[3]._replace(report=LONG.upper().replace(".", " !"))
    train.append(train[4]._replace(study_id="b/23", patient_id="a/p9", image=None, report="Clear."))
    write_studies(train, tmp_path / "train.parquet")
    write_studies(test, tmp_path / "test.parquet")
    return str(tmp_path / "train.parquet"), str(tmp_path / "test.parquet")


def test_every_kind_of_overlap_is_found_and_nothing_else(sets: tuple[str, str]) -> None:
    report = audit(AuditConfig([sets[0]], [sets[1]], workers=0))
    (found,) = report.overlaps.values()
    assert [(item.kind, item.train, item.test) for item in found] == [
        ("patient", "a/0", "b/20"),
        ("study", "b/23", "b/23"),
        ("pixels", "a/1", "b/21"),
        ("picture", "a/2", "b/22"),
        ("report", "a/3", "b/23"),
    ]
    assert set(report.leaking) == {"a/0", "a/1", "a/2", "a/3", "b/23"}


def test_two_processes_find_the_same(tmp_path: Path) -> None:
    prepare("phantom", tmp_path, tmp_path / "a", workers=0, options={"count": 130})
    prepare("phantom", tmp_path, tmp_path / "b", workers=0, options={"count": 70, "start": 100})
    one, two = (audit(AuditConfig([str(tmp_path / "a")], [str(tmp_path / "b")], workers=n)) for n in (0, 2))
    assert one == two
    assert set(one.leaking) == {f"phantom/0/{n}" for n in range(100, 130)}


def test_pictures_that_are_only_alike_are_shown_and_are_no_leak(
    sets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match_module, "SAME", 1.1)
    report = audit(AuditConfig([sets[0]], [sets[1]], workers=0))
    (found,) = report.overlaps.values()
    assert [(item.kind, item.train) for item in found if item.kind in ("picture", "alike")] == [("alike", "a/2")]
    assert "a/2" not in report.leaking
    assert ("alike", 1, 1) in [row[1:] for row in report.table()]


def test_exclusions_end_the_leak(sets: tuple[str, str], tmp_path: Path) -> None:
    report = audit(AuditConfig([sets[0]], [sets[1]], workers=0))
    assert write_exclusions(report, tmp_path / "out" / "list.csv") == 5
    with (tmp_path / "out" / "list.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0] == {"study_id": "a/0", "kind": "patient", "test_study_id": "b/20", "score": "1.0"}
    again = audit(AuditConfig([sets[0]], [sets[1]], exclusions=tmp_path / "out" / "list.csv", workers=0))
    assert (again.leaking, again.excluded) == ({}, 5)


def test_training_is_refused_until_the_studies_are_excluded(sets: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"5 training studies.*1 by patient.*--write-exclusions"):
        refuse_leaks([f"{sets[0]}:train"], [sets[1]], "")
    write_exclusions(audit(AuditConfig([sets[0]], [sets[1]], workers=0)), tmp_path / "list.csv")
    refuse_leaks([f"{sets[0]}:train"], [sets[1]], str(tmp_path / "list.csv"))
    refuse_leaks([f"{sets[0]}:train"], [], "")


def test_sets_behind_a_url_are_compared_as_those_here(sets: tuple[str, str]) -> None:
    import fsspec

    urls = [f"memory://audited/{Path(one).name}" for one in sets]
    for here, there in zip(sets, urls, strict=True):
        fsspec.filesystem("memory").put(here, there, recursive=True)
    expected, found = (audit(AuditConfig([one[0]], [one[1]], workers=0)) for one in (sets, urls))
    assert [row[1:] for row in found.table()] == [row[1:] for row in expected.table()]
    with pytest.raises(XLIPError, match="5 training studies"):
        refuse_leaks([f"{urls[0]}:train"], [f"{urls[1]}:test"], "")


def test_pretraining_tables_refuse_and_obey(sets: tuple[str, str], tmp_path: Path) -> None:
    from xlip.batches.streams import Streams
    from xlip.batches.study_table import SetConfig
    from xlip.train.build import build_tables

    data = Streams(images=[SetConfig(sets[0])], mix={"images": 2}, test_sets=[sets[1]])
    with pytest.raises(XLIPError, match="are in the test sets"):
        build_tables(data)
    write_exclusions(audit(AuditConfig([sets[0]], [sets[1]], workers=0)), tmp_path / "list.csv")
    tables = build_tables(replace(data, exclusions=str(tmp_path / "list.csv")))
    assert {tables["images"][n].study_id for n in range(len(tables["images"]))} == {"a/4", "a/5", "a/6", "a/7"}


def test_command_says_leak_by_its_exit_code(
    sets: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "audit",
        sets[0],
        "--against",
        sets[1],
        "--workers",
        "0",
        "--write-exclusions",
        str(tmp_path / "x.csv"),
    ]
    assert main([*arguments, "--out", str(tmp_path / "report.json")]) == 1
    assert "leak: 5 training studies" in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text())["leaking"] == 5
    assert (
        main(["audit", sets[0], "--against", sets[1], "--workers", "0", "--exclusions", str(tmp_path / "x.csv")]) == 0
    )
    assert "no leak; 5 more are on the list" in capsys.readouterr().out
    assert main(["audit", sets[0], "--workers", "0"]) == 0
    assert main(["audit", str(tmp_path / "none"), "--workers", "0"]) == 2


def test_small_images_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = studies(range(2), "a")
    tiny = large[1]._replace(image=encode(np.zeros((95, 128), np.uint8)))
    write_studies([large[0], tiny], tmp_path / "train.parquet")
    write_studies(studies([8], "b"), tmp_path / "test.parquet")
    arguments = ["audit", str(tmp_path / "train.parquet"), "--against", str(tmp_path / "test.parquet")]
    assert main([*arguments, "--workers", "0"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("warning: ") == 1
    assert f"warning: {tmp_path / 'train.parquet'}:train: 1 images have a side below 96 pixels" in printed


def test_splits_are_chosen_by_name_or_by_custom(sets: tuple[str, str], tmp_path: Path) -> None:
    mixed = [*studies(range(2), "a"), *studies(range(2, 5), "a", split="test"), *studies([5], "a", split="val")]
    write_studies(mixed, tmp_path / "mixed.parquet")
    path = str(tmp_path / "mixed.parquet")
    counts = {
        text: len(build_index(SetPart.parse(text), posed=False, prefer=prefer, workers=0).ids)
        for text, prefer in ((path, "test"), (f"{path}:train", "test"), (f"{path}:val", "train"))
    }
    assert list(counts.values()) == [3, 2, 1]
    assert audit(AuditConfig([path], [path], workers=0)).leaking == {}
    with pytest.raises(XLIPError, match="it has test, train, val"):
        audit(AuditConfig([f"{path}:dev"], workers=0))


def test_candidates_are_those_of_a_naive_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(candidates_module, "TRAIN_BLOCK", 7)
    monkeypatch.setattr(candidates_module, "TEST_BLOCK", 2)

    def unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    train, test = Index("a"), Index("b")
    tests, poses = 5, len(POSES)
    train.hashes, train.owners = unit(rng.standard_normal((30, SIZE))), np.repeat(np.arange(15), 2)
    test.hashes, test.owners = unit(rng.standard_normal((tests * poses, SIZE))), np.repeat(np.arange(tests), poses)
    train.hashes[11] = unit((test.hashes[poses + 3] + 0.01 * rng.standard_normal(SIZE))[None])[0]
    train.hashes[20] = test.hashes[4 * poses]
    found = {(one.train, one.test, one.pose) for one in candidates(train, test)}
    cosines = train.hashes @ test.hashes.T
    naive = {
        (int(train.owners[row]), int(test.owners[column]), int(column % poses))
        for row, column in np.argwhere(cosines >= 0.90)
    }
    assert found == naive == {(5, 1, 3), (10, 4, 0)}


def test_pictures_that_look_alike_give_the_closest_of_a_naive_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Around one common picture, as chests are, so that many bounds pass and most cosines do not."""
    rng = np.random.default_rng(1)
    for name, size in (("TRAIN_BLOCK", 16), ("TEST_BLOCK", 3), ("TOGETHER", 5), ("LEADING", 8)):
        monkeypatch.setattr(candidates_module, name, size)
    fall = np.exp(-np.arange(SIZE) / 12)

    def alike(rows: int) -> np.ndarray[Any, Any]:
        made = 2.2 * fall + fall * rng.standard_normal((rows, SIZE))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    train, test = Index("a"), Index("b")
    tests, poses = 7, len(POSES)
    train.hashes, train.owners = alike(90), np.repeat(np.arange(45), 2)
    test.hashes, test.owners = alike(tests * poses), np.repeat(np.arange(tests), poses)
    cosines = (train.hashes @ test.hashes.T).reshape(45, 2, tests, poses).max((1, 3))
    naive = {(int(i), j) for j in range(tests) for i in np.argsort(-cosines[:, j])[:3] if cosines[i, j] >= 0.90}
    for workers in (0, 2):
        found = candidates(train, test, workers)
        assert {(one.train, one.test) for one in found} == naive
        assert [one.cosine for one in found] == pytest.approx([cosines[one.train, one.test] for one in found], abs=1e-6)
    assert len(naive) == 3 * tests < (cosines >= 0.90).sum() < cosines.size  # more pass the bar than may stay


def test_only_the_closest_training_studies_are_looked_at() -> None:
    train, test = Index("a"), Index("b")
    row = np.zeros(SIZE, np.float32)
    row[0] = 1
    train.hashes = np.stack([row * (1 - n / 1000) for n in range(10)])
    train.owners = np.arange(10)
    test.hashes, test.owners = np.stack([row] * len(POSES)), np.zeros(len(POSES), np.int64)
    assert sorted(one.train for one in candidates(train, test)) == [0, 1, 2]


def facts(source: str, labels: dict[str, int], **fields: Any) -> Facts:
    base: dict[str, Any] = {
        "view": "", "read": (), "sections": (), "has_report": False, "has_image": True
    }  # fmt: skip
    return Facts(**{**base, "source": source, "labels": tuple(labels.items()), **fields})


def test_a_class_that_is_the_source_is_a_shortcut() -> None:
    mixed = [facts("a" if n % 2 else "b", {"Mass": int(n % 4 < 2)}) for n in range(80)]
    given_away = [facts("a" if n % 2 else "b", {"COVID-19": n % 2}) for n in range(80)]
    (found,) = shortcuts([*mixed, *given_away])
    assert (found.kind, found.by, found.share) == ("COVID-19", "source", 1.0)
    assert found.present == {"a": "40 / 40", "b": "0 / 40"}
    assert shortcuts(given_away[:10]) == []


@pytest.mark.parametrize(
    ("table", "share"),
    [([[5, 5], [5, 5]], 0.0), ([[9, 0], [0, 4]], 1.0), ([[3, 0], [4, 0]], 0.0), ([[8, 0], [4, 4]], None)],
)
def test_uncertainty_removed(table: list[list[int]], share: float | None) -> None:
    found = uncertainty_removed(np.array(table))
    if share is None:
        total, inside = 12 / 16 * np.log2(16 / 12) + 4 / 16 * np.log2(4), 0.5
        share = 1 - inside / total
    assert found == pytest.approx(share)


def test_missing_sections_are_counted_where_sections_are_known() -> None:
    found = missing_sections([
        facts("a", {}, sections=("findings", "impression"), has_report=True),
        facts("a", {}, sections=("indication",)),
        facts("a", {}, has_report=True),
    ])  # fmt: skip
    assert found == {
        "with sections": 2,
        "without findings": 1,
        "without impression": 1,
        "without both": 1,
        "with sections, but no report": 1,
    }


def test_label_conflicts() -> None:
    index = Index("a", ids=["a", "b", "c"], pixels=[5, 5, 0])
    index.facts = [
        facts("a", {"No_Finding": 1, "Mass": 1}),
        facts("a", {"Mass": 0}, read=(("Edema", 1),)),
        facts("a", {"Edema": 0, "Mass": UNCERTAIN}, read=(("Edema", 1), ("Mass", 1))),
    ]
    assert [(one.what, one.examples) for one in conflicts(index)] == [
        ("Edema: the label says absent, the report present", ("c",)),
        ("Mass: copies of one image have different labels", ("a",)),
        ("No_Finding is present, and so is Mass", ("a",)),
    ]


def test_short_and_repeated_texts_give_nobody_away(tmp_path: Path) -> None:
    assert text_digest("Clear lungs.") == text_digest(None) == 0
    assert text_digest(LONG) == text_digest(LONG.lower() + "  ")
    once = [Study(f"a/{n}", f"p{n}", "a", report=LONG) for n in range(2)]
    write_studies(once, tmp_path / "a.parquet")
    write_studies([Study("b/1", "q", "b", report=LONG)], tmp_path / "b.parquet")
    assert audit(AuditConfig([str(tmp_path / "a.parquet")], [str(tmp_path / "b.parquet")], workers=0)).leaking == {}


def test_faults_of_a_list_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("id\n1\n")
    with pytest.raises(XLIPError, match="no column 'study_id'"):
        read_exclusions(tmp_path / "bad.csv")
    with pytest.raises(XLIPError, match="no such file"):
        read_exclusions(tmp_path / "none.csv")
    with pytest.raises(XLIPError, match="at least one"):
        audit(AuditConfig([]))


def test_real_originals_are_found_in_the_shrunk_sets(tmp_path: Path) -> None:
    root = real_data("covid-19-image-repository")
    prepare("hannover", root, tmp_path / "train", workers=0)
    prepare("folder", root / "originals", tmp_path / "test", workers=0)
    report = audit(AuditConfig([str(tmp_path / "train")], [str(tmp_path / "test")], workers=0, checks=False))
    originals = {file.stem for file in (root / "originals").rglob("*.png")}
    assert originals
    assert {item.train.split("/")[-1] for item in report.leaking.values()} >= originals

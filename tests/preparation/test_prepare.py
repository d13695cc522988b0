from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from real_data import real_data
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.images.files import decode, encode
from xlip.preparation import run as module
from xlip.preparation.plan import PART, parts_of
from xlip.preparation.run import held_out, prepare
from xlip.reports.entities import TAGGER
from xlip.sources.source import Candidate, Dropped
from xlip.study.parquet import parquet_files, read_studies
from xlip.study.record import Study

COLUMNS = {"image_column": "file", "report_column": "text", "patient_column": "who", "id_column": "id"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten rows: seven usable, one damaged image, one missing image, one repeated id."""
    folder = tmp_path / "raw"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 80)).astype(np.uint8)
    for number in range(6):
        (folder / f"{number}.png").write_bytes(encode(noise, lossless=True))
    (folder / "cut.png").write_bytes(encode(noise, lossless=True)[:2000])
    lines = [f"s{n},{n}.png,{'No pneumothorax.' if n < 3 else ''},p{n // 2},{n % 2}" for n in range(6)]
    lines += ["cut,cut.png,,p8,1", "gone,gone.png,,p9,1", "s0,0.png,again,p0,1", "text,,Large effusion.,p7,"]
    (folder / "table.csv").write_text("id,file,text,who,Mass\n" + "\n".join(lines) + "\n", "utf-8")
    return folder / "table.csv"


def run(root: Path, out: Path, **settings: Any) -> module.Summary:
    return prepare("csv", root, out, **{"workers": 0, "options": COLUMNS, **settings})


def quarantined(out: Path) -> list[list[str]]:
    with (out / "quarantine.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def source_of(monkeypatch: pytest.MonkeyPatch, rows: Any) -> None:
    monkeypatch.setattr(module, "load_source", lambda name: lambda root: rows())


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_usable_rows_are_kept_in_order_and_shrunk(root: Path, tmp_path: Path) -> None:
    summary = run(root, tmp_path / "out", short_side=30)
    studies = list(read_studies(tmp_path / "out"))
    assert [study.study_id for study in studies] == [f"csv/s{n}" for n in range(6)] + ["csv/text"]
    assert summary.kept == 7
    assert all(decode(study.image).shape == (30, 40) for study in studies if study.image)
    assert [study.image is None for study in studies] == [False] * 6 + [True]
    assert studies[0].image_path == "0.png"


def test_reports_without_entities_are_tagged_and_labels_are_left_alone(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "out")
    studies = {study.study_id: study for study in read_studies(tmp_path / "out")}
    words = {
        study.report[e.start : e.end].lower() for study in studies.values() if study.report for e in study.entities
    }
    assert {"pneumothorax", "effusion"} <= {word for phrase in words for word in phrase.split()}
    assert studies["csv/s4"].entities == ()
    assert (studies["csv/s1"].tagger, studies["csv/s4"].tagger) == (TAGGER, "")
    assert studies["csv/s1"].labels == {"Mass": 1}
    assert studies["csv/text"].labels == {}


def test_bad_rows_are_quarantined_with_their_reason(root: Path, tmp_path: Path) -> None:
    summary = run(root, tmp_path / "out")
    header, *rows = quarantined(tmp_path / "out")
    reasons = dict(rows)
    assert header == ["row", "reason"]
    assert len(rows) == summary.dropped.total() == 3
    assert "cut.png" in reasons["csv/cut"]
    assert "gone.png" in reasons["table.csv:9"]
    assert "duplicate" in reasons["csv/s0"]
    assert set(summary.dropped) == {"not a readable image", "image file not found", "duplicate study id"}


def test_stats_are_what_is_in_the_shards(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "out", holdout=0.5, seed=4)
    stats = json.loads((tmp_path / "out" / "stats.json").read_text("utf-8"))
    studies = list(read_studies(tmp_path / "out"))
    assert (stats["kept"], stats["images"], stats["reports"], stats["pairs"], stats["patients"]) == (7, 6, 4, 3, 4)
    assert stats["splits"] == {name: [s.split for s in studies].count(name) for name in stats["splits"]}
    assert sum(stats["splits"].values()) == 7
    assert stats["kinds"] == {"Mass": {"present": 4, "absent": 2}}  # what both rows of s0 say counts
    assert (stats["source"], stats["settings"]["holdout"], stats["settings"]["seed"]) == ("csv", 0.5, 4)


def test_worker_processes_give_the_same_files(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "one", workers=0)
    run(root, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_holdout_is_patient_disjoint_and_depends_on_the_seed(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "out", holdout=0.5, seed=1)
    studies = list(read_studies(tmp_path / "out"))
    parts = {split: {s.patient_id for s in studies if s.split == split} for split in ("train", "test")}
    assert not parts["train"] & parts["test"]
    assert parts["test"] == {s.patient_id for s in studies if held_out(s.patient_id, 1, 0.5)}
    assert [held_out(str(n), 0, 0.5) for n in range(64)] != [held_out(str(n), 1, 0.5) for n in range(64)]


def test_validation_patients_are_others_and_leave_the_test_part_as_it_was(root: Path, tmp_path: Path) -> None:
    def parts(**shares: float) -> dict[str, set[str]]:
        run(root, tmp_path / "out", seed=1, **shares)
        studies = list(read_studies(tmp_path / "out"))
        return {split: {s.patient_id for s in studies if s.split == split} for split in ("train", "val", "test")}

    before, after = parts(holdout=0.4), parts(holdout=0.4, validation=0.3)
    assert after["test"] == before["test"]
    assert after["val"]
    assert after["val"] | after["train"] == before["train"]
    assert not after["val"] & after["train"]
    with pytest.raises(XLIPError, match=r"validation: expected a share in \[0, 1 - holdout\), got 0.6"):
        parts(holdout=0.4, validation=0.6)


def test_held_out_share_is_close_and_grows_monotonically() -> None:
    share = np.mean([held_out(f"p{n}", 0, 0.2) for n in range(5000)])
    assert abs(share - 0.2) < 0.02
    assert all(held_out(f"p{n}", 0, 0.5) for n in range(500) if held_out(f"p{n}", 0, 0.2))
    assert not any(held_out(f"p{n}", 0, 0.0) for n in range(500))
    assert held_out("nih/1", 0, 0.0) is False


def test_held_out_never_changes_between_versions() -> None:
    assert "".join(str(int(held_out(f"p{n}", 0, 0.5))) for n in range(32)) == "00100000111111010011000110111010"


def test_holdout_leaves_the_test_split_of_the_source_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[Candidate]:
        for n in range(40):
            yield Candidate(Study(f"a/{n}", f"p{n}", "a", report="Clear.", split="test" if n % 2 else "train"))

    source_of(monkeypatch, rows)
    prepare("a", tmp_path, tmp_path / "out", holdout=0.3, workers=0)
    studies = list(read_studies(tmp_path / "out"))
    for study in studies:
        official = int(study.study_id[2:]) % 2 == 1
        assert study.split == ("test" if official or held_out(study.patient_id, 0, 0.3) else "train")
    assert {study.split for study in studies if int(study.study_id[2:]) % 2 == 0} == {"train", "test"}


@pytest.mark.parametrize("count", [1, 63, 128, 129, 200])
def test_parts_differ_by_one_study_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    source_of(monkeypatch, lambda: (Candidate(Study(f"a/{n}", "p", "a", report="Clear.")) for n in range(count)))
    summary = prepare("a", tmp_path, tmp_path / "out", workers=0)
    files = parquet_files(tmp_path / "out")
    assert [file.name for file in files] == [f"part-{n:05d}-of-{len(files):05d}.parquet" for n in range(len(files))]
    parts = [[s.study_id for s in read_studies(file)] for file in files]
    assert [id_ for part in parts for id_ in part] == [f"a/{n}" for n in range(count)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert summary.parts == len(files) == parts_of(count)


@given(st.integers(0, 10**7))
def test_parts_split_evenly_over_any_power_of_two_of_readers(studies: int) -> None:
    parts = parts_of(studies)
    assert parts * PART >= studies
    assert parts & (parts - 1) == 0 if parts <= 64 else parts % 64 == 0
    assert parts == 1 or studies / parts >= 32


def test_a_second_run_replaces_the_first(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "out")
    (tmp_path / "out" / "part-00007.parquet").write_bytes(b"left over")
    run(root, tmp_path / "out")
    card = ["README.md", "contact_sheet.png", "croissant.json", "histograms.png"]
    tables = ["part-00000-of-00001.parquet", "quarantine.csv", "stats.json", "warnings.csv"]
    assert sorted(contents(tmp_path / "out")) == [*card, *tables]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


@pytest.mark.parametrize("fault", [RuntimeError("disk"), KeyboardInterrupt(), XLIPError("row 3")])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_failed_run_leaves_everything_as_it_was(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, earlier: bool
) -> None:
    if earlier:
        run(root, tmp_path / "out")
    before = contents(tmp_path / "out") if earlier else {}

    def rows() -> Iterator[Candidate]:
        yield Candidate(Study("a/1", "p", "a", report="Clear."))
        raise fault

    source_of(monkeypatch, rows)
    with pytest.raises(type(fault)):
        prepare("a", tmp_path, tmp_path / "out", workers=0)
    assert (tmp_path / "out").exists() == earlier
    assert (contents(tmp_path / "out") if earlier else {}) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == (["out", "raw"] if earlier else ["raw"])


def test_a_failed_swap_brings_the_old_folder_back(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(root, tmp_path / "out")
    before, rename = contents(tmp_path / "out"), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == tmp_path / "out" and not self.name.endswith(".old"):
            raise OSError("no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"):
        run(root, tmp_path / "out", short_side=8)
    assert contents(tmp_path / "out") == before
    monkeypatch.undo()
    run(root, tmp_path / "out", short_side=8)
    assert contents(tmp_path / "out") != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_a_foreign_folder_or_file_is_never_replaced(root: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("thesis", "file"):
        with pytest.raises(XLIPError, match="not written by `xlip prepare`"):
            run(root, tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == (tmp_path / "file").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert run(root, tmp_path / "empty").kept == 7


def test_nothing_usable_is_an_error_that_names_the_top_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drops = [Dropped("t:1", "image file a not found"), Dropped("t:2", "bad"), Dropped("t:3", "image file b not found")]
    source_of(monkeypatch, lambda: iter(drops))
    with pytest.raises(XLIPError, match="2 rows: image file not found"):
        prepare("a", tmp_path, tmp_path / "out", workers=0)
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="holdout"):
        run(root, tmp_path / "out", holdout=1.5)
    with pytest.raises(XLIPError, match="colour"):
        run(root, tmp_path / "out", options={**COLUMNS, "colour": "red"})
    with pytest.raises(XLIPError, match="unknown source"):
        prepare("nope", root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_real_covid_set_prepares(tmp_path: Path) -> None:
    summary = prepare("covid-chestxray", real_data("covid-chestxray-dataset"), tmp_path / "out", workers=0)
    assert (summary.kept, summary.pairs, summary.patients, summary.dropped.total()) == (304, 290, 153, 0)
    assert summary.kinds["Pneumonia"]["present"] == 216
    assert all(max(decode(s.image).shape) > 0 for s in read_studies(tmp_path / "out") if s.image)


def test_a_named_split_replaces_the_splits_and_is_written_down(root: Path, tmp_path: Path) -> None:
    for part, names in {"train": "0.png 1.png", "val": "2.png", "test": "3.png 4.png"}.items():
        (root.parent / f"{part}.txt").write_text("\n".join(names.split()))
    summary = run(root, tmp_path / "out", split="lists", lists=root.parent)
    found = {study.image_path: study.split for study in read_studies(tmp_path / "out")}
    assert found == {
        **{"0.png": "train", "1.png": "train", "2.png": "val", "3.png": "test", "4.png": "test"},
        **{"5.png": "unused", "": "unused"},
    }
    stats = json.loads((tmp_path / "out" / "stats.json").read_text("utf-8"))
    assert (stats["split_name"], stats["split_checksum"]) == ("lists", summary.split_checksum)
    assert summary.split_checksum in (tmp_path / "out" / "README.md").read_text("utf-8")
    (root.parent / "test.txt").write_text("3.png")
    assert run(root, tmp_path / "out", split="lists", lists=root.parent).split_checksum != summary.split_checksum


@pytest.mark.usefixtures("pictures")
def test_the_data_card_says_what_was_kept_and_why_rows_were_dropped(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "7 studies of 4 patients: 6 images, 4 reports, 3 pairs" in card
    assert "| Mass | 4 | 2 | 0 |" in card
    assert "| not a readable image | 1 | csv/cut |" in card
    sheet = decode(tmp_path / "out" / "contact_sheet.png")
    assert sheet.shape == (6 * 128, 8 * 128)
    assert [bool(sheet[5:120, n * 128 + 5 : n * 128 + 120].any()) for n in range(8)] == [True] * 6 + [False] * 2
    assert decode(tmp_path / "out" / "histograms.png").size


def test_png_keeps_every_pixel_and_the_original_size_is_kept(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    Image.fromarray(noise).save(raw / "a.png")
    for encoding in ("png", "jpeg"):
        prepare("folder", raw, tmp_path / encoding, workers=0, encoding=encoding, short_side=50)
    (exact,), (close,) = (list(read_studies(tmp_path / encoding)) for encoding in ("png", "jpeg"))
    assert exact.image is not None
    assert np.array_equal(decode(exact.image), decode(raw / "a.png"))
    assert (exact.width, exact.height, close.width, close.height) == (70, 50, 70, 50)
    with pytest.raises(XLIPError, match="jpeg, png; got 'gif'"):
        prepare("folder", raw, tmp_path / "gif", encoding="gif")


@pytest.mark.usefixtures("pictures")
def test_memory_does_not_grow_with_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = encode(np.zeros((64, 64), np.uint8))

    def peak(count: int) -> int:
        source_of(monkeypatch, lambda: (Candidate(Study(f"a/{n}", f"p{n}", "a", image=image)) for n in range(count)))
        tracemalloc.start()
        prepare("a", tmp_path, tmp_path / str(count), workers=0)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(100)  # imports
    small, large = peak(1500), peak(6000)
    assert large < 1.5 * small + 1e6


def test_real_sets_have_the_counts_of_their_description(tmp_path: Path) -> None:
    kept = {
        source: prepare(source, real_data(folder), tmp_path / source, workers=0).kept
        for source, folder in (("nih", "nih_chestxray14_subset"), ("hannover", "covid-19-image-repository"))
    }
    assert kept == {"nih": 1090, "hannover": 243}
    assert sum(len(study.boxes) for study in read_studies(tmp_path / "nih")) > 0


@pytest.mark.slow
def test_every_real_set_prepares_without_an_unexplained_drop(tmp_path: Path) -> None:
    expected = {
        ("kermany", "kermany_chest_xray", ""): (5190, 0),
        ("openi", "iu_openi", "kaggle"): (3826, 25 + 113),
        ("openi", "iu_openi", "nlm"): (3927, 28 + 113),
        ("openi", "iu_openi", "r2gen"): (2955, 90),
        ("roco", "roco_cxr_captions", ""): (377, 0),
        ("folder", "dicom", ""): (6, 5),
    }
    for (source, folder, layout), counts in expected.items():
        options = {"layout": layout, "reports": "all"} if layout else {}
        summary = prepare(source, real_data(folder), tmp_path / f"{source}{layout}", workers=2, options=options)
        assert (summary.kept, summary.dropped.total()) == counts, (source, layout)
        known = {"neither a report nor an image", "another image of the report"}
        assert set(summary.dropped) <= known or source == "folder"


def test_command_prepares_and_prints_the_checksum(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"--options.{name}={value}" for name, value in COLUMNS.items()]
    base = ["prepare", "csv", "--root", str(root), "--out", str(tmp_path / "out"), "--workers", "0", *options]
    assert main([*base, "--split", "patients/70-15-15", "--short-side", "40"]) == 0
    printed = capsys.readouterr().out
    assert "kept 7 studies" in printed
    assert "split patients/70-15-15, checksum " in printed
    assert "dropped 1: duplicate study id" in printed
    assert main([*base[:-1], "--split", "nowhere"]) == 2
    assert "unknown split 'nowhere'" in capsys.readouterr().err

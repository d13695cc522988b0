"""A run's folder in another place, under another account, read-only: it loads, is measured, and goes on in a copy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from damages import without_override
from runs import log_rows, prepare_streams, small_run
from xlip.cli import main
from xlip.train.loop import pretrain

STRANGER = 12_345
"""The account that owns the folder, where the tests may give files away."""


def owned_by_another(folder: Path) -> None:
    """Readable for all, writable for nobody; under another account where we are root."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
        if not os.geteuid():
            os.chown(path, STRANGER, STRANGER)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that was made elsewhere, with its data and an uninterrupted twin; the first place is gone."""
    root = tmp_path_factory.mktemp("moved")
    first, later = root / "first", root / "an other place" / "Läufe"
    data = prepare_streams(first / "data", 12)
    pretrain(small_run(data, first / "run", steps=2, checkpoint_every=1))
    pretrain(small_run(data, root / "twin", steps=3, checkpoint_every=1))
    later.mkdir(parents=True)
    shutil.move(first / "run", later / "mine")
    shutil.move(first / "data", later / "sets")
    shutil.rmtree(first)
    owned_by_another(later / "mine")
    owned_by_another(later / "sets")
    yield later
    for path in (later, *later.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


def call(place: Path, out: Path, *words: str) -> int:
    """A command, without the right of root to write everywhere."""
    with without_override():
        return main([word.replace("{}", str(place)).replace("{out}", str(out)) for word in words])


def test_the_folder_is_read_only_in_earnest(place: Path) -> None:
    with without_override(), pytest.raises(PermissionError):
        (place / "mine" / "new").write_text("")


def test_it_is_measured_where_it_is(place: Path, tmp_path: Path) -> None:
    zeroshot = ("zeroshot", "--model", "{}/mine", "--data", "{}/sets/images", "--replicates", "20")
    assert call(place, tmp_path, *zeroshot, "--out", "{out}/scores") == 0
    assert (tmp_path / "scores" / "report.html").is_file()
    report = ("report", "{out}/scores", "--model", "{}/mine", "--data", "{}/sets/images", "--out", "{out}/page")
    assert call(place, tmp_path, *report) == 0
    assert (tmp_path / "page" / "README.md").is_file()
    assert call(place, tmp_path, "probe", "{}/mine", "--singles", "8", "--out", "{out}/probe") == 0
    step = "{}/mine/checkpoints/step-00000001"
    assert call(place, tmp_path, *zeroshot[:2], step, *zeroshot[3:], "--out", "{out}/first") == 0


def test_what_would_write_into_it_says_so_in_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    resume = ("pretrain", "--config", "{}/mine/config.yaml", *sets(place), "--resume", "auto", "--out", "{}/mine")
    for words in (resume, ("probe", "{}/mine", "--singles", "8")):
        assert call(place, tmp_path, *words) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith(f"xlip: {place / 'mine'}")
        assert "cannot write" in line
        assert "choose another" in line
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def sets(place: Path) -> list[str]:
    """Where the data are now."""
    names = ("pairs", "images", "texts")
    return [word for name in names for word in (f"--data.{name}", json.dumps([{"path": str(place / "sets" / name)}]))]


def test_a_copy_of_it_goes_on_as_if_it_had_never_moved(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(place / "mine", copy, copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    words = ("pretrain", "--config", "{out}/copy/config.yaml", *sets(place), "--steps", "3", "--resume", "true")
    assert call(place, tmp_path, *words, "--out", "{out}/copy") == 0
    twin = place.parents[1] / "twin"
    # The rate of the first two steps followed a schedule of two steps: what is compared is where the third began.
    assert [row["step"] for row in log_rows(copy)] == [row["step"] for row in log_rows(twin)] == [0, 1, 2]
    assert log_rows(copy)[0]["total"] == log_rows(twin)[0]["total"]


def test_a_run_without_its_data_says_which_set_is_not_there(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("pretrain", "--config", "{}/mine/config.yaml", "--out", "{out}/anew")
    assert call(place, tmp_path, *words) == 2
    assert "first/data/pairs" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "anew").exists()

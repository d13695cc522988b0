"""`croissant.json` beside a prepared set: other tools read the set by it, and it tells no study's text or path."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from xlip.preparation.croissant import CROISSANT
from xlip.preparation.run import prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("croissant") / "set"
    prepare("phantom", Path(), folder, workers=0, options={"count": 12, "size": 64})
    return folder


def test_the_library_of_the_form_finds_no_fault_and_reads_the_studies(prepared: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of that library's own dependencies
        import mlcroissant

        dataset = mlcroissant.Dataset(str(prepared / CROISSANT))
        assert not dataset.metadata.issues.errors
        rows = list(dataset.records("studies"))
    assert {row["studies/study_id"] for row in rows} == {f"phantom/0/{number}".encode() for number in range(12)}
    assert all(row["studies/image"].size == (64, 64) for row in rows)
    assert all(b"." in row["studies/report"] for row in rows)


def test_it_is_json_ld_with_the_counts_of_the_card_and_nothing_of_a_study(prepared: Path) -> None:
    text = (prepared / CROISSANT).read_text("utf-8")
    found = json.loads(text)
    stats = json.loads((prepared / "stats.json").read_text("utf-8"))
    assert found["@type"] == "sc:Dataset"
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    measured = {one["name"]: one["value"] for one in found["variableMeasured"]}
    assert measured == {name: stats[name] for name in ("kept", "images", "reports", "pairs", "patients")}
    assert "phantom/0/" not in text
    assert str(prepared.parent) not in text

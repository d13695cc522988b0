"""The real trial with Open-i trains on what its text says it trains on."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from xlip.cli.parse import parse
from xlip.objectives.registry import build_objectives

ROOT = Path(__file__).resolve().parents[1]
BASE: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "real_open.yaml").read_text("utf-8"))
STREAMS = ("pairs", "images", "texts")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield importlib.import_module("real_open")
    for name in ("facts", "real_open", "recorder"):
        sys.modules.pop(name)


def used(config: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Stream and set of everything that a config trains on."""
    data = config["data"]
    return [(stream, one) for stream in STREAMS if data["mix"].get(stream) for one in data[stream]]


def name_of(item: dict[str, Any]) -> str:
    return Path(item["path"]).name


def test_no_variant_trains_on_a_test_part_or_on_labels_that_it_must_not_see(bench: ModuleType) -> None:
    for name in bench.VARIANTS:
        config = bench.variant(BASE, name)
        for _, one in used(config):
            assert name_of(one) in bench.SETS
            assert one.get("split", "train") in ("train", "val") or name_of(one) not in bench.TESTS
            seen = one.get("labels", True)
            assert not (seen and name_of(one) == "kermany")
            assert not (seen and name_of(one) == "nih" and name == "no_labels")
        # The tags of Open-i are labels of the prepared set: an image may be seen with its report alone.
        assert not any(
            one.get("labels", True) for stream, one in used(config) if name_of(one) == "openi" and stream != "texts"
        )
        assert {stream for stream, _ in used(config)} == (
            {"pairs"} if name in ("paired", "pairs_only") else set(STREAMS)
        )
        assert config["steps"] == BASE["steps"]
    assert set(bench.variant(BASE, "pairs_only")["objectives"]) == {"contrastive"}
    assert bench.variant(BASE, "paired")["objectives"] == BASE["objectives"]
    assert bench.variant(BASE, "xlip") == BASE


def test_choosing_trains_on_no_validation_part_of_a_set_that_is_measured(bench: ModuleType) -> None:
    config = bench.without_validation(BASE)
    assert not any(one.get("split") == "val" for _, one in used(config) if name_of(one) in ("nih", "openi"))
    kept = [(stream, one) for stream, one in used(BASE) if one.get("split") != "val" or name_of(one) == "roco"]
    assert used(config) == kept


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "real_open").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_choice_is_a_recipe_without_a_part_that_measures_it(
    bench: ModuleType, tmp_path: Path, file: Path
) -> None:
    changed = bench.laid_over(BASE, yaml.safe_load(file.read_text("utf-8")) or {})
    config = bench.without_validation(changed)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    _, parsed = parse(["pretrain", "--config", str(tmp_path / "config.yaml"), "--out", "run"])
    assert len(build_objectives(parsed.objectives)) == len(config["objectives"])
    assert not any(one.get("split") == "val" for _, one in used(config) if name_of(one) in ("nih", "openi"))
    assert {name_of(one) for _, one in used(config)} <= set(bench.SETS)


def test_the_sets_lie_where_the_trial_is_told(bench: ModuleType, tmp_path: Path) -> None:
    made = bench.placed(BASE, tmp_path)
    assert {one["path"] for _, one in used(made)} == {str(tmp_path / "data" / name) for name in bench.SETS}
    assert made["objectives"] == BASE["objectives"]


def test_what_is_carried_is_the_mean_over_the_kinds(bench: ModuleType, tmp_path: Path) -> None:
    def kind(sensitivity: float | None, kept: bool) -> dict[str, Any]:
        measured = {"sensitivity": sensitivity, "specificity": 0.5, "carries": kept}
        return {"thresholds": {"youden": {**measured, "carries": None}, "sensitivity 95": measured}}

    pairs = [
        {
            "chosen_on": "a",
            "used_on": "b",
            "kinds": {"X": kind(0.9, True), "Y": kind(0.7, False), "Z": kind(None, False)},
        },
        {"chosen_on": "a", "used_on": "a", "kinds": {"X": kind(0.9, True)}},
        {"chosen_on": "b", "used_on": "a", "kinds": {}},
    ]
    folder = tmp_path / "transport" / "way"
    folder.mkdir(parents=True)
    (folder / "transport.json").write_text(json.dumps({"pairs": pairs}))
    (row,) = bench.carried(tmp_path)
    assert (row["from"], row["to"], row["kinds"]) == ("a", "b", ["X", "Y", "Z"])
    assert row["sensitivity 95"] == {"sensitivity": pytest.approx(0.8), "specificity": 0.5, "carries": 1}
    assert row["youden"]["carries"] is None


def test_the_command_is_the_one_that_made_what_is_there(bench: ModuleType) -> None:
    whole = {name: [{"seed": seed} for seed in range(3)] for name in bench.VARIANTS}
    assert bench.command_of(whole) == "make real-open"
    part = {"xlip": [{"seed": 0}], "paired": [{"seed": 0}, {"seed": 2}]}
    assert bench.command_of(part) == "python bench/real_open.py --seeds 0,2 --variants xlip,paired"

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.ablation.plan import Cell, Plan, laid_over, read_plan
from xlip.ablation.run import AblateConfig, ablate, cell_key, training_config
from xlip.ablation.tables import FIGURES, Done, paired_difference, table_rows
from xlip.errors import XLIPError
from xlip.objectives.registry import build_objectives
from xlip.train.build import ModelConfig

CONFIGS = Path(__file__).parents[2] / "configs" / "ablate"
SMALL = """
phantom: {pairs: 6, images: 8, texts: 4, test: 12, size: 64}
seeds: [0, 1]
base:
  data: {mix: {pairs: 2, images: 2, texts: 2}}
  model: {image_size: 64, patch_size: 16, width: 16, depth: 1, heads: 2, text_width: 16, text_depth: 1, text_heads: 2,
    embed_dim: 8, decoder_width: 16, decoder_layers: 1, decoder_heads: 2, vocab_size: 400, max_tokens: 32}
  objectives: {contrastive: {}, image_kind: {}, attmim: {weight: 0.5}}
  steps: 1
  checkpoint_every: 0
  workers: 0
variants:
  whole: {}
  less: {objectives: {attmim: null}}
quick: {seeds: [7]}
"""


def write(folder: Path, text: str) -> str:
    file = folder / "plan.yaml"
    file.write_text(text)
    return str(file)


def test_variants_are_laid_over_the_base_and_quick_over_the_file(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, SMALL), quick=False)
    assert [(cell.variant, cell.seed) for cell in plan.cells] == [("whole", 0), ("less", 0), ("whole", 1), ("less", 1)]
    assert plan.reference == "whole"
    whole, less = plan.cells[:2]
    assert set(whole.config["objectives"]) - set(less.config["objectives"]) == {"attmim"}
    assert {cell.seed for cell in read_plan(write(tmp_path, SMALL), quick=True).cells} == {7}


def test_equal_cells_have_equal_keys_whatever_their_name_and_order(tmp_path: Path) -> None:
    renamed = SMALL.replace("whole: {}", "other: {}").replace("less: {", "fewer: {")
    first, second = (read_plan(write(tmp_path, text), quick=False) for text in (SMALL, renamed))
    assert [cell_key(cell) for cell in first.cells] == [cell_key(cell) for cell in second.cells]
    assert len({cell_key(cell) for cell in first.cells}) == 4
    changed = read_plan(write(tmp_path, SMALL.replace("weight: 0.5", "weight: 0.6")), quick=False)
    assert cell_key(changed.cells[0]) != cell_key(first.cells[0])
    assert cell_key(changed.cells[1]) == cell_key(first.cells[1])
    told = read_plan(write(tmp_path, SMALL.replace("weight: 0.5", "weight: 0.5, mode: high")), quick=False)
    assert cell_key(told.cells[0]) == cell_key(first.cells[0])  # a default that is written out


def test_a_set_that_is_prepared_anew_makes_other_cells_and_one_that_stays_does_not(tmp_path: Path) -> None:
    own = SMALL.replace("phantom: {pairs: 6, images: 8, texts: 4, test: 12, size: 64}", f"test: {tmp_path}/test")
    own = own.replace("data: {mix:", f"data: {{pairs: [{{path: {tmp_path}/pairs}}], mix:")
    for name in ("pairs", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.parquet").write_bytes(b"one")
        (tmp_path / name / "stats.json").write_text('{"kept": 1}')
    plan = read_plan(write(tmp_path, own), quick=False)
    before = [cell_key(cell) for cell in plan.cells]
    assert [cell_key(cell) for cell in plan.cells] == before
    (tmp_path / "test" / "stats.json").write_text('{"kept": 2}')
    after = [cell_key(cell) for cell in plan.cells]
    (tmp_path / "pairs" / "part.parquet").write_bytes(b"more")
    last = [cell_key(cell) for cell in plan.cells]
    assert not set(before) & set(after)
    assert not set(after) & set(last)


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    text = SMALL.split("variants:")[0] + "grid: {objectives.attmim.mode: [high, low], steps: [1, 2, 3]}\n"
    plan = read_plan(write(tmp_path, text), quick=False)
    assert len(plan.cells) == 12
    one = next(cell for cell in plan.cells if cell.variant == "mode=low steps=3")
    assert one.config["objectives"]["attmim"] == {"weight": 0.5, "mode": "low"}
    assert one.config["steps"] == 3


def test_a_part_of_a_plan_is_its_reference_and_what_is_named(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, SMALL.replace("quick:", "  more: {steps: 2}\nquick:")), quick=False)
    found = [(cell.variant, cell.seed) for cell in plan.part(["more"], [1]).cells]
    assert found == [("whole", 1), ("more", 1)]  # the reference is what others are compared with
    assert {cell.seed for cell in plan.part([], [0]).cells} == {0}
    assert plan.part([], []) == plan
    with pytest.raises(XLIPError, match="no variant 'nothing'; expected some of "):
        plan.part(["nothing"], [])
    with pytest.raises(XLIPError, match="no seed 77; expected some of "):
        plan.part([], [77])


@given(st.dictionaries(st.sampled_from("abc"), st.integers()), st.dictionaries(st.sampled_from("abc"), st.integers()))
def test_laying_over_keeps_the_rest(base: dict[str, int], changes: dict[str, int]) -> None:
    assert laid_over(base, changes) == {**base, **changes}
    assert laid_over({"x": base}, {"x": changes}) == {"x": {**base, **changes}}
    assert laid_over(base, dict.fromkeys(base)) == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("variants: {a: {}}\n", "expected `phantom`"),
        ("phantom: {}\n", "expected `variants` or a `grid`"),
        (SMALL + "reference: gone\n", "is no variant"),
        (SMALL + "varants: {}\n", "unknown key 'varants'"),
        ("- a\n", "found no option in it"),
        ("a: [\n", r"plan\.yaml: cannot be read"),
    ],
)
def test_faults_are_named(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=fault):
        read_plan(write(tmp_path, text), quick=False)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
@pytest.mark.parametrize("quick", [False, True])
def test_every_shipped_plan_can_be_trained(file: Path, quick: bool) -> None:
    plan = read_plan(str(file), quick=quick)
    streams = {name: [{"path": name}] for name in ("pairs", "images", "texts")}
    firsts: dict[str, Cell] = {}
    for cell in plan.cells:
        first = firsts.setdefault(cell.variant, cell)
        assert cell.config == first.config
        if cell is not first and cell.variant != plan.reference:
            continue  # reading options takes a tenth of a second, and the seeds of a variant have the same
        made = training_config(cell, streams if cell.phantom else {}, Path("run"))
        assert build_objectives(made.objectives)
        assert made.data.pairs
        assert isinstance(made.model, ModelConfig)
        assert made.seed == cell.seed


def test_an_option_that_does_not_exist_is_refused_before_training(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL.replace("steps: 1", "stepps: 1"))
    with pytest.raises(XLIPError, match="whole"):
        ablate(AblateConfig(path, out=str(tmp_path / "out")), say=lambda line: None)


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_the_table_holds_all(tmp_path: Path) -> None:
    path, out, said = write(tmp_path, SMALL), tmp_path / "out", []
    config = AblateConfig(path, out=str(out), quick=True, replicates=20)
    ablate(config, say=said.append)
    assert len(said) == 2
    assert ablate(config, say=said.append) == out / "index.html"
    assert len(said) == 2
    import pyarrow.parquet as pq

    rows = pq.read_table(out / "table.parquet").to_pylist()
    assert {row["variant"] for row in rows} == {"whole", "less"}
    assert {row["figure"] for row in rows} == set(FIGURES)
    assert "| less | 1 |" in (out / "table.md").read_text()
    told = json.loads(next((out / "cells").glob("*/cell.json")).read_text())
    assert told["interaction"]["maps"]["pointing"]["mean"] is not None


def cell(variant: str, seed: int, shift: float, n: int = 80) -> Done:
    rng = np.random.default_rng(seed)
    labels = np.stack([np.arange(n) % 2, np.arange(n) // 2 % 2], 1)
    scores = labels * shift + rng.normal(size=labels.shape)
    told = dict.fromkeys(("macro_auroc", "cpu_seconds"))
    return Done(variant, seed, told, scores, labels, np.arange(n))


def naive_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [(a, b) for a in scores[labels == 1] for b in scores[labels == 0]]
    return float(np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 100))
def test_the_difference_is_paired_and_means_over_seeds_and_kinds(first: int) -> None:
    pairs = [(cell("a", first + s, 1.0), cell("b", first + s, 0.2)) for s in range(3)]
    difference, (low, high), p = paired_difference(pairs, replicates=300)
    wanted = np.mean(
        [
            naive_auroc(a.labels[:, k], a.scores[:, k]) - naive_auroc(b.labels[:, k], b.scores[:, k])
            for a, b in pairs
            for k in range(2)
        ]
    )
    assert difference == pytest.approx(wanted)
    assert low < difference < high
    assert p < 0.05
    same = [(a, a) for a, _ in pairs]
    assert paired_difference(same, replicates=50) == (0.0, (0.0, 0.0), 1.0)


def test_only_seeds_that_both_have_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xlip.ablation.tables.FIGURES", {"zero-shot": lambda told: told["macro_auroc"]})
    done = [cell("ref", 0, 0.5), cell("ref", 1, 0.5), cell("v", 1, 0.9), cell("w", 5, 0.9)]
    rows = {row[0]: row for row in table_rows(Plan((), "ref"), done, 50)}
    assert set(rows) == {"ref"}
    from xlip.ablation.plan import Cell

    plan = Plan(tuple(Cell(one.variant, one.seed, {}, {}, "", "") for one in done), "ref")
    rows = {row[0]: row for row in table_rows(plan, done, 50)}
    assert rows["v"][1] == "1"
    assert rows["v"][3].startswith("+")
    assert rows["w"][3] == rows["ref"][3] == ""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import xlip.finetune.run
from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.evaluate.zeroshot import evaluate_zero_shot
from xlip.finetune.cell import divide
from xlip.finetune.classifier import XLIPClassifier
from xlip.finetune.images import LabelledImages, read_labelled
from xlip.finetune.recipe import Recipe
from xlip.finetune.run import FinetuneConfig, finetune, numbers, wanted_cells
from xlip.preparation.run import prepare
from xlip.study.parquet import read_studies, write_studies
from xlip.study.record import Study

MODEL = tiny_model().eval()
RECIPE = Recipe(least_steps=3, most_steps=3, batch_size=8, checks=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("set") / "phantom"
    prepare("phantom", Path(), folder, workers=0, holdout=0.3, options={"count": 80, "size": 64})
    return str(folder)


def config(data: str, out: Path, **options) -> FinetuneConfig:
    base = {"recipe": RECIPE, "augment": None, "kinds": "Effusion,Cardiomegaly,No_Finding", "replicates": 20}
    return FinetuneConfig(**{"model": "tiny", "data": data, "out": str(out), **base, **options})


def test_every_cell_is_trained_once_and_the_best_model_is_kept(data: str, tmp_path: Path, monkeypatch) -> None:
    asked = config(data, tmp_path, fractions="1,0.2", seeds="0,1")
    said: list[str] = []
    done = finetune(asked, said.append, MODEL)
    names = [f"share-{share}-seed-{seed}" for share in ("0.2", "1") for seed in (0, 1)]
    assert [scored.cell.name for scored in done.cells] == names
    assert [line.split(":")[0] for line in said] == names
    best = XLIPClassifier.from_pretrained(tmp_path)
    largest = [scored for scored in done.cells if scored.cell.fraction == 1]
    chosen = max(largest, key=lambda scored: scored.facts["validation_auroc"])
    assert best.notes["seed"] == chosen.cell.seed
    assert np.allclose(best.predict_pixels(done.data.pixels[chosen.test]), chosen.scores)

    def never(*_args, **_options):
        raise AssertionError("trained again")

    monkeypatch.setattr(xlip.finetune.run, "train_cell", never)
    again = finetune(asked, model=MODEL)
    for first, second in zip(done.cells, again.cells, strict=True):
        assert np.array_equal(first.scores, second.scores)
        assert dict(first.facts) == dict(second.facts)
    finetune(replace(asked, recipe=replace(RECIPE, patch_keep=1.0)), model=MODEL)  # what a shallow tower does anyhow
    with pytest.raises(XLIPError, match="was made with another model, data or recipe"):
        finetune(replace(asked, recipe=replace(RECIPE, least_steps=4, most_steps=4)), model=MODEL)
    other = tmp_path / "relabelled" / Path(data).name
    swapped = (
        replace_labels(one, {**one.labels, "Effusion": 1 - one.labels["Effusion"]}) for one in read_studies(data)
    )
    write_studies(swapped, other / "part-00000-of-00001.parquet")
    with pytest.raises(XLIPError, match="was made with another model, data or recipe"):
        finetune(replace(asked, data=str(other)), model=MODEL)  # the same studies under the same names


def test_the_start_is_the_zero_shot_result_of_the_same_images(data: str, tmp_path: Path) -> None:
    done = finetune(config(data, tmp_path), model=MODEL)
    other = evaluate_zero_shot(MODEL, data, kinds="Effusion,Cardiomegaly,No_Finding", replicates=2).predictions
    assert done.zero_shot is not None
    assert other is not None
    assert list(other.study_ids) == done.data.study_ids[done.zero_shot.test].tolist()
    assert np.allclose(done.zero_shot.scores, other.scores, atol=1e-5)
    assert finetune(config(data, tmp_path / "r", recipe=replace(RECIPE, head="random")), model=MODEL).zero_shot is None


def test_training_from_scratch_takes_the_architecture_of_a_checkpoint_and_nothing_else(
    data: str, tmp_path: Path
) -> None:
    asked = config(data, tmp_path, recipe=replace(RECIPE, init="scratch"))
    first, other = finetune(asked, model=MODEL), finetune(asked, model=tiny_model(seed=5).eval())  # its cells are read
    assert first.identity["checkpoint"] == other.identity["checkpoint"]
    assert first.identity["checkpoint"].startswith("none:")
    fresh = finetune(replace(asked, out=str(tmp_path / "fresh")), model=tiny_model(seed=5).eval())
    for one, again in zip(first.cells, fresh.cells, strict=True):
        assert np.array_equal(one.scores, again.scores)


def test_folds_measure_every_training_image_once(data: str, tmp_path: Path) -> None:
    done = finetune(config(data, tmp_path, folds=3), model=MODEL)
    assert [scored.cell.fold for scored in done.cells] == [0, 1, 2]
    tested = np.sort(np.concatenate([scored.test for scored in done.cells]))
    assert tested.tolist() == done.data.rows("train").tolist()


def test_parts_share_no_patient(data: str) -> None:
    images = read_labelled(data, 32, "letterbox")
    images = replace(images, patients=np.array([f"p{row // 3}" for row in range(len(images))]))
    images = replace(images, splits=np.array(["test" if row < 15 else "train" for row in range(len(images))]))
    for parts in (divide(images, 0.2), divide(images, 0.2, 4)):
        for part in parts:
            groups = [set(images.patients[rows].tolist()) for rows in (part.train, part.validation, part.test)]
            assert all(groups)
            assert sum(map(len, groups)) == len(set.union(*groups))


def test_a_validation_part_of_the_set_is_used_as_it_is() -> None:
    splits = np.array(["train"] * 6 + ["val"] * 3 + ["test"] * 2)
    ids = np.arange(11).astype(str)
    codes = (np.arange(11)[:, None] % 2).astype(np.int8)
    images = LabelledImages("x", ("Edema",), ids, ids, splits, codes, np.zeros((11, 4, 4), np.uint8))
    (part,) = divide(images, 0.5)
    assert part.validation.tolist() == [6, 7, 8]
    assert len(part.train) == 6
    with pytest.raises(XLIPError, match="no labelled image of split 'train'; its splits are test"):
        divide(replace(images, splits=np.full(11, "test")), 0.5)


def test_a_column_of_one_class_is_left_out_with_a_message(data: str, tmp_path: Path) -> None:
    studies = [replace_labels(study, {**study.labels, "Edema": 1}) for study in read_studies(data)]
    write_studies(studies, tmp_path / "set.parquet")
    said: list[str] = []
    asked = config(str(tmp_path / "set.parquet"), tmp_path / "out", kinds="Edema,Effusion")
    done = finetune(asked, said.append, MODEL)
    assert done.left_out == ("Edema",)
    assert done.data.kinds == ("Effusion",)
    assert said[0].startswith("left out: Edema has one class only among the")
    with pytest.raises(XLIPError, match="no kind is both present and absent in the training part"):
        finetune(replace(asked, kinds="Edema", out=str(tmp_path / "o")), model=MODEL)


def test_a_set_without_a_test_part_asks_for_folds(data: str, tmp_path: Path) -> None:
    trained = [study for study in read_studies(data) if study.split == "train"]
    write_studies(trained, tmp_path / "set.parquet")
    with pytest.raises(XLIPError, match="no labelled image of split 'test' to measure on; hold some out or set --fol"):
        finetune(config(str(tmp_path / "set.parquet"), tmp_path / "out"), model=MODEL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": "1,2"}, "fractions: expected shares above 0 and at most 1, got 1,2"),
        ({"fractions": "all"}, "fractions: expected numbers separated by commas, got 'all'"),
        ({"seeds": "0.5"}, "seeds: expected whole numbers from 0, got 0.5"),
        ({"seeds": ""}, "seeds: expected numbers"),
        ({"folds": 1}, r"folds: expected 0 .* or at least 2, got 1"),
        ({"validation": 1.0}, "validation: expected a share"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_is_read(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=message):
        finetune(config("nowhere", tmp_path / "out", **options))


def test_shares_are_tried_from_small_to_large_once() -> None:
    cells = wanted_cells(config("d", Path("o"), fractions="1,0.01,1", seeds="2,0"))
    assert [(cell.fraction, cell.seed) for cell in cells] == [(0.01, 2), (0.01, 0), (1.0, 2), (1.0, 0)]
    assert numbers(" 0.1, 1 ", "x") == [0.1, 1.0]


def test_a_checkpoint_of_another_architecture_or_with_nan_is_refused(data: str, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    settings = json.loads((tmp_path / "model" / "config.json").read_text())
    settings["image"]["hidden_size"] = 48
    (tmp_path / "model" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(XLIPError, match=r"the weights do not fit the architecture in its config.json") as caught:
        finetune(config(data, tmp_path / "out", model=str(tmp_path / "model")))
    assert "\n" not in str(caught.value)
    broken = tiny_model()
    with torch.no_grad():
        broken.image_head.weight[0, 0] = float("nan")
    broken.save_pretrained(tmp_path / "nan")
    with pytest.raises(XLIPError, match=r"the weights image_head.weight hold NaN or infinite numbers"):
        finetune(config(data, tmp_path / "out", model=str(tmp_path / "nan")))
    with pytest.raises(XLIPError, match=r"^\S*nothing: no such folder; check the path"):
        finetune(config(data, tmp_path / "out", model=str(tmp_path / "nothing")))
    assert not (tmp_path / "out").exists()


def replace_labels(study: Study, labels: dict[str, int]) -> Study:
    return study._replace(labels=labels)

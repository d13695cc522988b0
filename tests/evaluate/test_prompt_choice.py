"""Prompts are chosen on validation images: a test part, the evaluated cases and shared patients are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluations import predictions
from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.evaluate.cases import open_cases
from xlip.evaluate.prompt_choice import best_prompts, validation_cases
from xlip.evaluate.zeroshot import ZeroShot


@pytest.mark.parametrize("split", ["test", " Test", "testing"])
def test_a_test_part_never_chooses(split: str, phantoms: Path) -> None:
    with pytest.raises(XLIPError, match="never chosen on test images: name a validation split"):
        validation_cases(open_cases(str(phantoms)), split)


def test_the_evaluated_part_a_missing_one_and_shared_patients_are_refused(phantoms: Path) -> None:
    with pytest.raises(XLIPError, match="or the one that is evaluated"):
        validation_cases(open_cases(str(phantoms), split="train"), "train")
    with pytest.raises(XLIPError, match="no split 'val' to choose on"):
        validation_cases(open_cases(str(phantoms)), "val")
    everything = open_cases(str(phantoms))
    everything.origin = replace(everything.origin, split="")
    with pytest.raises(XLIPError, match=r"\d+ patients are in the split 'train' too"):
        validation_cases(everything, "train")
    made = open_cases(str(phantoms), split="train")
    with pytest.raises(XLIPError, match="in the split 'train' too"):
        validation_cases(replace(made, origin=replace(made.origin, split="")), "train")


def test_validation_scores_choose_thresholds_and_too_few_choose_no_prompts(phantoms: Path) -> None:
    options = {"replicates": 2, "cache": False, "reference": str(phantoms)}
    with pytest.raises(XLIPError, match="no kind has 10 images with and 10 without it to choose prompts by"):
        ZeroShot(prompts="xlip,bare", chosen_on="train", **options).run(tiny_model(), open_cases(str(phantoms)))
    found = ZeroShot(chosen_on="train", **options).run(tiny_model(), open_cases(str(phantoms)))
    train = open_cases(str(phantoms), split="train")
    assert found.validation.study_ids == tuple(case.study_id for case in train.items)
    assert found.identity["validation"].startswith("phantoms/train:")
    assert "chosen of" not in found.identity
    assert "val" in {one.rule for one in found.figures.decisions.values()}
    # The phantoms of the split train are the reference: their distances are measured too.
    assert len(found.predictions.distances) == found.figures.images
    assert found.figures.abstention.distance.far is not None


def test_of_equal_sets_the_first_is_chosen() -> None:
    one = predictions()
    worse = replace(one, scores=1 - one.scores)
    assert best_prompts({"a": worse, "b": one, "c": one}, "")[0] == "b"


def test_reference_and_training_distances_agree_for_the_same_images(phantoms: Path) -> None:
    from xlip.evaluate.adapter import adapted
    from xlip.evaluate.embeddings import embed
    from xlip.evaluate.reference import distances_among, distances_from

    model = adapted(tiny_model())
    test, train = (embed(model, open_cases(str(phantoms), split=part), cache=False) for part in ("test", "train"))
    first, near = distances_from(str(phantoms), model, test.images)
    second, again = distances_among(train.images, None, test.images, "x")
    assert first == pytest.approx(second, abs=1e-3)  # the reference keeps its embeddings in 16 bits
    assert near.threshold == pytest.approx(again.threshold, abs=1e-3)
    naive = np.sort(1 - test.images @ train.images.T, axis=1)[:, :5].mean(1)
    assert second == pytest.approx(naive, abs=1e-6)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluations import predictions
from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.evaluate.adapter import adapted
from xlip.evaluate.cases import Case
from xlip.evaluate.heatmap import heat_maps, occlusion
from xlip.evaluate.zeroshot import text_classifier
from xlip.images.files import encode
from xlip.pages.gallery import choose, draw
from xlip.phantom import generate
from xlip.study.prompts import load_prompts

MODEL = tiny_model().eval()


def case(study_id: str, index: int = 0) -> Case:
    return Case(study_id, study_id, encode(generate(index, size=64).pixels, lossless=True), {})


def test_the_chosen_cases_are_the_extremes_of_their_kind() -> None:
    test = predictions()
    chosen = {(one.kind, one.role): one for one in choose(test)}
    assert {kind for kind, _ in chosen} == {"Effusion", "Mass", "Pleural_Thickening"}
    for index, kind in enumerate(test.kinds[:3]):
        labels, scores = test.labels[:, index], test.scores[:, index]
        assert chosen[kind, "found"].score == scores[labels == 1].max()
        assert chosen[kind, "missed"].score == scores[labels == 1].min()
        assert chosen[kind, "false alarm"].score == scores[labels == 0].max()


def test_a_kind_with_one_positive_has_no_missed_case_beside_the_found_one() -> None:
    test = predictions()
    labels = np.zeros_like(test.labels)
    labels[3, 0] = 1
    roles = [one.role for one in choose(replace(test, labels=labels))]
    assert roles == ["found", "false alarm"]


def test_cases_are_found_by_their_id_or_by_the_study_of_a_view() -> None:
    shown = choose(predictions())[:3]
    cases = [case(shown[0].study_id), case(f"{shown[1].study_id}/frontal", 1), case("another")]
    gallery = draw(adapted(MODEL), cases, shown, load_prompts("xlip"))
    ((kind, caption, picture),) = gallery.rows
    assert kind == "Effusion"
    assert caption == f"found: {shown[0].study_id}; missed: {shown[1].study_id}"
    assert picture[8:12] == b"WEBP"
    assert gallery.missing == 1


def test_other_data_are_refused() -> None:
    with pytest.raises(XLIPError, match=r"none of the \d+ cases to show, such as set/0/\d+, is in the data"):
        draw(adapted(MODEL), [case("another")], choose(predictions()), load_prompts("xlip"))


def test_a_model_with_a_local_head_shows_what_its_masks_follow() -> None:
    pixels = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    pairs = text_classifier(MODEL, load_prompts("xlip"), ["Effusion", "Edema"])
    heat = heat_maps(MODEL, pixels, pairs)
    with torch.no_grad():
        wanted = MODEL.local.maps(MODEL.places(pixels), pairs[:, 0])
    assert heat == pytest.approx(wanted.numpy(), abs=1e-4)


def test_a_map_is_what_blurring_takes_from_the_score() -> None:
    pixels = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    positive, negative = text_classifier(MODEL, load_prompts("xlip"), ["Effusion"])[0]
    heat = (occlusion(MODEL, pixels) @ (positive - negative)).numpy()
    assert heat.shape == (2, 8, 8)
    for image, row, column in ((0, 0, 0), (1, 3, 7), (1, 7, 2)):
        changed = pixels[image, 0].numpy().copy()
        for y, x in np.ndindex(8, 8):
            top, left = 8 * row + y, 8 * column + x
            window = pixels[image, 0, max(top - 8, 0) : top + 9, max(left - 8, 0) : left + 9]
            changed[top, left] = float(window.mean())
        before, after = MODEL.encode_pixels(torch.stack([pixels[image], torch.from_numpy(changed)[None]]))
        assert heat[image, row, column] == pytest.approx(float((before - after) @ (positive - negative)), abs=1e-5)

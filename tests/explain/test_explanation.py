from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fake_encoder import GRID, SIZE, FakeEncoder, by_brightness
from tiny import CONFIG, tiny_processor
from xlip.errors import XLIPError
from xlip.evaluate.adapter import XLIPAdapter
from xlip.evaluate.encoder import TorchEncoder
from xlip.explain.abstention import Rule
from xlip.explain.asked import ask
from xlip.explain.explanation import SPANS, explain, explain_all, overlay
from xlip.phantom import generate
from xlip.train.build import build_model

RULE = Rule(0.5, {"Mass": 0.9})
BRIGHT_CELL = np.zeros((SIZE, SIZE), np.uint8)
BRIGHT_CELL[8:16, 24:32] = 255  # row 1, column 3 of the fake encoder's grid
DARK = np.full((SIZE, SIZE), 10, np.uint8)


@pytest.mark.parametrize("how", ["response", "occlusion", "auto"])
def test_the_hottest_place_is_where_the_model_looks(how: str) -> None:
    (found,) = explain(FakeEncoder(), BRIGHT_CELL, ["Effusion"], how, rule=RULE)
    row, column = np.unravel_index(found.map.argmax(), found.map.shape)
    side = len(found.map)
    assert (row * GRID // side, column * GRID // side) == (1, 3)
    assert found.found
    assert found.score > 0.8
    (box,) = found.boxes
    assert (box.kind, box.x, box.y) == ("Effusion", pytest.approx(0.75), pytest.approx(0.25))
    assert {box.width, box.height} <= {0.125, 0.25}
    assert found.how == ("response" if how == "auto" else how)


@pytest.mark.parametrize("how", ["response", "occlusion"])
def test_nothing_is_coloured_for_a_finding_that_is_not_there(how: str) -> None:
    (found,) = explain(FakeEncoder(), DARK, ["Effusion"], how, rule=RULE)
    assert not found.found
    assert found.score < RULE.threshold
    assert found.boxes == ()
    assert (overlay(DARK, found) == DARK[..., None]).all()


@pytest.mark.parametrize("how", ["response", "occlusion"])
def test_colour_is_where_the_map_speaks_for_the_words_and_nowhere_else(how: str) -> None:
    (found,) = explain(FakeEncoder(), BRIGHT_CELL, ["Effusion"], how, rule=RULE)
    picture = overlay(BRIGHT_CELL, found).astype(int)
    coloured = np.ptp(picture, axis=2) > 0
    assert coloured[10:14, 26:30].all()
    far = np.ones((SIZE, SIZE), bool)
    far[4:20, 20:32] = False  # half a cell of the map beside the bright cell is drawn into it
    assert not coloured[far].any()


@pytest.mark.parametrize("how", ["response", "occlusion"])
def test_the_scale_is_the_same_for_every_image_and_word(how: str) -> None:
    images = np.stack([BRIGHT_CELL, DARK])
    found = explain_all(FakeEncoder(), images, ["Effusion", "a shadow", "Mass"], how, rule=RULE)
    assert {(one.low, one.high) for row in found for one in row} == {SPANS[how]}
    assert SPANS[how][0] >= 0  # what speaks against the words has no colour


def test_a_map_is_that_of_its_own_words() -> None:
    encoder = FakeEncoder(stated={"half": 0.5})
    words = ["half", "Effusion"]
    found = explain(encoder, BRIGHT_CELL, words, rule=RULE)
    for one, word in zip(found, words, strict=True):
        query = ask(encoder, [word])[0].positive[1]
        assert one.text.casefold().endswith(word.casefold())
        assert one.map == pytest.approx(8 * by_brightness(BRIGHT_CELL[None])[0] * query, abs=1e-5)


def test_directions_that_were_made_before_may_stand_among_words() -> None:
    encoder = FakeEncoder()
    (mass,) = ask(encoder, ["Mass"])
    mixed = explain(encoder, BRIGHT_CELL, ["Effusion", mass, "a shadow"], rule=RULE)
    assert [one.kind for one in mixed] == ["Effusion", "Mass", ""]


def test_a_kind_may_have_a_threshold_of_its_own() -> None:
    effusion, mass = explain(FakeEncoder(scale=2), BRIGHT_CELL, ["Effusion", "Mass"], rule=RULE)
    assert min(effusion.score, 0.9) > 0.5
    assert max(mass.score, 0.5) < 0.9
    assert (effusion.found, mass.found) == (True, False)
    assert (effusion.threshold, mass.threshold) == (0.5, 0.9)


def test_a_model_without_maps_says_to_use_occlusion() -> None:
    with pytest.raises(XLIPError, match=r"response needs a model with a local head .*use --how occlusion"):
        explain(FakeEncoder(has_maps=False), DARK, ["Effusion"], "response")
    (found,) = explain(FakeEncoder(has_maps=False), DARK, ["Effusion"])
    assert found.how == "occlusion"


def test_a_model_of_torch_without_a_local_head_says_so_too() -> None:
    model = build_model(replace(CONFIG, local=False), tiny_processor(), 0).eval()
    encoder, square = TorchEncoder(XLIPAdapter(model, "abc")), generate(0, size=64).pixels
    with pytest.raises(XLIPError, match="which abc lacks; use --how occlusion"):
        explain(encoder, square, ["Effusion"], "response")
    assert explain(encoder, square, ["Effusion"])[0].map.shape == (8, 8)


@pytest.mark.parametrize(("how", "words"), [("sideways", ["Effusion"]), ("auto", [])])
def test_what_cannot_be_explained_is_refused(how: str, words: list[str]) -> None:
    with pytest.raises(XLIPError, match="explain"):
        explain(FakeEncoder(), DARK, words, how)


def test_the_score_is_that_of_zero_shot_classification_with_the_local_share() -> None:
    plain, shared = (explain(FakeEncoder(local_share=share), BRIGHT_CELL, ["Effusion"])[0] for share in (0.0, 0.5))
    (asked,) = ask(FakeEncoder(), ["Effusion"])
    brightness = 8 * by_brightness(BRIGHT_CELL[None]).astype(float).ravel()
    present, absent = (np.log(np.exp(brightness * query[1]).mean()) for query in asked.pair)
    answer = present - absent
    logit = np.log(plain.score / (1 - plain.score)) + 0.5 * answer
    assert shared.score == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)

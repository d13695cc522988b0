from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.batches.descriptions import Description, describe, where
from xlip.images.files import encode
from xlip.phantom import PHANTOM_KINDS, generate
from xlip.sources.phantom import _masks
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.prompts import load_prompts
from xlip.study.record import Box, Study

PROMPTS = load_prompts("xlip")
SHAPES = {"left": Box("Mass", 0.6, 0.1, 0.2, 0.2), "right": Box("Mass", 0.2, 0.65, 0.2, 0.2)}


def made(study: Study, kinds: tuple[str, ...] = PHANTOM_KINDS, seed: int = 0) -> Description | None:
    return describe(study, kinds, PROMPTS, np.random.default_rng(seed))


def labelled(**labels: int) -> Study:
    return Study("a", "a", "x", labels=labels)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 5))
def test_sides_are_those_of_the_truth_and_spans_are_words(index: int, seed: int) -> None:
    phantom = generate(index, size=64)
    study = Study("a", "a", "phantom", labels=phantom.labels, masks=_masks(phantom))
    description = made(study, seed=seed)
    assert description is not None
    told = where(study)
    for kind in PHANTOM_KINDS:
        sides = {f.side for f in phantom.findings if f.kind == kind and f.mask.any()}
        if kind in told:
            assert told[kind][0] in sides or not sides & {"left", "right"}
    for entity in description.entities:
        words = description.text[entity.start : entity.end]
        assert words == words.strip(" .")
        assert words
        if entity.type == "location":
            assert words in ("left", "right", "upper zone", "mid zone", "lower zone")
        elif entity.kind:
            assert phantom.labels[entity.kind] == (PRESENT if entity.assertion == "present" else ABSENT)
    stated = {e.kind for e in description.entities if e.assertion == "present" and e.kind}
    assert stated == {kind for kind in PHANTOM_KINDS if phantom.labels[kind] == PRESENT}


def test_boxes_tell_side_and_zone_and_masks_come_first() -> None:
    assert where(Study("a", "a", "x", boxes=(SHAPES["left"],))) == {"Mass": ("left", "in the upper zone")}
    assert where(Study("a", "a", "x", boxes=(SHAPES["right"],))) == {"Mass": ("right", "in the lower zone")}
    assert where(Study("a", "a", "x", boxes=tuple(SHAPES.values()))) == {}  # both sides: none is said
    wide = Box("Cardiomegaly", 0.4, 0.5, 0.3, 0.2)
    assert where(Study("a", "a", "x", boxes=(wide,))) == {}
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 12:18] = 255
    study = Study("a", "a", "x", boxes=(SHAPES["right"],), masks={"Mass": encode(mask, lossless=True)})
    assert where(study) == {"Mass": ("left", "in the upper zone")}
    tall = Box("Effusion", 0.6, 0.1, 0.2, 0.7)
    assert where(Study("a", "a", "x", boxes=(tall,))) == {"Effusion": ("left", "")}


def test_without_a_place_no_side_is_said() -> None:
    for seed in range(20):
        description = made(labelled(Effusion=PRESENT, Mass=ABSENT), seed=seed)
        assert description is not None
        assert not {"left", "right"} & set(description.text.split())
        assert description.meaning == "Effusion"


@pytest.mark.parametrize("labels", [{}, {"Effusion": UNCERTAIN}, {"Scoliosis": PRESENT}])
def test_nothing_known_is_no_description(labels: dict[str, int]) -> None:
    assert made(labelled(**labels)) is None


def test_denials_are_of_absent_kinds_and_mean_nothing() -> None:
    for seed in range(20):
        description = made(labelled(Effusion=ABSENT, Mass=ABSENT), seed=seed)
        assert description is not None
        assert description.text
        assert description.meaning == ""
        assert all(e.assertion == "absent" for e in description.entities)


def test_equal_findings_in_equal_places_mean_the_same() -> None:
    studies = [Study("a", "a", "x", labels={"Mass": PRESENT}, boxes=(SHAPES[side],)) for side in SHAPES]
    meanings = [[made(study, seed=seed).meaning for seed in (0, 1)] for study in studies]
    assert meanings[0][0] == meanings[0][1] != meanings[1][0] == meanings[1][1]

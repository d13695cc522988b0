"""Checks of pictures: writing, black, white, uniform and inverted ones, the view; no alarm on a good picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from xlip.images import burned_in
from xlip.images.burned_in import text_lines
from xlip.images.files import encode, load_for_storage
from xlip.images.gray import Gray
from xlip.images.plausible import faults, sampled, samples_of, upright
from xlip.images.view_classifier import CLASSES, view_probabilities
from xlip.notices import noticed
from xlip.phantom import generate

PHANTOMS = range(12)


def phantom(number: int, size: int = 384) -> Gray:
    return generate(number, seed=9, size=size).pixels


def written(image: Gray, text: str, fill: int, size: int = 18) -> Gray:
    page = Image.fromarray(image)
    ImageDraw.Draw(page).text((20, 20), text, fill=fill, font_size=size)
    return np.asarray(page)


def test_a_printed_line_is_found_and_a_side_marker_is_none() -> None:
    pictures = [np.clip(phantom(number), 0, 215) for number in PHANTOMS]
    found = [text_lines(written(picture, "QUILLFEATHER 17.03.1952", 255)) for picture in pictures]
    assert sum(lines > 0 for lines in found) >= len(pictures) - 2
    assert not any(text_lines(picture) for picture in pictures)
    assert not any(text_lines(written(picture, "R PA", 255, 40)) for picture in pictures)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
def test_writing_is_looked_for_in_files_of_any_form_where_it_is_asked_for(form: str, tmp_path: Path) -> None:
    picture = written(np.clip(phantom(1), 0, 215), "Name: Vandersloot", 255)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form, **({"quality": 95} if form == "JPEG" else {}))
    for short_side in (100, 1000):  # reduced, and kept byte for byte where it can be
        with noticed() as said:
            asked = load_for_storage(buffer.getvalue(), short_side, writing="full")
        assert said == ["burned-in text: 1 lines of writing in the picture"]
        with noticed() as said:
            plain = load_for_storage(buffer.getvalue(), short_side)
        assert not said
        assert (asked.width, asked.height) == (plain.width, plain.height) == (384, 384)
        if short_side == 1000:
            assert asked.data == plain.data


@settings(deadline=None, max_examples=40)
@given(picture=st.integers(0, 30), size=st.integers(12, 40), left=st.integers(0, 120), top=st.integers(0, 330))
def test_the_quick_look_spares_no_picture_that_the_search_finds(picture: int, size: int, left: int, top: int) -> None:
    page = Image.fromarray(np.clip(phantom(picture), 0, 215))
    ImageDraw.Draw(page).text((left, top), "Vandersloot, Ingrid", fill=255 if picture % 2 else 0, font_size=size)
    image = np.asarray(page)
    with pytest.MonkeyPatch.context() as patch:
        quick = text_lines(image)
        patch.setattr(burned_in, "_may_hold_writing", lambda image: True)
        patch.setattr(burned_in, "_is_crossed", lambda mask: True)
        assert quick == text_lines(image)


def test_black_white_uniform_and_inverted_pictures_are_named_and_good_ones_are_not() -> None:
    assert faults([sampled(phantom(number)) for number in PHANTOMS]) == [""] * len(PHANTOMS)
    assert faults([]) == []
    inverted = faults([sampled(255 - phantom(number)) for number in PHANTOMS])
    assert sum("inverted" in said for said in inverted) >= len(PHANTOMS) - 1
    ramp = np.tile(np.linspace(0, 38, 64, dtype=np.uint8), (64, 1))
    black, white, gray = faults([sampled(ramp), sampled(255 - ramp), sampled(np.full((64, 80), 90, np.uint8))])
    assert "nearly black" in black
    assert "nearly white" in white
    assert "nearly uniform" in gray
    assert sampled(Image.fromarray(ramp)) == sampled(ramp)


def test_inverting_turns_the_sign_of_upright() -> None:
    samples = samples_of([sampled(phantom(number)) for number in PHANTOMS])
    np.testing.assert_allclose(upright(255 - samples), -upright(samples), atol=0.02)


def test_the_view_classifier_gives_probabilities_and_knows_phantoms_and_pages() -> None:
    found = [view_probabilities(phantom(number, 96)) for number in PHANTOMS]
    assert all(set(one) == set(CLASSES) and sum(one.values()) == pytest.approx(1, abs=1e-5) for one in found)
    assert sum(one["frontal"] > 0.9 for one in found) >= len(PHANTOMS) - 1
    page = Image.new("L", (128, 128), 255)
    for line in range(0, 128, 12):
        ImageDraw.Draw(page).text((4, line), "a page of text, no chest", fill=0)
    assert view_probabilities(np.asarray(page))["other"] > 0.5
    assert encode(phantom(0, 64))[:2] == b"\xff\xd8"

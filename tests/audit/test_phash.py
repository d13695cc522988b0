from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xlip.audit.phash import (
    CANDIDATE,
    POSES,
    SAME,
    SIZE,
    Pose,
    pixel_digest,
    same_picture,
    signature,
    signatures,
    small,
    thumbs,
    trimmed,
    turned,
    upright_signatures,
)
from xlip.phantom import generate

Array = np.ndarray[Any, Any]
IMAGES = [generate(index, size=192).pixels for index in range(12)]


def picture(image: Array) -> Image.Image:
    return Image.fromarray(image)


def recompressed(image: Array) -> Array:
    buffer = io.BytesIO()
    picture(image).save(buffer, "JPEG", quality=30)
    return np.asarray(Image.open(buffer))


def padded(image: Array) -> Array:
    return np.pad(image, ((0, 0), (25, 25)))


COPIES: dict[str, Callable[[Array], Array]] = {
    "recompressed": recompressed,
    "smaller": lambda image: np.asarray(picture(image).resize((100, 100), Image.Resampling.BICUBIC)),
    "larger": lambda image: np.asarray(picture(image).resize((333, 333), Image.Resampling.BICUBIC)),
    "turned left": lambda image: np.asarray(picture(image).rotate(3.3, Image.Resampling.BICUBIC)),
    "turned right": lambda image: np.asarray(picture(image).rotate(-5, Image.Resampling.BICUBIC)),
    "turned on a wider canvas": lambda image: np.asarray(
        picture(image).rotate(3, Image.Resampling.BICUBIC, expand=True)
    ),
    "brighter": lambda image: (255 * (image / 255.0) ** 0.75).astype(np.uint8),
    "padded": padded,
    "everything": lambda image: recompressed(
        np.asarray(picture(image).rotate(-2.5, Image.Resampling.BICUBIC).resize((150, 150)))
    ),
}


def found(first: Array, second: Array) -> tuple[float, float]:
    """Cosine and correlation of a pair, in the best pose; `first` as training sets are hashed."""
    rows = upright_signatures(thumbs(first))
    cosines = (signatures(thumbs(second)) @ rows.T).max(1)
    pose = POSES[int(cosines.argmax())]
    return float(cosines.max()), same_picture(first, second, pose)


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("reverse", [False, True])
def test_copies_are_found_whichever_side_was_changed(name: str, reverse: bool) -> None:
    for image in IMAGES[:4]:
        pair = (image, COPIES[name](image))
        cosine, correlation = found(*(pair[::-1] if reverse else pair))
        assert cosine >= CANDIDATE
        assert correlation >= SAME


def test_other_chests_are_not_copies() -> None:
    for first in IMAGES:
        for second in IMAGES:
            if first is not second:
                cosine, correlation = found(first, second)
                assert cosine < CANDIDATE or correlation < SAME


def test_signature_is_of_unit_length_and_blind_to_brightness() -> None:
    one = signature(small(IMAGES[0]))[0]
    assert one.shape == (SIZE,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    darker = signature(small((IMAGES[0] // 2 + 40).astype(np.uint8)))[0]
    assert one @ darker > 0.99


def test_signature_is_the_weighted_cosine_transform_of_a_naive_loop() -> None:
    side = 48
    grid = np.asarray(small(IMAGES[1]).resize((side, side), Image.Resampling.BILINEAR), float)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.clip((1 - np.hypot(y, x) / (side / 2)) / 0.15, 0, 1)
    flat = (grid - (grid * disc).sum() / disc.sum()) * disc
    expected = []
    place = np.arange(side)
    for down in range(14):
        for across in range(14):
            radial = np.hypot(down, across)
            if 2 <= radial < 14:
                wave = np.outer(*(np.cos(np.pi * (2 * place + 1) * f / (2 * side)) for f in (down, across)))
                expected.append((flat * wave).sum() * radial)
    expected = np.array(expected) / np.linalg.norm(expected)
    assert np.abs(signature(small(IMAGES[1]))[0] - expected).max() < 1e-4


def test_a_picture_correlates_with_itself_as_one() -> None:
    for image in IMAGES[:3]:
        assert same_picture(image, image, Pose()) == pytest.approx(1, abs=1e-4)
    stripes = np.tile(np.arange(96, dtype=np.uint8)[:, None] % 8 * 30, (1, 96))  # all energy in the first column
    assert same_picture(stripes, stripes, Pose()) == pytest.approx(1, abs=1e-4)


def test_correlation_is_that_of_a_naive_transform_over_all_shifts() -> None:
    side = 96
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.clip((0.95 - np.hypot(y, x) / (side / 2)) / 0.15, 0, 1)
    cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(side) * side, np.fft.fftfreq(side) * side))

    def passed(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        fine = np.asarray(small(image).resize((side, side), Image.Resampling.BILINEAR), float)
        flat = (fine - (fine * disc).sum() / disc.sum()) * disc
        band = np.fft.ifft2(np.fft.fft2(flat) * ((cycles > 6) & (cycles < 30))).real
        return band / np.linalg.norm(band)

    first, second = IMAGES[:2]
    versions, two = [passed(first)], passed(second)
    if (cut := trimmed(first)) is not None:
        versions.append(passed(cut))
    shifts = [(down, across) for down in range(-5, 6) for across in range(-5, 6)]
    naive = max(float((one * np.roll(two, shift, (0, 1))).sum()) for one in versions for shift in shifts)
    assert naive < 0.55  # so that no better pose is searched
    assert same_picture(first, second, Pose()) == pytest.approx(naive, abs=1e-5)


def test_flat_images_match_nothing() -> None:
    flat = np.full((80, 90), 7, np.uint8)
    assert not signature(small(flat)).any()
    assert trimmed(flat) is None
    assert same_picture(flat, IMAGES[0], Pose()) < SAME


def test_pixel_digest_sees_one_pixel_and_the_shape() -> None:
    image = IMAGES[0].copy()
    assert pixel_digest(image) == pixel_digest(IMAGES[0])
    image[3, 4] ^= 1
    assert pixel_digest(image) != pixel_digest(IMAGES[0])
    assert pixel_digest(np.zeros((2, 8), np.uint8)) != pixel_digest(np.zeros((4, 4), np.uint8))


def test_trimming_cuts_flat_borders_only() -> None:
    image = IMAGES[0][20:170, 20:170]
    cut = trimmed(np.pad(image, ((30, 10), (0, 40)), constant_values=9))
    assert cut is not None
    assert np.array_equal(cut, image)
    assert trimmed(np.random.default_rng(0).integers(0, 255, (50, 50)).astype(np.uint8)) is None


def test_turning_back_undoes_a_turn() -> None:
    start = small(IMAGES[2])
    back = turned(turned(start, Pose(7.0, 1 / 1.1)), Pose(-7.0, 1.1))
    inside = np.s_[30:66, 30:66]
    assert np.abs(np.asarray(back, float)[inside] - np.asarray(start, float)[inside]).mean() < 6
    assert turned(start, Pose()) is start

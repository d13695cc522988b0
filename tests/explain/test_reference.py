from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_encoder import SIZE, FakeEncoder
from xlip.errors import XLIPError
from xlip.explain.reference import NEAR, NEIGHBOURS, among, distances, near_threshold, reference_in, reference_of
from xlip.images.files import encode


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 999), st.integers(6, 30))
def test_a_distance_is_the_mean_over_the_nearest_training_images(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    train, images = unit(draw.normal(size=(count, 4))), unit(draw.normal(size=(3, 4)))
    found = distances(images, among(train))
    for image, one in zip(images, found, strict=True):
        nearest = sorted(1 - float(image @ other) for other in train)[:NEIGHBOURS]
        assert one == pytest.approx(np.mean(nearest), abs=1e-5)


def test_a_training_image_does_not_count_as_its_own_neighbour() -> None:
    train = unit(np.random.default_rng(0).normal(size=(200, 8)))
    naive = [
        np.mean(sorted(1 - float(one @ other) for j, other in enumerate(train) if j != i)[:NEIGHBOURS])
        for i, one in enumerate(train)
    ]
    assert near_threshold(train, among(train), themselves=True) == pytest.approx(np.quantile(naive, NEAR), abs=1e-5)


def test_most_validation_images_are_near_and_a_stranger_is_far() -> None:
    draw = np.random.default_rng(0)
    train, val = (unit(draw.normal([5, 0, 0, 0], 1, size=(300, 4))) for _ in range(2))
    threshold = near_threshold(val, among(train), themselves=False)
    assert (distances(val, among(train)) <= threshold).mean() == pytest.approx(NEAR, abs=0.01)
    assert distances(unit(np.array([[-1.0, 0, 0, 0]])), among(train))[0] > threshold


def test_embeddings_are_made_once(tmp_path: Path) -> None:
    for index in range(12):
        pixels = np.full((SIZE, SIZE), 20 * index, np.uint8)
        (tmp_path / f"{index}.png").write_bytes(encode(pixels, lossless=True))
    first, second = FakeEncoder(), FakeEncoder()
    one = reference_of(str(tmp_path), first, tmp_path / "cache")
    assert sum(first.passes) == 12
    again = reference_of(str(tmp_path), second, tmp_path / "cache")
    assert sum(second.passes) == 0
    assert again.threshold == pytest.approx(one.threshold, abs=1e-3)
    other = FakeEncoder(identity="another")
    reference_of(str(tmp_path), other, tmp_path / "cache")
    assert sum(other.passes) == 12


def test_too_few_images_are_no_reference(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(encode(np.zeros((SIZE, SIZE), np.uint8), lossless=True))
    with pytest.raises(XLIPError, match="expected more than 5 training images"):
        reference_of(str(tmp_path), FakeEncoder(), tmp_path / "cache")


@dataclass(frozen=True)
class Hit:
    score: float


@dataclass(frozen=True)
class FakeIndex:
    vectors: np.ndarray
    identity: str = "fake"

    def ids(self) -> list[str]:
        return [str(row) for row in range(len(self.vectors))]

    def vector(self, id_: str) -> np.ndarray:
        return self.vectors[int(id_)]

    def nearest(self, queries: np.ndarray, top: int) -> list[list[Hit]]:
        return [[Hit(float(one)) for one in sorted(row)[-top:]] for row in queries @ self.vectors.T]


def test_an_index_is_a_reference_like_its_vectors() -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(60, 2)))
    found = reference_in(FakeIndex(vectors), FakeEncoder())
    assert found.threshold == pytest.approx(near_threshold(vectors, among(vectors), themselves=True), abs=1e-5)
    image = unit(np.array([[0.3, 0.4]]))
    assert found.distances(image) == pytest.approx(distances(image, among(vectors)), abs=1e-5)


@pytest.mark.parametrize(
    ("index", "said"), [(FakeIndex(np.eye(9), "other"), "embed again"), (FakeIndex(np.eye(2)), "more than 5")]
)
def test_an_index_of_another_model_or_of_little_is_refused(index: FakeIndex, said: str) -> None:
    with pytest.raises(XLIPError, match=said):
        reference_in(index, FakeEncoder())

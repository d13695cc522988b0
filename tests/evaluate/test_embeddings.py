from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_model import FakeModel
from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, Cases, open_cases
from xlip.evaluate.embeddings import cache_folder, embed
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.runtime.encoder import IN_MEMORY


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five images, of which the third is damaged."""
    with (tmp_path / "my.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "Effusion"])
        for index in range(5):
            picture = encode(generate(index, size=64).pixels, lossless=True)
            (tmp_path / f"{index}.png").write_bytes(b"damaged" if index == 2 else picture)
            writer.writerow([f"{index}.png", index % 2])
    return tmp_path / "my.csv"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_second_call_encodes_nothing_and_gives_the_same(phantoms: Path, own_cache: Path) -> None:
    model = FakeModel()
    first = embed(model, open_cases(str(phantoms)), batch_size=7)
    assert max(model.calls) == 7
    count = sum(model.calls)
    assert count == len(first.cases) == len(first.images)
    second = embed(model, open_cases(str(phantoms)), batch_size=7)
    assert sum(model.calls) == count
    assert np.array_equal(first.images, second.images)
    assert [case.study_id for case in first.cases] == [case.study_id for case in second.cases]
    assert [case.labels for case in first.cases] == [case.labels for case in second.cases]
    assert [path.suffix for path in files(own_cache)] == [".safetensors"]


class StoppedError(Exception):
    """What ends a call in its midst."""


def stopped_at(model: FakeModel, call: int) -> FakeModel:
    """The same model, which breaks off at a call, counted with those that were made."""

    def image(pixels: torch.Tensor) -> torch.Tensor:
        if len(model.calls) == call:
            raise StoppedError
        return FakeModel().image(pixels)

    return replace(model, image=image)


def test_a_call_that_was_stopped_goes_on_where_it_was(table: Path, own_cache: Path, monkeypatch) -> None:
    monkeypatch.setattr("xlip.evaluate.embeddings.PART", 2)
    whole = embed(FakeModel(), open_cases(str(table)), cache=False)
    model = FakeModel()

    with pytest.raises(StoppedError):
        embed(stopped_at(model, 2), open_cases(str(table)), batch_size=1)
    assert len(list(own_cache.rglob("*.parts/*.safetensors"))) == 0  # the second case was in the first part
    model.calls.clear()

    with pytest.raises(StoppedError):
        embed(stopped_at(model, 4), open_cases(str(table)), batch_size=1)
    assert len(list(own_cache.rglob("*.parts/*.safetensors"))) == 2  # cases 0, 1 and 2 (damaged), 3
    model.calls.clear()
    cases = open_cases(str(table))
    found = embed(model, cases, batch_size=1)
    assert model.calls == [1]  # the fifth alone
    assert np.array_equal(found.images, whole.images)
    assert [case.study_id for case in found.cases] == [case.study_id for case in whole.cases]
    assert len(cases.dropped) == 1
    assert not list(own_cache.rglob("*.parts"))


def test_a_damaged_part_is_made_again(table: Path, own_cache: Path, monkeypatch) -> None:
    monkeypatch.setattr("xlip.evaluate.embeddings.PART", 2)
    model = FakeModel()

    with pytest.raises(StoppedError):
        embed(stopped_at(model, 4), open_cases(str(table)), batch_size=1)
    first, _ = sorted(own_cache.rglob("*.parts/*.safetensors"))
    first.write_bytes(first.read_bytes()[:-3])
    model.calls.clear()
    found = embed(model, open_cases(str(table)), batch_size=1)
    assert len(model.calls) == 3  # the two of the first part, and the fifth
    assert np.array_equal(found.images, embed(FakeModel(), open_cases(str(table)), cache=False).images)


@pytest.mark.parametrize(
    "change", [{"identity": "other"}, {"preprocess": "squash"}, {"image_size": 48}, {"identity": IN_MEMORY}]
)
def test_another_checkpoint_or_preprocessing_is_encoded_anew(change: dict[str, object], phantoms: Path) -> None:
    embed(FakeModel(), open_cases(str(phantoms)))
    other = replace(FakeModel(), **change)
    assert sum(other.calls) == 0
    embed(other, open_cases(str(phantoms)))
    assert sum(other.calls) > 0


def test_another_split_or_other_data_are_encoded_anew(phantoms: Path, table: Path) -> None:
    model = FakeModel()
    test = embed(model, open_cases(str(phantoms)))
    train = embed(model, open_cases(str(phantoms), split="train"))
    assert not {case.study_id for case in test.cases} & {case.study_id for case in train.cases}
    embed(model, open_cases(str(table)))
    before = sum(model.calls)
    (table.parent / "0.png").write_bytes(encode(generate(99, size=64).pixels, lossless=True))
    os.utime(table.parent / "0.png", ns=(1, 1))
    embed(model, open_cases(str(table)))
    assert sum(model.calls) == before + 4


def test_without_a_cache_nothing_is_written(phantoms: Path, own_cache: Path) -> None:
    embed(FakeModel(), open_cases(str(phantoms)), cache=False)
    embed(FakeModel(identity=IN_MEMORY), open_cases(str(phantoms)))
    assert files(own_cache) == []


def test_what_could_not_be_read_is_named_the_second_time_too(table: Path) -> None:
    dropped = []
    for _ in range(2):
        cases = open_cases(str(table))
        assert len(embed(FakeModel(), cases).cases) == 4
        dropped.append(cases.dropped)
    assert dropped[0] == dropped[1]
    assert len(dropped[0]) == 1


def test_a_damaged_file_is_made_again(phantoms: Path, own_cache: Path) -> None:
    first = embed(FakeModel(), open_cases(str(phantoms)))
    (file,) = files(own_cache)
    file.write_bytes(file.read_bytes()[:100])
    model = FakeModel()
    assert np.array_equal(embed(model, open_cases(str(phantoms))).images, first.images)
    assert sum(model.calls) == len(first.cases)


def test_a_folder_that_cannot_be_written_costs_no_evaluation(phantoms: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XLIP_CACHE", str(tmp_path / "file"))
    assert len(embed(FakeModel(), open_cases(str(phantoms))).cases) > 0


def test_pixels_do_not_stay_in_memory(phantoms: Path) -> None:
    cases = open_cases(str(phantoms), require="regions")
    embedded = embed(FakeModel(), cases, cache=False)
    assert all(case.image is None and not case.masks for case in embedded.cases)


def test_images_are_decoded_batch_by_batch() -> None:
    read: list[int] = []
    seen: list[int] = []

    def items():
        for index in range(20):
            read.append(index)
            yield Case(str(index), str(index), encode(generate(index, size=64).pixels), {"Effusion": 1})

    def image(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(len(read))
        return pixels.flatten(1)[:, :2]

    embed(FakeModel(image=image), Cases("made", items(), ["Effusion"]), batch_size=4)
    assert seen == [4, 8, 12, 16, 20]


def test_no_readable_image_is_a_fault() -> None:
    cases = Cases("none", [Case("a", "a", b"damaged", {"Effusion": 1})], ["Effusion"])
    with pytest.raises(XLIPError, match=r"none: no image could be read \(1 dropped"):
        embed(FakeModel(), cases)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("XLIP_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "xlip"

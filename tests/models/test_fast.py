"""Images encoded in the numbers that a machine multiplies fastest say what they say in fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import xlip.shipped
from tiny import CONFIG, tiny_model
from xlip.cli.encoders import open_encoder
from xlip.errors import XLIPError
from xlip.evaluate.encoder import TorchEncoder
from xlip.models import machine
from xlip.models.fast import fast_encoder
from xlip.phantom import generate


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("fast") / "model"
    tiny_model().save_pretrained(folder)
    return str(folder)


def squares() -> np.ndarray:
    return np.stack([generate(i, size=CONFIG.image_size).pixels for i in range(4)])


def test_bf16_is_near_fp32_and_not_the_same(place: str) -> None:
    exact, quick = (open_encoder(place, precision) for precision in ("fp32", "bf16"))
    first, second = exact.encode_squares(squares()), quick.encode_squares(squares())
    assert second.dtype == np.float32
    assert np.allclose(np.linalg.norm(second, axis=1), 1, atol=1e-5)
    assert (first * second).sum(1).min() > 0.99
    assert not np.array_equal(first, second)
    assert isinstance(quick, TorchEncoder)
    assert (exact.numbers, quick.numbers) == ("fp32", "bf16")
    assert quick.model.model.image_tower.encoder.dtype == torch.float32  # the model itself stays as it was


@pytest.mark.parametrize(
    ("rates", "numbers"), [({"fp32": 1.0, "bf16": 9.0}, "bf16"), ({"fp32": 9.0, "bf16": 8.0}, "fp32")]
)
def test_auto_follows_what_was_measured(place: str, rates, numbers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "matmul_rates", lambda device: rates)
    encoder = open_encoder(place, "auto")
    assert encoder.numbers == numbers
    if numbers == "fp32":
        assert np.allclose(encoder.encode_squares(squares()), open_encoder(place).encode_squares(squares()), atol=1e-6)


def test_what_cannot_be_is_refused(place: str) -> None:
    with pytest.raises(XLIPError, match="precision: expected one of auto, fp32, bf16; got 'fp8'"):
        open_encoder(place, "fp8")
    with pytest.raises(XLIPError, match="numbers of its export"):
        open_encoder(str(Path(xlip.shipped.__file__).parent / "phantom" / "onnx"), "bf16")


def test_in_fp32_nothing_is_copied() -> None:
    model = tiny_model().eval()
    assert fast_encoder(model, "fp32").tower is model.image_tower

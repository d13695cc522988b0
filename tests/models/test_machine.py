from __future__ import annotations

from pathlib import Path

import pytest
import torch

from xlip.errors import XLIPError
from xlip.models import machine

CPU = torch.device("cpu")


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, float]:
    """What is 'measured', in a cache of its own; `calls` counts."""
    monkeypatch.setenv("XLIP_CACHE", str(tmp_path))
    found = {"fp32": 59.0, "bf16": 34.0, "calls": 0.0}

    def measure(device: torch.device) -> dict[str, float]:
        found["calls"] += 1
        return {name: found[name] for name in ("fp32", "bf16")}

    monkeypatch.setattr(machine, "_matmul_rates", measure)
    return found


@pytest.mark.parametrize(("bf16", "expected"), [(34.0, "no"), (60.0, "no"), (240.0, "bf16")])
def test_auto_takes_the_format_that_is_clearly_faster_here(bf16: float, expected: str, rates: dict[str, float]) -> None:
    rates["bf16"] = bf16
    assert machine.mixed_precision("auto", CPU) == expected
    assert [machine.mixed_precision(name, CPU) for name in ("fp32", "bf16")] == ["no", "bf16"]
    with pytest.raises(XLIPError, match="take auto, bf16 or fp32"):
        machine.mixed_precision("fp16", CPU)


def test_a_machine_is_measured_once_and_a_damaged_cache_costs_time_only(
    rates: dict[str, float], tmp_path: Path
) -> None:
    for _ in range(3):
        assert machine.matmul_rates(CPU)["fp32"] == 59.0
    assert rates["calls"] == 1
    (file,) = (tmp_path / "machine").iterdir()
    for text in ("", "[]", '{"matmul": 3}'):
        file.write_text(text)
        assert machine.matmul_rates(CPU)["bf16"] == 34.0
    assert rates["calls"] == 4


def test_the_faster_attention_is_chosen_and_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.attention_choice(CPU, (17, 2, 16), "no") in machine.KERNELS
    for fastest in machine.KERNELS:
        seconds = {name: 1.0 + (name != fastest) for name in machine.KERNELS}
        monkeypatch.setattr(machine, "_attention_seconds", lambda *_, seconds=seconds: seconds)
        monkeypatch.setattr(machine, "_kept", lambda device, name, measure: measure())
        assert machine.attention_choice(CPU, (17, 2, 16), "no") == fastest
    query = torch.randn(2, 2, 9, 8)
    outputs = []
    for name in machine.KERNELS:
        with machine.attention_kernel(name):
            outputs.append(torch.nn.functional.scaled_dot_product_attention(query, query, query))
    assert torch.allclose(*outputs, atol=1e-5)

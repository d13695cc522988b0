"""The device is never asked for a value within a step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from runs import log_rows, prepare_streams, small_run
from tiny import tiny_batch, tiny_model
from xlip.objectives.registry import OBJECTIVES, build_objectives
from xlip.train import session
from xlip.train.loop import pretrain
from xlip.train.pretrainer import Pretrainer
from xlip.train.step import read


@pytest.mark.parametrize("where", ["feature", "reencode"])
def test_no_term_needs_a_value_to_go_on(where: str) -> None:
    """Tensors of the device `meta` have none: an `item()`, a `bool()`, a boolean index of one of them is an error."""
    model = tiny_model()
    options = {**{name: {} for name in OBJECTIVES}, "attmim": {"where": where, "share": 0.7}}
    options["contrastive"] = options["kind_contrast"] = {"denials": True}
    batch = tiny_batch(model).to(torch.device("meta"))
    task = Pretrainer(model.to("meta"), build_objectives(options)).train()
    losses = task(batch, 0.5, torch.Generator().manual_seed(0))
    losses.total.backward()
    assert losses.total.is_meta
    assert all(p.grad is None or p.grad.is_meta for p in model.parameters())


class Asked(TorchDispatchMode):
    """Counts how often a value is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count[function.name()] += 1
        return function(*arguments, **(options or {}))


def test_values_are_read_only_where_they_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, reads, counted = prepare_streams(tmp_path / "sets", 8), [], []
    made = session.train_step

    def stepping(*arguments: Any) -> Any:
        with Asked() as asked:
            values = made(*arguments)
        counted.append(asked.count["aten::_local_scalar_dense"])
        assert asked.count["aten::mm"] + asked.count["aten::addmm"] > 0
        return values

    def reading(values: Any) -> Any:
        reads.append(len(values))
        return read(values)

    monkeypatch.setattr(session, "train_step", stepping)
    monkeypatch.setattr(session, "read", reading)
    pretrain(small_run(data, tmp_path / "run", steps=7, log_every=3, checkpoint_every=0))
    assert counted == [0] * 7
    assert [row["step"] for row in log_rows(tmp_path / "run")] == [0, 3, 6]
    assert max(reads) == 3


def test_the_share_of_waiting_for_data_is_logged(tmp_path: Path) -> None:
    from xlip.train.session import Meter

    meter = Meter(1.0, 1.0)
    clock = iter([0.0, 3.0, 4.0, 9.0, 9.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xlip.train.session.time.perf_counter", lambda: next(clock))
        meter.times = [0.0]
        (first, second) = (None, None)
        batches = meter.waiting(iter([1, 2]))  # type: ignore[list-item]
        first = next(batches)  # from 0 to 3
        values = meter.tick(1)  # at 4
        second = next(batches)  # from 9 to 9
    assert (first, second) == (1, 2)
    assert values["data_wait_share"] == pytest.approx(0.75)

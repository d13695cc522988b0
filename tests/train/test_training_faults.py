"""A loss that is not finite stops the run before it spoils the weights, and leaves what it takes to look at it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from runs import log_rows, prepare_streams, small_run
from tiny import tiny_batch, tiny_model
from xlip.batches.batch import Batch
from xlip.batches.streams import BatchSampler
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.train.faults import Spikes, _single, read_batch, replay, studies_of, write_batch
from xlip.train.loop import pretrain


def equal(one: Batch, other: Batch) -> bool:
    for name, value in vars(one).items():
        found = getattr(other, name)
        tensors = zip(vars(value).values(), vars(found).values(), strict=True) if hasattr(value, "ids") else ()
        alike = torch.equal(value, found) if isinstance(value, torch.Tensor) else tensors or value == found
        if not alike or any(not torch.equal(a, b) for a, b in tensors):
            return False
    return True


def test_a_batch_is_kept_as_it_was(tmp_path: Path) -> None:
    batch = tiny_batch(tiny_model())
    write_batch(tmp_path / "step", batch, 3)
    assert equal(read_batch(tmp_path / "step", 3), batch)
    (tmp_path / "step" / "batch-3.st").write_bytes(b"no")
    with pytest.raises(XLIPError, match=r"batch-3\.st: cannot be read"):
        read_batch(tmp_path / "step", 3)


def test_a_batch_falls_into_studies_of_their_own() -> None:
    batch = tiny_batch(tiny_model(), 2, 1, 2)
    parts = _single(batch)
    assert [(len(part.pixels), len(part.reports), part.pairs) for _, part in parts] == [
        *[(1, 1, 1)] * 2,
        (1, 0, 0),
        *[(0, 1, 0)] * 2,
    ]
    assert {study for study, _ in parts} <= set(studies_of(batch))


def test_nan_stops_with_step_term_and_studies_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = prepare_streams(tmp_path / "sets", 8)
    made = BatchSampler.__call__

    def spoilt(self: BatchSampler, step: int) -> Batch:
        batch = made(self, step)
        if step == 1:
            batch.pixels[0] = torch.nan
        return batch

    config = small_run(data, tmp_path / "run", checkpoint_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(BatchSampler, "__call__", spoilt)
        with pytest.raises(XLIPError, match=r"step 1: \w+ is nan \(studies .*; look at it by xlip replay") as caught:
            pretrain(config)
    assert "\n" not in str(caught.value)
    assert [row["step"] for row in log_rows(tmp_path / "run")] == [0]
    words = shlex.split(str(caught.value).split("look at it by ")[1].split(", or")[0])
    found = replay(Path(words[2]))
    notes: dict[str, Any] = json.loads((Path(words[2]) / "fault.json").read_text())
    assert found.step == notes["step"] == 1
    assert found.studies == [notes["studies"][0]]  # the one whose image was spoilt
    assert found.modules[0].startswith("image_tower.encoder.embeddings")
    assert main(words[1:]) == 0
    assert notes["studies"][0] in capsys.readouterr().out
    whole = pretrain(replace(config, resume="auto"))  # the weights of the checkpoint are sound
    assert len(whole.curve) == 4


def test_a_spike_is_what_stands_out_from_the_last_steps() -> None:
    spikes = Spikes()
    steady = [5 + 0.01 * (step % 3) for step in range(40)]
    assert [spikes.expected(total) for total in steady] == [None] * 40
    assert spikes.expected(5.2) is None
    assert spikes.expected(9.0) == pytest.approx(5.01, abs=0.1)
    falling = Spikes()
    assert [falling.expected(20 / (1 + step)) for step in range(100)] == [None] * 100

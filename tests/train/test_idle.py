"""An objective that no batch can teach is named, once; one that learns at times is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.objectives.registry import OBJECTIVES
from xlip.preparation.run import prepare
from xlip.train.build import ModelConfig
from xlip.train.config import PretrainConfig
from xlip.train.idle import PATIENCE, Idle
from xlip.train.loop import pretrain


def test_every_objective_says_what_it_needs() -> None:
    assert all(one.needs for one in OBJECTIVES.values())


@given(st.lists(st.booleans(), min_size=1, max_size=2 * PATIENCE))
def test_a_term_that_was_nothing_for_the_first_steps_is_named_once(zeros: list[bool]) -> None:
    watch, said = Idle({"contrastive": "two pairs", "attmim": "images"}), []
    for step, zero in enumerate(zeros):
        values = {"contrastive": 0.0 if zero else 0.3, "attmim": 1.0, "total": 1.0}
        said += watch.lines(values, last=step == len(zeros) - 1)
    assert len(said) == all(zeros[:PATIENCE])
    if said:
        steps = min(len(zeros), PATIENCE)
        assert said[0].startswith(f"warning: objectives.contrastive was 0 in all of the first {steps} steps")


def test_one_pair_a_step_is_said_to_teach_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prepare("phantom", Path(), tmp_path / "data", workers=0, options={"count": 6, "size": 64})
    model = ModelConfig(
        image_size=64, width=16, depth=1, heads=2, text_width=16, text_depth=1, text_heads=2, embed_dim=8,
        decoder_width=16, decoder_layers=1, decoder_heads=2, vocab_size=400, max_tokens=32,
    )  # fmt: skip
    sets = [SetConfig(str(tmp_path / "data"))]
    run = PretrainConfig(
        out=str(tmp_path / "run"),
        data=Streams(pairs=sets, mix={"pairs": 1}),
        model=model,
        objectives={"contrastive": {}, "image_kind": {}},
        steps=3,
        checkpoint_every=0,
        workers=0,
    )
    pretrain(run)
    said = "".join(capfd.readouterr())
    assert "objectives.contrastive was 0 in all of the first 3 steps" in said
    assert "at least two pairs a step (data.mix.pairs)" in said
    assert "objectives.image_kind" not in said

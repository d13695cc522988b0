from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tiny import CONFIG, tiny_model
from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.errors import XLIPError
from xlip.evaluate.during_training import training_evaluation
from xlip.preparation.run import prepare
from xlip.train import loop
from xlip.train.loop import DuringTraining, PretrainConfig, pretrain


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("set") / "phantoms"
    prepare("phantom", Path(), out, workers=0, split="patients/70-15-15", options={"count": 40, "size": 64})
    return str(out)


def config(out: Path, phantoms: str, **evaluate: object) -> PretrainConfig:
    return PretrainConfig(
        out=str(out),
        data=Streams(pairs=[SetConfig(phantoms)], mix={"pairs": 4}),
        model=CONFIG,
        objectives={"contrastive": {}},
        steps=4,
        workers=0,
        log_every=3,
        checkpoint_every=0,
        evaluate=DuringTraining(**evaluate),  # type: ignore[arg-type]
    )


def lines(out: Path) -> dict[int, dict[str, float]]:
    read = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in read}


def test_figures_stand_in_the_log_and_training_is_the_same_with_them(phantoms: str, tmp_path: Path) -> None:
    plain = config(tmp_path / "plain", phantoms)
    assert training_evaluation(plain.evaluate, plain.prompts) is None
    pretrain(plain)
    watched = config(tmp_path / "watched", phantoms, every=2, data=phantoms)
    pretrain(watched, training_evaluation(watched.evaluate, watched.prompts))
    without, with_ = lines(tmp_path / "plain"), lines(tmp_path / "watched")
    figures = {step: {name for name in line if name.startswith("eval/auroc/")} for step, line in with_.items()}
    assert {step for step, names in figures.items() if names} == {1, 3}
    assert "eval/auroc/Effusion" in figures[3]
    assert not any(name.startswith("eval/") for line in without.values() for name in line)
    assert all(without[step]["total"] == with_[step]["total"] for step in without)
    events = list((tmp_path / "watched" / "tensorboard").iterdir())
    assert any(b"eval/auroc/Effusion" in event.read_bytes() for event in events)


def test_measuring_leaves_mode_and_random_numbers_as_they_were(phantoms: str) -> None:
    measure = training_evaluation(DuringTraining(every=1, data=phantoms, kinds="Effusion"), "chexzero")
    assert measure is not None
    model = tiny_model().train()
    state = torch.get_rng_state()
    assert set(measure(model)) <= {"eval/macro_auroc", "eval/auroc/Effusion"}
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 2}, "evaluate.data names no prepared set"),
        ({"every": 2, "split": "holdout"}, "no study of split 'holdout'"),
        ({"every": 2, "kinds": "Flu"}, "unknown kind 'Flu'"),
    ],
)
def test_a_fault_is_found_before_training(options: dict[str, object], message: str, phantoms: str) -> None:
    more = {} if message.startswith("evaluate.data") else {"data": phantoms}
    with pytest.raises(XLIPError, match=message):
        training_evaluation(DuringTraining(**options, **more), "xlip")  # type: ignore[arg-type]


def test_training_does_not_import_evaluation() -> None:
    files = list(Path(loop.__file__).parent.glob("*.py"))
    assert files
    assert not [file.name for file in files if "xlip.evaluate" in file.read_text("utf-8")]

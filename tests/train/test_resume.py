"""What a run goes on from stands in its checkpoint; what may change on the way, and what may not."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from runs import log_rows, prepare_streams, small_run
from xlip.batches.augmentation import Augment
from xlip.batches.study_table import SetConfig
from xlip.cli import main
from xlip.errors import Stopped, XLIPError
from xlip.preparation.run import prepare
from xlip.study.parquet import read_studies, write_studies
from xlip.train import session
from xlip.train.config import PretrainConfig
from xlip.train.loop import pretrain
from xlip.train.step import train_step


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return prepare_streams(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def whole(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    pretrain(small_run(data, out))
    return out


def die(config: PretrainConfig, step: int, patch: pytest.MonkeyPatch) -> None:
    """Train until a step that does not end."""
    _at(step, patch, lambda: (_ for _ in ()).throw(RuntimeError("killed")))
    with pytest.raises(RuntimeError, match="killed"):
        pretrain(config)
    patch.undo()


def _at(step: int, patch: pytest.MonkeyPatch, happens: Any) -> None:
    done: list[int] = []

    def stepping(*arguments: Any) -> dict[str, float]:
        done.append(1)
        if len(done) == step:
            happens()
        return train_step(*arguments)

    patch.setattr(session, "train_step", stepping)


def same_run(one: Path, other: Path) -> None:
    assert log_rows(one) == log_rows(other)
    curves = [[row["total"] for row in json.loads((run / "curve.json").read_text())] for run in (one, other)]
    assert curves[0] == curves[1] == [row["total"] for row in log_rows(one)]
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    optimisers = [
        (run / "checkpoints" / "step-00000004" / "optimizer.safetensors").read_bytes() for run in (one, other)
    ]
    assert optimisers[0] == optimisers[1]


def test_a_run_that_died_goes_on_exactly(
    data: dict[str, str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_run(data, tmp_path / "run")
    die(config, 4, monkeypatch)  # after three steps, the last checkpoint after two
    assert len(log_rows(tmp_path / "run")) == 3
    pretrain(replace(config, resume=True))
    same_run(whole, tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_lets_the_step_end_saves_and_says_how_to_go_on(
    number: signal.Signals,
    data: dict[str, str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = small_run(data, tmp_path / "run", checkpoint_every=4)
    _at(3, monkeypatch, lambda: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=rf"stopped by signal {int(number)} after 3 of 4 steps; go on with: ") as stopped:
        pretrain(config)
    monkeypatch.undo()
    assert stopped.value.signal == number
    assert signal.getsignal(number) is before
    assert [one.name for one in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000003"]
    words = shlex.split(str(stopped.value).split("go on with: ")[1])
    assert words[0] == "xlip"
    assert main(words[1:]) == 0
    same_run(whole, tmp_path / "run")


def test_the_command_line_answers_a_signal_with_its_number(
    data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runs import command

    _at(1, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(command(small_run(data, tmp_path / "run"))[3:]) == 143
    assert "--resume auto\n" in capsys.readouterr().err


def test_a_used_folder_is_refused_without_resume(data: dict[str, str], whole: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in whole.rglob("*")}
    with pytest.raises(XLIPError, match=r"holds a run already \(run.json\); go on with it by --resume auto"):
        pretrain(small_run(data, whole))
    assert {file: file.stat().st_mtime_ns for file in whole.rglob("*")} == before


def test_auto_starts_where_there_is_no_checkpoint(
    data: dict[str, str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_run(data, tmp_path / "run", resume="auto")
    die(config, 2, monkeypatch)  # before the first checkpoint
    with pytest.raises(XLIPError, match=r"no checkpoint to resume from.*--resume auto"):
        pretrain(replace(config, resume=True))
    pretrain(config)
    same_run(whole, tmp_path / "run")


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    data: dict[str, str], whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    steps = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [step.name for step in steps] == ["step-00000002", "step-00000004"]
    for file in ("model.safetensors", "optimizer.safetensors", "trainer.json", "tokenizer.json", "log.jsonl"):
        content = (steps[1] / file).read_bytes()
        (steps[1] / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        caplog.clear()
        pretrain(small_run(data, tmp_path / "run", resume=True))  # and writes the damaged one anew
        assert f"step-00000004: a damaged checkpoint, {file} is not what was written" in caplog.text
        same_run(whole, tmp_path / "run")
    for step in steps:
        (step / "trainer.json").unlink()
    with pytest.raises(XLIPError, match="no checkpoint is whole"):
        pretrain(small_run(data, tmp_path / "run", resume=True))


def changed(config: PretrainConfig, name: str, value: Any) -> PretrainConfig:
    head, _, rest = name.partition(".")
    return replace(config, **{head: changed(getattr(config, head), rest, value) if rest else value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", 1, r"seed was 0 and is 1 now: the order of the studies"),
        ("model.width", 48, r"model.width was 32 and is 48 now: the weights have"),
        ("objectives", {"contrastive": {}}, r"objectives\.\w+ was .* and is not there now"),
        ("augment", Augment(rotation=0), "augment.rotation was 10.0 and is 0 now"),
        ("prompts", "chexzero", "prompts was"),
        ("data.mix", {"pairs": 4}, "data.mix.images was 4 and is not there now"),
    ],
)
def test_what_would_make_another_run_is_refused_with_the_reason(
    name: str, value: Any, message: str, data: dict[str, str], whole: Path
) -> None:
    with pytest.raises(XLIPError, match=message) as caught:
        pretrain(changed(small_run(data, whole, resume=True), name, value))
    assert "\n" not in str(caught.value)


def test_another_report_set_is_refused_and_a_moved_one_is_not(
    data: dict[str, str], whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    shutil.copytree(data["texts"], tmp_path / "moved")
    moved = small_run({**data, "texts": str(tmp_path / "moved")}, tmp_path / "run", resume=True)
    pretrain(moved)
    prepare("phantom", Path(), tmp_path / "more", workers=0, options={"count": 9, "size": 64, "start": 900})
    other = replace(moved.data, texts=[SetConfig(str(tmp_path / "more"))])
    with pytest.raises(XLIPError, match=r"data.texts holds other studies .*24 studies.*9 studies.*vocabulary"):
        pretrain(replace(moved, data=other))


def test_prompts_go_by_their_texts_wherever_their_file_lies(data: dict[str, str], tmp_path: Path) -> None:
    file, moved = tmp_path / "mine.yaml", tmp_path / "elsewhere.yaml"
    kinds = "{No_Finding: {positive: [normal.], negative: [abnormal.]}}"
    file.write_text(
        f"sets: {{mine: {{version: 1, positive: ['{{}} is seen.'], negative: ['no {{}}.'], kinds: {kinds}}}}}\n"
    )
    config = small_run(data, tmp_path / "run", prompts=str(file), steps=2)
    pretrain(config)
    file.rename(moved)
    pretrain(replace(config, prompts=str(moved), steps=3, resume=True))
    moved.write_text(moved.read_text().replace("is seen", "is not seen"))
    with pytest.raises(XLIPError, match=r"prompts was .*elsewhere.* with other texts"):
        pretrain(replace(config, prompts=str(moved), steps=4, resume=True))


def test_the_same_studies_with_other_reports_are_refused(data: dict[str, str], whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    studies = [
        study._replace(report=f"{study.report} Unchanged.", entities=()) for study in read_studies(data["texts"])
    ]
    write_studies(studies, tmp_path / "again" / "part-00000-of-00001.parquet")
    again = small_run({**data, "texts": str(tmp_path / "again")}, tmp_path / "run", resume=True, steps=6)
    with pytest.raises(XLIPError, match=r"data\.texts holds the same studies with other reports or labels"):
        pretrain(again)


def test_fewer_steps_than_were_made_are_refused(data: dict[str, str], whole: Path) -> None:
    with pytest.raises(XLIPError, match=r"made 4 steps already, --steps 3 are fewer"):
        pretrain(small_run(data, whole, resume="auto", steps=3))


def test_what_may_change_is_used_and_said(data: dict[str, str], whole: Path, tmp_path: Path, capfd) -> None:
    shutil.copytree(whole, tmp_path / "run")
    config = small_run(data, tmp_path / "run", resume=True, steps=6, log_every=2)
    config = replace(config, optim=replace(config.optim, lr=0.0))
    before = {name: tensor.clone() for name, tensor in pretrain(config).model.named_parameters()}
    said = capfd.readouterr().err
    assert "steps was 4 and is 6 from here on" in said
    assert "optim.lr was 0.0005 and is 0.0 from here on" in said
    after = dict(pretrain(replace(config, steps=8)).model.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())  # the rate is used: 0


def test_the_newest_and_the_best_checkpoints_are_kept(data: dict[str, str], tmp_path: Path) -> None:
    figures = iter([0.5, 0.8, 0.6, 0.7, 0.7])
    evaluate = replace(small_run(data, tmp_path / "run").evaluate, every=1)
    config = small_run(data, tmp_path / "run", steps=5, checkpoint_every=1, keep=1, evaluate=evaluate)
    pretrain(config, lambda model: {"eval/macro_auroc": next(figures)})
    kept = sorted(one.name for one in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step-00000002", "step-00000005"]

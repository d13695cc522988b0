"""Every file that a command reads is damaged in six ways: the command works, or says in one line what is wrong."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runs import small_run, written
from xlip.batches.streams import SetConfig, Streams
from xlip.cli import main
from xlip.preparation.run import prepare
from xlip.train.loop import pretrain

SAMPLE = 10
"""Cases of the default suite; the slow one takes all."""


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for place in range(len(content) // 3, len(content), max(len(content) // 7, 1)):
        content[place] ^= 0x55
    file.write_bytes(bytes(content))


def other_type(file: Path) -> None:
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


def missing(file: Path) -> None:
    file.unlink()


def unreadable(file: Path) -> None:
    if os.geteuid():
        file.chmod(0)
    else:  # root reads everything: a folder in its place cannot be read as a file
        file.unlink()
        file.mkdir()


DAMAGES: tuple[Callable[[Path], None], ...] = (cut, empty, flip, other_type, missing, unreadable)


@dataclass(frozen=True)
class Command:
    """A command's words; `{}` is the folder of its inputs, `{out}` what it writes."""

    words: tuple[str, ...]
    inputs: tuple[str, ...]
    """Files and folders, all of whose files it may read."""


COMMANDS = {
    "pretrain": Command(("pretrain", "--config", "{}/run.yaml", "--out", "{out}"), ("run.yaml", "set")),
    "resume": Command(("pretrain", "--config", "{}/run.yaml", "--out", "{}/run", "--resume", "auto"), ("run",)),
    "start": Command(
        ("pretrain", "--config", "{}/run.yaml", "--out", "{out}", "--model.image_checkpoint", "{}/model"), ("model",)
    ),
    "zeroshot": Command(
        ("zeroshot", "--model", "{}/model", "--data", "{}/set", "--out", "{out}", "--replicates", "20"),
        ("model", "set"),
    ),
    "report": Command(("report", "{}/scores", "--out", "{out}"), ("scores",)),
    "compare": Command(("compare", "{}/scores", "{}/scores", "--out", "{out}"), ("scores",)),
    "inspect": Command(("inspect", "{}/set", "--out", "{out}"), ("set",)),
    "audit": Command(("audit", "{}/set", "--against", "{}/set", "--out", "{out}"), ("set",)),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set, a run with its checkpoints, a model and an evaluation, all small."""
    root = tmp_path_factory.mktemp("inputs")
    prepare("phantom", Path(), root / "set", workers=0, options={"count": 24, "size": 64})
    sets = [SetConfig(str(root / "set"))]
    streams = Streams(pairs=sets, mix={"pairs": 4})
    config = small_run({}, root / "run", objectives={"contrastive": {}}, steps=2, checkpoint_every=1)
    config = replace(config, data=streams)
    written(config, root / "run.yaml")
    pretrain(config)
    (root / "model").mkdir()
    for file in (root / "run").iterdir():
        if file.is_file():
            shutil.copy(file, root / "model" / file.name)
    words = ["zeroshot", "--model", str(root / "model"), "--data", str(root / "set"), "--out", str(root / "scores")]
    assert main([*words, "--replicates", "20"]) == 0
    return root


def check(name: str, file: str, damage: Callable[[Path], None], inputs: Path, tmp_path: Path, capfd) -> None:
    place, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(inputs, place)
    text = (place / "run.yaml").read_text().replace(str(inputs), str(place))
    (place / "run.yaml").write_text(text)
    damage(place / file)
    capfd.readouterr()
    code = main([word.format(place, out=out) if "{" in word else word for word in COMMANDS[name].words])
    said = capfd.readouterr().err
    assert code in (0, 1, 2), said
    assert "Traceback" not in said
    if code == 2:
        lines = [line for line in said.splitlines() if line.startswith("xlip: ")]
        assert len(lines) == 1, said
        assert said.splitlines()[-1] == lines[0], said
        assert not (out / "metrics.json").exists()
    assert not [path for path in tmp_path.rglob("*.partial") if path.exists()]


def cases(inputs: Path) -> list[tuple[str, str, Callable[[Path], None]]]:
    """Every command with every file of its inputs in every damage."""
    found = []
    for name, command in COMMANDS.items():
        for part in command.inputs:
            files = [inputs / part] if (inputs / part).is_file() else sorted((inputs / part).rglob("*"))
            found += [(name, str(file.relative_to(inputs)), d) for file in files if file.is_file() for d in DAMAGES]
    return found


def sweep(chosen: list[tuple[str, str, Callable[[Path], None]]], inputs: Path, tmp_path: Path, capfd) -> None:
    faults = []
    for number, (name, file, damage) in enumerate(chosen):
        try:
            check(name, file, damage, inputs, tmp_path / str(number), capfd)
        except Exception as error:  # a fault of any kind is one finding among all
            faults.append(f"{name} {file} {damage.__name__}: {type(error).__name__} {str(error)[-400:]}")
        shutil.rmtree(tmp_path / str(number), ignore_errors=True)
    assert not faults, "\n".join(faults)


def test_a_sample_of_damaged_files_is_survived_or_named(inputs: Path, tmp_path: Path, capfd) -> None:
    every = cases(inputs)
    assert {name for name, _, _ in every} == set(COMMANDS)
    sweep(random.Random(0).sample(every, SAMPLE), inputs, tmp_path, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_damaged_file_is_survived_or_named(name: str, inputs: Path, tmp_path: Path, capfd) -> None:
    sweep([case for case in cases(inputs) if case[0] == name], inputs, tmp_path, capfd)

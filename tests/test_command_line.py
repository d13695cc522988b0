from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from xlip import cli
from xlip.cli.commands import Command
from xlip.cli.parse import parse
from xlip.evaluate.zeroshot import ZeroShotConfig
from xlip.objectives.registry import build_objectives
from xlip.study.prompts import load_prompts
from xlip.train.loop import PretrainConfig

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "datasets", "spacy", "matplotlib", "sklearn", "jsonargparse")


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("xlip: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("code", ["", "from xlip.cli import main; assert main(['--help']) == 0"])
def test_neither_the_import_nor_the_help_loads_anything_heavy(code: str) -> None:
    program = f"import sys, xlip\n{code}\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["prepare", "tag", "audit", "inspect"])
def test_the_help_of_a_command_that_only_reads_and_writes_data_loads_no_torch(command: str) -> None:
    program = f"import sys\nfrom xlip.cli import main\ntry: main(['{command}', '--help'])\nexcept SystemExit: pass\n"
    program += "print([name for name in ('torch', 'transformers', 'spacy', 'datasets') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [("pretrain", "optim.warmup", "optim.warmup_steps"), ("finetune", "recipe.warmup", "recipe.warmup_share")],
)
def test_an_option_of_an_earlier_version_is_refused_with_its_new_name(
    command: str, old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room, _, option = old.partition(".")
    (tmp_path / "old.yaml").write_text(f"{room}: {{{option}: 1}}\nout: {tmp_path}\n")
    for words in ([f"--{old}", "1", "--out", str(tmp_path)], ["--config", str(tmp_path / "old.yaml")]):
        assert cli.main([command, *words]) == 2
        assert f"{old} is now called {new}" in one_line(capsys)


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "xlip.cli", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown command 'nothing'" in done.stderr


def test_every_public_name_loads() -> None:
    import xlip

    assert all(getattr(xlip, name).__name__ == name for name in xlip.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        xlip.nothing  # noqa: B018


def test_the_overview_names_every_command_and_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in cli.COMMANDS)
    assert "not a medical device" in shown
    assert cli.main([]) == 2
    assert cli.main(["--version"]) == 0
    assert re.search(r"^\d+\.\d+\.\d+$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert cli.COMMANDS[name].help in " ".join(capsys.readouterr().out.split())


def test_an_unknown_command_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train"]) == 2
    assert f"unknown command 'train'; expected one of {', '.join(cli.COMMANDS)}" in one_line(capsys)


@pytest.mark.parametrize(
    ("text", "named"),
    [("stepz: 3", "stepz"), ("model: {widht: 3}", "widht"), ("model: {width: wide}", "width"), ("a: [", "config")],
)
def test_a_typo_in_a_config_is_named_in_one_line(text: str, named: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "typo.yaml").write_text(f"out: {tmp_path / 'run'}\n{text}\n")
    assert cli.main(["pretrain", "--config", str(tmp_path / "typo.yaml")]) == 2
    assert named in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["typo.yaml"]


def test_an_unknown_objective_is_named_and_nothing_is_left(tmp_path: Path, capsys) -> None:
    (tmp_path / "typo.yaml").write_text(f"out: {tmp_path / 'run'}\nobjectives: {{contrastiv: {{}}}}\n")
    assert cli.main(["pretrain", "--config", str(tmp_path / "typo.yaml")]) == 2
    one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["typo.yaml"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["zeroshot", "--model", "a", "--data", "b"], "out"),
        (["pretrain", "--out", "x", "--steps", "many"], "steps"),
        (["pretrain", "--config", "none.yaml"], "none.yaml"),
        (["prepare", "nothing", "--out", "x"], "nothing"),
        (["demo", "--colour", "red"], "colour"),
    ],
)
def test_faulty_options_end_in_code_2(arguments: list[str], named: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert named in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_in_code_130_and_a_bug_keeps_its_traceback(monkeypatch, capsys) -> None:
    def run(error: BaseException):
        def command(config: object) -> None:
            raise error

        return Command("demo.DemoConfig", command, "")

    monkeypatch.setitem(cli.COMMANDS, "demo", run(KeyboardInterrupt()))
    assert cli.main(["demo"]) == 130
    assert "interrupted" in one_line(capsys)
    monkeypatch.setitem(cli.COMMANDS, "demo", run(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["demo"])


def test_hyphens_in_options_are_underscores_and_values_keep_theirs() -> None:
    for column in (["--image-column", "a-b"], ["--image-column=a-b"], ["--image_column", "a-b"]):
        _, config = parse(["zeroshot", "--model", "m-1", "--data", "d", "--out", "o", *column])
        assert config == ZeroShotConfig(model="m-1", data="d", out="o", image_column="a-b")


def shipped() -> list[Path]:
    found = sorted((ROOT / "configs").glob("*.yaml"))
    assert found
    return found


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_every_shipped_config_is_one_that_pretrain_takes(path: Path) -> None:
    _, config = parse(["pretrain", "--config", str(path), "--out", "run"])
    assert isinstance(config, PretrainConfig)
    assert len(build_objectives(config.objectives)) == len(config.objectives)
    assert load_prompts(config.prompts)
    assert config.model.image_size % config.model.patch_size == 0
    for name, count in config.data.mix.items():
        assert bool(count) == bool(getattr(config.data, name))

"""From words to a command and its config."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from xlip.cli.command import Command
from xlip.cli.commands import COMMANDS
from xlip.cli.parsers import build_parser
from xlip.errors import XLIPError

RENAMED = {"optim.warmup": "optim.warmup_steps", "recipe.warmup": "recipe.warmup_share"}
"""Options of earlier versions, and what they are called now."""


LEAST = {
    **dict.fromkeys(("seed", "replicates", "steps", "checkpoint_every", "gradient_norms_every", "every", "keep"), 0),
    **dict.fromkeys(("lr", "weight_decay", "warmup_steps", "clip", "worker_timeout"), 0),
    **dict.fromkeys(("log_every", "peer_timeout", "short_side", "batch_size", "parts"), 1),
    **dict.fromkeys(("workers", "reserve", "wait", "idle", "most", "port"), 0),
    **dict.fromkeys(("width", "side", "page", "megabytes", "associations", "attempts"), 1),
}
"""The smallest value of an option, in every command that has it; what one command alone demands is checked there."""
MOST = {"seed": 2**32 - 1, "port": 65535}
"""The largest value; libraries that draw random numbers take no larger seed."""


def parse(arguments: list[str]) -> tuple[Command, Any]:
    """The command that the first word names, or the first two, and its config with the options that follow.

    Raises:
        XLIPError: an unknown command, option or value.
    """
    name, rest = command_and_rest(arguments)
    if name not in COMMANDS:
        if parts := [command for command in COMMANDS if command.startswith(f"{name} ")]:
            raise XLIPError(f"{name}: expected one of {', '.join(parts)}; see `xlip {parts[0]} --help`")
        raise XLIPError(f"unknown command {name!r}; expected one of {', '.join(COMMANDS)}")
    import jsonargparse

    command = COMMANDS[name]
    parser, cls = parser_of(name)
    try:
        words = [_underscored(word) for word in rest]
        _check_config(words)
        parsed = parser.parse_args(_with_true(command.words(words) if command.words else words, cls))
        values = parser.instantiate(parsed).as_dict()
    except jsonargparse.ArgumentError as error:
        said = " ".join(str(error).split())
        for old, new in RENAMED.items():
            group, _, option = old.partition(".")
            if re.search(rf"\b{re.escape(old)}\b", said) or f"'{group}' does not accept option '{option}'" in said:
                said = f"{old} is now called {new}"
        raise XLIPError(f"{name}: {said}; see `xlip {name} --help`") from error
    values.pop("config", None)
    made = cls(**values)
    _check_numbers(made)
    return command, made


def parser_of(name: str) -> tuple[Any, Any]:
    """The parser of a command, and the class of its config."""
    return build_parser(name, COMMANDS[name])


def command_and_rest(arguments: list[str]) -> tuple[str, list[str]]:
    """The name that the first word or two make, whether or not there is such a command, and the words that follow."""
    name, *rest = arguments
    if rest and f"{name} {rest[0]}" in COMMANDS:
        return f"{name} {rest[0]}", rest[1:]
    return name, rest


def _check_config(words: list[str]) -> None:
    """Refuse a file of options that is no YAML, by its name: the parser would say where in the text, not in which."""
    import yaml

    from xlip.files import reading

    for word, after in zip(words, [*words, ""][1:], strict=True):
        name = after if word == "--config" else word.removeprefix("--config=") if "--config=" in word[:9] else ""
        if name and Path(name).is_file():
            with reading(name, "expected a YAML file of options"):
                found = yaml.safe_load(Path(name).read_text("utf-8"))
            if not isinstance(found, dict):
                raise XLIPError(f"{name}: expected a YAML file of options, such as 'steps: 100'; found no option in it")


def _check_numbers(config: Any, above: str = "") -> None:
    """Refuse numbers that an option of that name cannot be, in a config and in those within it."""
    for item in fields(config):
        value, name = getattr(config, item.name), f"{above}{item.name}"
        if is_dataclass(value) and not isinstance(value, type):
            _check_numbers(value, f"{name}.")
        elif item.name in LEAST and isinstance(value, int | float) and not value >= LEAST[item.name]:
            raise XLIPError(f"{name}: expected at least {LEAST[item.name]}, got {value}")
        elif item.name in MOST and isinstance(value, int) and value > MOST[item.name]:
            raise XLIPError(f"{name}: expected at most {MOST[item.name]}, got {value}")


def _with_true(arguments: list[str], config: Any) -> list[str]:
    """`--explain` alone means `--explain true`, for every option that is true or false (or a word, as `auto`)."""
    switches = {f"--{item.name}" for item in fields(config) if str(item.type).startswith(("<class 'bool'", "bool"))}
    following = [*arguments, ""][1:]
    pairs = zip(arguments, following, strict=True)
    return [
        f"{argument}=true" if argument in switches and after.lower() not in ("true", "false", "auto") else argument
        for argument, after in pairs
    ]


def _underscored(word: str) -> str:
    """`--write-exclusions=x` as `--write_exclusions=x`: both spellings of an option are understood."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value

"""From words to a command and its config."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from xlip.cli.command import Command
from xlip.cli.commands import COMMANDS
from xlip.cli.parsers import build_parser
from xlip.errors import XLIPError
from xlip.options import check_groups, read_options

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
    words = [_underscored(word) for word in rest]
    for file in _config_files(words)[0]:
        given = read_options(file)  # the parser would say where in the text a fault is, not in which
        try:
            check_groups(given, cls)
        except XLIPError as error:
            raise XLIPError(f"{file}: {error}") from error
    words = command.words(words) if command.words else words
    try:
        parsed = parser.parse_args(_with_true(words, cls))
        check_groups(parsed.as_dict(), cls)
        values = parser.instantiate(parsed).as_dict()
    except jsonargparse.ArgumentError as error:
        said = " ".join(str(error).split())
        for old, new in RENAMED.items():
            group, _, option = old.partition(".")
            if re.search(rf"\b{re.escape(old)}\b", said) or f"'{group}' does not accept option '{option}'" in said:
                said = f"{old} is now called {new}"
        where = _config_at_fault(words, lambda rest: parser.parse_args(_with_true(rest, cls)), str(error))
        raise XLIPError(f"{name}: {where}{said}; see `xlip {name} --help`") from error
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


def _config_files(words: list[str]) -> tuple[list[str], list[str]]:
    """The files of options that words name, and the words without them."""
    files, others, left = [], [], iter(words)
    for word in left:
        if word == "--config":
            files.append(next(left, ""))
        elif word.startswith("--config="):
            files.append(word.removeprefix("--config="))
        else:
            others.append(word)
    return [name for name in files if Path(name).is_file()], others


def _config_at_fault(words: list[str], read: Callable[[list[str]], Any], fault: str) -> str:
    """The file of options that a fault is in, with a colon; '' where the words themselves have it."""
    import jsonargparse

    files, others = _config_files(words)
    try:
        read(others)
    except jsonargparse.ArgumentError as error:
        if str(error) == fault:
            return ""
    return "".join(f"{file}: " for file in files)


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

"""The argument parser of a command, made from its config."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

from xlip.cli.command import Command
from xlip.cli.examples import EXAMPLES_TITLE, epilogue


@cache
def build_parser(name: str, command: Command) -> tuple[Any, Any]:
    """The parser of a command, and the class of its config; made once, for it reads the docstrings of all options."""
    import jsonargparse

    class AsWritten(jsonargparse.DefaultHelpFormatter):  # type: ignore[misc]
        """Examples stand in lines of their own."""

        def _fill_text(self, text: str, width: int, indent: str) -> str:
            if text.startswith(EXAMPLES_TITLE):
                return text
            return str(super()._fill_text(text, width, indent))

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=f"xlip {name}",
        description=f"`xlip {name}`: {command.help}",
        epilog=epilogue(name),
        formatter_class=AsWritten,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file of the options below")
    module, _, cls_name = command.config.rpartition(".")
    cls = getattr(import_module(f"xlip.{module}"), cls_name)
    skip = {*command.several, *((command.positional,) if command.positional else ())}
    for name_ in sorted(skip, key=lambda option: option != command.positional):
        flag = name_ if name_ == command.positional else f"--{name_}"
        count: dict[str, Any] = {"nargs": "+"} if name_ in command.several else {}
        default: dict[str, Any] = {} if name_ == command.positional else {"default": []}
        parser.add_argument(flag, type=str, help=_attribute_help(cls, name_), **count, **default)
    parser.add_class_arguments(cls, skip=skip, as_positional=False)
    return parser, cls


def _attribute_help(cls: type, name: str) -> str:
    """The docstring that stands under an attribute in the source of its class."""
    import inspect

    match = re.search(rf'(?m)^    {name}:.*\n    """([^"]+)"""', inspect.getsource(cls))
    return match.group(1) if match else name

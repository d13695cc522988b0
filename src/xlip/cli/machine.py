"""The commands about the machine and the shell: doctor, completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xlip.cli.as_json import record_table
from xlip.cli.command import Command
from xlip.cli.show import print_table
from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.cli.completion import CompletionConfig
    from xlip.doctor import DoctorConfig


def run_doctor(config: DoctorConfig, commands: Mapping[str, Command]) -> int:
    """Look at the machine; 1 where the named command lacks something."""
    from xlip.doctor import advice, facts, missing

    if config.command and config.command not in commands:
        raise XLIPError(f"doctor: expected a command, one of {', '.join(commands)}; got {config.command!r}")
    asked = {name: one.extra for name, one in commands.items() if config.command in ("", name)}
    print_table(("what", "found"), facts(measure=config.measure))
    rows = [(name, ", ".join(lacking) or "nothing", remedy) for name, lacking, remedy in missing(asked)]
    print_table(("command", "missing", "remedy"), rows)
    for line in advice():
        print(f"note: {line}")
    return 1 if config.command and any(lacking != "nothing" for _, lacking, _ in rows) else 0


def run_completion(config: CompletionConfig, commands: Mapping[str, Command]) -> None:
    """Print the script."""
    from xlip.cli.completion import script

    text = script(config.shell, commands)
    record_table(("shell", "script"), [(config.shell, text)])
    print(text)

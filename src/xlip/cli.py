"""The command line: a dictionary of commands. The only file that knows the argument parser and that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.config import DemoConfig, PrepareConfig, PretrainConfig, ZeroShotConfig


@dataclass(frozen=True)
class Command:
    """A command: its config's class by name (importing it pulls torch), its function, its help."""

    config: str
    run: Callable[[Any], None]
    help: str
    positional: str = ""


def run_demo(config: DemoConfig) -> None:
    """Train on the phantom and compare."""
    from xlip.demo import demo

    demo(config, say=print)


def run_pretrain(config: PretrainConfig) -> None:
    """Pre-train."""
    from xlip.train.loop import pretrain

    last = pretrain(config).curve[-1]
    print(
        f"{config.out}: loss {last['total']:.3f} after {config.steps} steps, {last['images_per_s']:.0f} images/s, "
        f"{last['share_of_matmul_rate']:.0%} of this machine's matrix rate\n"
        f"next: xlip zeroshot --model {config.out} --data PARQUET_OR_CSV --out DIR"
    )


def run_prepare(config: PrepareConfig) -> None:
    """Prepare a data set."""
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from xlip.data.prepare import prepare

    settings = {name: getattr(config, name) for name in ("short_side", "holdout", "seed", "workers", "options")}
    summary = prepare(config.source, Path(config.root), Path(config.out), **settings)
    splits = ", ".join(f"{count} {split}" for split, count in summary.splits.items())
    print(
        f"{config.out}: kept {summary.kept} studies ({summary.images} images, {summary.reports} reports, "
        f"{summary.pairs} pairs) of {summary.patients} patients; {splits}"
    )
    if summary.kinds:
        table = Table("kind", "present", "absent", "uncertain")
        for kind, states in sorted(summary.kinds.items()):
            table.add_row(kind, *(str(states[state]) for state in ("present", "absent", "uncertain")))
        Console().print(table)
    for reason, count in summary.dropped.most_common():
        print(f"dropped {count}: {reason}")
    if summary.dropped:
        print(f"every dropped row: {config.out}/quarantine.csv")


def run_zeroshot(config: ZeroShotConfig) -> None:
    """Classify zero-shot."""
    from dataclasses import asdict
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from xlip.evaluate.page import TABLE_HEADER, figure_text, table_rows
    from xlip.evaluate.zeroshot import evaluate_zero_shot, write_result

    options = {name: value for name, value in asdict(config).items() if name != "out"}
    result = evaluate_zero_shot(options.pop("model"), options.pop("data"), **options)
    write_result(result, Path(config.out))
    table = Table(*TABLE_HEADER)
    for row in table_rows(result):
        table.add_row(*row)
    Console().print(table)
    low, high = (figure_text(bound) for bound in result.macro_ci95)
    print(f"macro AUROC {figure_text(result.macro_auroc)} ({low} to {high})")
    if result.left_out:
        print(f"not in the macro mean (fewer than 10 positives or negatives): {', '.join(result.left_out)}")
    for row_, reason in result.dropped[:3]:
        print(f"dropped {row_}: {reason}")
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))
    print(f"look at {config.out}/index.html")


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "DemoConfig", run_demo, "train on the embedded phantom, compare with pairs only, draw what it sees"
    ),
    "prepare": Command("PrepareConfig", run_prepare, "turn a raw data set into Parquet", positional="source"),
    "pretrain": Command("PretrainConfig", run_pretrain, "train on pairs, lone images and lone reports"),
    "zeroshot": Command("ZeroShotConfig", run_zeroshot, "classify images by prompts and measure it"),
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `xlip`; returns the exit code: 0, 2 for a fault in the input, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        import xlip

        print(xlip.__version__)
        return 0
    # Before torch is imported: spinning OpenMP threads make a shared machine several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        command, config = _parse(arguments)
        command.run(config)
    except XLIPError as error:
        print(f"xlip: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("xlip: interrupted", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: list[str]) -> tuple[Command, Any]:
    name, *rest = arguments
    if name not in COMMANDS:
        raise XLIPError(f"unknown command {name!r}; expected one of {', '.join(COMMANDS)}")
    import jsonargparse

    command = COMMANDS[name]
    parser = jsonargparse.ArgumentParser(prog=f"xlip {name}", description=command.help, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file of the options below")
    cls = getattr(import_module("xlip.config"), command.config)
    if command.positional:
        parser.add_argument(command.positional, help="name of the data set's layout")
    skip = {command.positional} if command.positional else set()
    parser.add_class_arguments(cls, skip=skip, as_positional=False)
    try:
        parsed = parser.parse_args([_underscored(argument) for argument in rest])
        values = parser.instantiate(parsed).as_dict()
    except jsonargparse.ArgumentError as error:
        raise XLIPError(f"{name}: {' '.join(str(error).split())}; see `xlip {name} --help`") from error
    values.pop("config", None)
    return command, cls(**values)


def _underscored(argument: str) -> str:
    """`--image-column` as `--image_column`, how the options are declared; values stay as they are."""
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


def _overview() -> str:
    lines = [f"  {name:<10} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "xlip: medical vision-language pre-training. Research use only; not a medical device.",
            "",
            *lines,
            "",
            "`xlip COMMAND --help` lists the options; `xlip COMMAND --config FILE.yaml` reads them from a file.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

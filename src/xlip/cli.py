"""The command line: a dictionary of commands. The only file that knows the argument parser and that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.config import (
        AuditConfig,
        DemoConfig,
        InspectConfig,
        PrepareConfig,
        PretrainConfig,
        TagConfig,
        ZeroShotConfig,
    )
    from xlip.data.audit import AuditReport


@dataclass(frozen=True)
class Command:
    """A command: its config's class by name (importing it pulls torch), its function, its help."""

    config: str
    run: Callable[[Any], int | None]
    """Returns the exit code, None for 0."""
    help: str
    positional: str = ""
    several: tuple[str, ...] = ()
    """Options that take several values; one that is also `positional` needs no name."""


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
    from dataclasses import asdict

    from xlip.data.prepare import prepare

    settings = asdict(config)
    source, root, out = (settings.pop(name) for name in ("source", "root", "out"))
    with _progress_bar(f"prepare {source}") as progress:
        summary = prepare(source, root, out, progress=progress, **settings)
    if not summary.complete:
        print(f"{out}: {summary.parts_done} of {summary.parts} parts are done; the card comes with the last shard")
        return
    splits = ", ".join(f"{count} {split}" for split, count in summary.splits.items())
    print(
        f"{out}: kept {summary.kept} studies ({summary.images} images, {summary.reports} reports, "
        f"{summary.pairs} pairs) of {summary.patients} patients; {splits}"
    )
    if summary.split_name:
        print(f"split {summary.split_name}, checksum {summary.split_checksum}")
    _print_kinds(summary.kinds)
    for reason, count in summary.dropped.most_common():
        print(f"dropped {count}: {reason}")
    if summary.dropped:
        print(f"every dropped row: {out}/quarantine.csv")


def _print_kinds(kinds: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not kinds:
        return
    table = Table("kind", "present", "absent", "uncertain")
    for kind, states in sorted(kinds.items()):
        table.add_row(kind, *(str(states[state]) for state in ("present", "absent", "uncertain")))
    Console().print(table)


@contextmanager
def _progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and remaining time on stderr; nothing where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def run_audit(config: AuditConfig) -> int:
    """Look for test data in training data; 1 where there is any."""
    from xlip.data.audit import audit, write_exclusions, write_report

    report = audit(
        config.train,
        config.against,
        exclusions=config.exclusions,
        workers=config.workers,
        checks=config.checks,
    )
    _print_overlaps(report)
    _print_checks(report)
    if config.out:
        write_report(report, config.out)
    if config.write_exclusions:
        written = write_exclusions(report, config.write_exclusions)
        print(f"{config.write_exclusions}: {written} training studies to leave out")
    return 1 if report.leaking else 0


def _print_overlaps(report: AuditReport) -> None:
    from rich.console import Console
    from rich.table import Table

    for name, count in report.studies.items():
        print(f"{name}: {count} studies")
    if rows := report.table():
        table = Table("training > test", "shared", "training studies", "test studies")
        for pair, kind, train, test in rows:
            table.add_row(pair, "alike (no leak, look at them)" if kind == "alike" else kind, str(train), str(test))
        Console().print(table)
    if report.tests:
        leaking = len(report.leaking)
        found = f"leak: {leaking} training studies are in the test sets" if leaking else "no leak"
        print(found + (f"; {report.excluded} more are on the list of exclusions" if report.excluded else ""))
    if report.unreadable:
        print(f"{report.unreadable} images could not be decoded and were not compared")
    for name, count in report.tiny.items():
        print(
            f"warning: {name}: {count} images have a side below 96 pixels; as pictures they cannot be compared safely: "
            "a copy may be missed, a stranger taken for one"
        )


def _print_checks(report: AuditReport) -> None:
    for shortcut in report.shortcuts:
        counts = ", ".join(f"{name} {count}" for name, count in shortcut.present.items())
        print(f"shortcut: {shortcut.by} gives away {shortcut.share:.0%} of {shortcut.kind} (present: {counts})")
    for what, count in report.sections.items():
        print(f"reports {what}: {count}")
    for name, found in report.conflicts.items():
        for conflict in found:
            print(f"conflict in {name}: {conflict.what}: {conflict.count} studies, such as {conflict.examples[0]}")


def run_inspect(config: InspectConfig) -> None:
    """Show studies."""
    from pathlib import Path

    from rich.console import Console

    from xlip.data.inspect import chosen, page, plain_view, terminal_view

    studies = chosen(config.path, config.study, config.limit)
    console = Console()
    for study in studies if config.study or not config.out else ():
        if console.is_terminal:
            console.print(terminal_view(study, config.width))
        else:
            print(plain_view(study))
    if config.out:
        Path(config.out).parent.mkdir(parents=True, exist_ok=True)
        Path(config.out).write_text(page(config.path, studies), "utf-8")
        print(f"look at {config.out} ({len(studies)} studies)")


def run_tag(config: TagConfig) -> None:
    """Tag reports."""
    from xlip.data.tag_run import tag_to

    if config.explain:
        explain_tags(config)
        return
    options = {name: getattr(config, name) for name in ("tagger", "language", "column", "workers")}
    summary = tag_to(config.source, config.out, **options)
    print(f"tagged {summary.documents} reports, {summary.entities} entities", file=sys.stderr)
    for note, count in summary.notes.most_common():
        print(f"{count}: {note}", file=sys.stderr)


def explain_tags(config: TagConfig) -> None:
    """Print reports in colour, and under each the entities with the rules that fired."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from xlip.data.highlight import to_rich
    from xlip.data.tag_inputs import read_documents
    from xlip.data.tagger.registry import load_tagger
    from xlip.data.tagger.rules import RuleTagger

    tagger = load_tagger(config.tagger, config.language)
    if not isinstance(tagger, RuleTagger):
        raise XLIPError(f"explain: expected the tagger rules, which can say why; got {config.tagger}")
    console = Console()
    for document in read_documents(config.source, config.column):
        explained = tagger.explain(document.text)
        console.print(Text(document.id, style="bold"), to_rich(document.text, [item.entity for item in explained]))
        table = Table("words", "type", "assertion", "kind", "side", "rule", box=None)
        for item in explained:
            entity = item.entity
            cells = (item.words, entity.type, entity.assertion, entity.kind or "", entity.side, item.rule)
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)


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
    "audit": Command(
        "AuditConfig",
        run_audit,
        "look for test images in training sets, and for faults of the data",
        positional="train",
        several=("train", "against"),
    ),
    "inspect": Command("InspectConfig", run_inspect, "look at prepared studies", positional="path"),
    "pretrain": Command("PretrainConfig", run_pretrain, "train on pairs, lone images and lone reports"),
    "tag": Command(
        "TagConfig",
        run_tag,
        "find findings, places and devices in reports",
        positional="source",
    ),
    "zeroshot": Command("ZeroShotConfig", run_zeroshot, "classify images by prompts and measure it"),
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `xlip`; returns the exit code.

    0; 1 where `audit` finds a leak; 2 for a fault in the input; 130 when interrupted.
    """
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
        return command.run(config) or 0
    except XLIPError as error:
        print(f"xlip: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("xlip: interrupted", file=sys.stderr)
        return 130


def _parse(arguments: list[str]) -> tuple[Command, Any]:
    name, *rest = arguments
    if name not in COMMANDS:
        raise XLIPError(f"unknown command {name!r}; expected one of {', '.join(COMMANDS)}")
    import jsonargparse

    command = COMMANDS[name]
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(prog=f"xlip {name}", description=command.help, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file of the options below")
    cls = getattr(import_module("xlip.config"), command.config)
    skip = {*command.several, *((command.positional,) if command.positional else ())}
    for name_ in sorted(skip, key=lambda option: option != command.positional):
        flag = name_ if name_ == command.positional else f"--{name_}"
        count: dict[str, Any] = {"nargs": "+"} if name_ in command.several else {}
        default: dict[str, Any] = {} if name_ == command.positional else {"default": []}
        parser.add_argument(flag, type=str, help=_attribute_help(cls, name_), **count, **default)
    parser.add_class_arguments(cls, skip=skip, as_positional=False)
    try:
        parsed = parser.parse_args(_with_true([_underscored(word) for word in rest], cls))
        values = parser.instantiate(parsed).as_dict()
    except jsonargparse.ArgumentError as error:
        raise XLIPError(f"{name}: {' '.join(str(error).split())}; see `xlip {name} --help`") from error
    values.pop("config", None)
    return command, cls(**values)


def _with_true(arguments: list[str], config: Any) -> list[str]:
    """`--explain` alone means `--explain true`, for every option that is true or false."""
    switches = {f"--{item.name}" for item in fields(config) if item.type in (bool, "bool")}
    following = [*arguments, ""][1:]
    pairs = zip(arguments, following, strict=True)
    return [
        f"{argument}=true" if argument in switches and after.lower() not in ("true", "false") else argument
        for argument, after in pairs
    ]


def _underscored(word: str) -> str:
    """`--write-exclusions=x` as `--write_exclusions=x`: both spellings of an option are understood."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _attribute_help(cls: type, name: str) -> str:
    """The docstring that stands under an attribute in the source of its class."""
    import inspect
    import re

    match = re.search(rf'(?m)^    {name}:.*\n    """([^"]+)"""', inspect.getsource(cls))
    return match.group(1) if match else name


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

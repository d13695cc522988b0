"""The command line: a dictionary of commands. The only file that knows the argument parser and that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.config import (
        AuditConfig,
        CompareConfig,
        DemoConfig,
        EvaluateConfig,
        FinetuneConfig,
        InspectConfig,
        PredictConfig,
        PrepareConfig,
        PretrainConfig,
        ReportConfig,
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
    from xlip.evaluate.during_training import training_evaluation
    from xlip.train.loop import pretrain

    last = pretrain(config, training_evaluation(config.evaluate, config.prompts)).curve[-1]
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

    if config.query:
        _run_query(config)
        return
    options = {name: value for name, value in asdict(config).items() if name not in ("out", "query", "neutral")}
    options["cache"] = not options.pop("no_cache")
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
    _print_sensitivity(result.sensitivity)
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))
    print(f"look at {config.out}/index.html")


def run_report(config: ReportConfig) -> None:
    """Write the report of an evaluation."""
    from xlip.report.write import report

    page, *others = report(config)
    print(f"look at {page}; beside it {', '.join(file.name for file in others)}")


def _print_sensitivity(found: Mapping[str, Any]) -> None:
    """AUROC of each kind under each prompt set, and its spread."""
    from rich.console import Console
    from rich.table import Table

    from xlip.evaluate.page import figure_text

    if not found:
        return
    sets = found["sets"]
    table = Table("AUROC", *sets, "spread")
    for kind, spread in found["spread"].items():
        areas = (one["per_kind"][kind] for one in sets.values())
        table.add_row(kind, *(figure_text(_number(value)) for value in (*areas, spread)))
    means = (one["macro_auroc"] for one in sets.values())
    table.add_row("macro", *(figure_text(_number(value)) for value in (*means, found["macro_spread"])))
    Console().print(table)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _run_query(config: ZeroShotConfig) -> None:
    """Score every image against free text."""
    from pathlib import Path

    from xlip.data.kinds import canonical
    from xlip.evaluate.adapter import load_model
    from xlip.evaluate.cases import open_cases
    from xlip.evaluate.folder import write_folder
    from xlip.evaluate.page import figure_text
    from xlip.evaluate.query import Query

    against = tuple(canonical(name.strip()) for name in config.kinds.split(",") if name.strip())
    columns = {name: getattr(config, name) for name in ("image_column", "patient_column", "kinds", "split")}
    cases = open_cases(config.data, require="labels" if against else "image", **columns)
    options = {name: getattr(config, name) for name in ("neutral", "batch_size", "replicates", "seed")}
    query = Query(config.query, against=against, cache=not config.no_cache, **options)
    result, ranking = query.ranked(load_model(config.model), cases)
    write_folder(result, Path(config.out), {"ranking.csv": ranking})
    for rank, study, score, _ in ranking[1:6]:
        print(f"{rank}. {study} {float(str(score)):.3f}")
    for kind in against:
        print(f"AUROC against {kind} {figure_text(_number(result.metrics['per_kind'][kind]['auroc']))}")
    print(f"query {config.query!r} against {config.neutral!r}; {len(ranking) - 1} images")
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))
    print(f"all of them: {config.out}/ranking.csv; scores in {config.out}/scores.csv")


def run_evaluate(config: EvaluateConfig) -> int:
    """Run a suite; 1 where an entry has a fault."""
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from xlip.evaluate.suite import run_suite, summary_rows
    from xlip.evaluate.suite_file import load_suite
    from xlip.report.write import add_reports

    if not config.model:
        raise XLIPError("evaluate: name at least one model with --model")
    places = dict(item.partition("=")[::2] for item in config.data)
    if not all(places.values()):
        raise XLIPError(f"--data: expected NAME=PATH, got {' '.join(config.data)!r}")
    options = {"cache": not config.no_cache, "replicates": config.replicates}
    suite, out = load_suite(config.suite), Path(config.out)
    outcomes = run_suite(config.model, suite, out, root=config.root, places=places, options=options, say=print)
    for line in add_reports(outcomes):
        print(line, file=sys.stderr)
    header, *rows = summary_rows(outcomes)
    table = Table(*header[:-1])
    for row in rows:
        table.add_row(*row[:-1])
    Console().print(table)
    faults = sum(len(one.problems) for one in outcomes)
    print(f"{out}/summary.md, report.html in each folder" + (f"; {faults} faults, see above" if faults else ""))
    return 1 if faults else 0


def run_compare(config: CompareConfig) -> None:
    """Compare two evaluations."""
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from xlip.evaluate.compare import HEADER, compare, notes, table_rows, write_comparison

    if len(config.folders) != 2:
        raise XLIPError(f"compare: expected two folders, A and B; got {len(config.folders)}")
    comparison = compare(*config.folders, replicates=config.replicates, seed=config.seed)
    for name, side in (("A", comparison.a), ("B", comparison.b)):
        print(f"{name}: {side.folder} ({', '.join(f'{key} {value}' for key, value in side.identity.items())})")
    table = Table(*HEADER)
    *kinds, macro = table_rows(comparison)
    for row in kinds:
        table.add_row(*row)
    table.add_section()
    table.add_row(*macro)
    Console().print(table)
    for note in notes(comparison):
        print(note)
    if config.out:
        print(f"written to {write_comparison(comparison, Path(config.out))}")


def run_finetune(config: FinetuneConfig) -> None:
    """Fine-tune a classifier."""
    from rich.console import Console
    from rich.table import Table

    from xlip.evaluate.finetuning import finetune_to, markdown_rows

    result = finetune_to(config, say=print)
    header, *rows = markdown_rows(result.metrics["table"])
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if result.metrics["left_out"]:
        print(f"not in the macro mean (fewer than 10 positives or negatives): {', '.join(result.metrics['left_out'])}")
    for row_, reason in result.dropped[:3]:
        print(f"dropped {row_}: {reason}")
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))
    print(f"next: xlip predict --model {config.out} --data CSV_OR_PARQUET_OR_FOLDER --out scores.csv")


def run_predict(config: PredictConfig) -> None:
    """Predict."""
    from dataclasses import asdict

    from xlip.finetune.predict import predict_to

    predicted = predict_to(**asdict(config))
    print(f"{config.out}: {predicted.images} images; research use only, not a medical device")
    for row, reason in predicted.dropped[:3]:
        print(f"dropped {row}: {reason}")


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
    "report": Command(
        "ReportConfig", run_report, "make page, table and model card of an evaluation", positional="evaluation"
    ),
    "evaluate": Command(
        "EvaluateConfig",
        run_evaluate,
        "run a suite of evaluators on models and baselines",
        several=("model", "data"),
    ),
    "compare": Command(
        "CompareConfig",
        run_compare,
        "test whether one evaluation is better than another on the same studies",
        positional="folders",
        several=("folders",),
    ),
    "finetune": Command("FinetuneConfig", run_finetune, "train a classifier on shares of the labels and measure it"),
    "predict": Command("PredictConfig", run_predict, "score images with a fine-tuned classifier"),
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `xlip`; returns the exit code.

    0; 1 where `audit` finds a leak or a suite has a faulty entry; 2 for a fault in the input; 130 when interrupted.
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
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # also of weights read from a local folder
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

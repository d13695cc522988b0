"""The commands of data: prepare, audit, inspect, tag."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xlip.cli.as_json import record_table
from xlip.cli.progress import has_bar
from xlip.cli.show import plain_table, print_table
from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.audit.run import AuditConfig, AuditReport
    from xlip.preparation.inspect import InspectConfig
    from xlip.preparation.run import PrepareConfig
    from xlip.reports.tag_run import TagConfig
    from xlip.study.record import Study

RULES_HEADER = ("words", "type", "assertion", "kind", "side", "rule")


def run_prepare(config: PrepareConfig) -> None:
    """Prepare a data set."""
    from xlip.files import open_path
    from xlip.preparation.run import prepare_set

    out = config.out
    with progress_bar(f"prepare {config.source}") as progress:
        summary = prepare_set(config, progress)
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
    if summary.without_sections:
        print(summary.without_sections)
    _print_kinds(summary.kinds)
    _print_private(config)
    for reason, count in summary.dropped.most_common():
        print(f"dropped {count}: {reason}")
    if summary.dropped:
        print(f"every dropped row: {out}/quarantine.csv")
    for reason, count in summary.noticed.most_common():
        print(f"warning {count}: {reason}")
    if summary.noticed:
        print(f"every warning: {out}/warnings.csv")
    if (conflicts := open_path(out) / "conflicts.csv").exists():
        print(f"images and reports that do not fit together: {conflicts}")


def source_options(words: list[str]) -> list[str]:
    """`--reports x` as `--options.reports x`: the options of the named source need no prefix."""
    from dataclasses import fields
    from inspect import signature

    from xlip.preparation.run import PrepareConfig
    from xlip.sources import SOURCES, load_source

    source = next((word for word in words if word in SOURCES), "")
    if not source:
        return words
    names = {*signature(load_source(source)).parameters, "key"} - {item.name for item in fields(PrepareConfig)}
    own = {f"--{name}" for name in names if name not in ("root", "private")}
    return [f"--options.{word[2:]}" if word.partition("=")[0] in own else word for word in words]


def _print_private(config: PrepareConfig) -> None:
    """Where the key of the ids is, and what must not leave the hospital."""
    from xlip.preparation.run import private_files

    private = private_files(config)
    if private is None or private.key is None or not private.key.exists():
        return
    print(f"ids are hashed with the key {private.key}: keep it secret, and give it with --key for later pulls")
    if private.lookup and private.lookup.exists():
        print(f"which hash is which file and patient: {private.lookup}; it must not leave the hospital")


def _print_kinds(kinds: dict[str, Any]) -> None:
    from xlip.study.labels import STATED

    rows = [[kind, *(str(counts[state]) for state in STATED)] for kind, counts in sorted(kinds.items())]
    if rows:
        print_table(("kind", *STATED), rows)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and remaining time on stderr; nothing where stderr is not a terminal."""
    if not has_bar():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def run_audit(config: AuditConfig) -> int:
    """Look for test data in training data; 1 where there is any."""
    from pathlib import Path

    from xlip.audit.run import audit, write_audit, write_exclusions
    from xlip.files import check_target, refuse_input

    for out in (config.out, config.write_exclusions):
        refuse_input(out, config.exclusions, *config.train, *config.against)
        if out:
            check_target(Path(out))
    report = audit(config)
    _print_overlaps(report)
    _print_checks(report)
    if config.out:
        write_audit(report, config.out)
    if config.write_exclusions:
        written = write_exclusions(report, config.write_exclusions)
        print(f"{config.write_exclusions}: {written} training studies to leave out")
    return 1 if report.leaking else 0


def _print_overlaps(report: AuditReport) -> None:
    for name, count in report.studies.items():
        print(f"{name}: {count} studies")
    if rows := report.table():
        said = {"alike": "alike (no leak, look at them)"}
        shown = [(pair, said.get(kind, kind), str(train), str(test)) for pair, kind, train, test in rows]
        print_table(("training > test", "shared", "training studies", "test studies"), shown)
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

    from xlip.files import refuse_input, write_whole
    from xlip.preparation.inspect import chosen, page, plain_view, terminal_view

    refuse_input(config.out, config.path)
    studies = chosen(config.path, config.study, config.limit)
    console = Console()
    columns = ("study", "patient", "split", "view", "labels", "report")
    shown = studies if config.study or not config.out else []
    for study in [] if record_table(columns, map(_study_row, shown)) else shown:
        if console.is_terminal:
            console.print(terminal_view(study, config.width))
        else:
            print(plain_view(study))
    if config.out:
        Path(config.out).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(config.out), page(config.path, studies).encode())
        print(f"look at {config.out} ({len(studies)} studies)")


def _study_row(study: Study) -> tuple[str, ...]:
    labels = ", ".join(f"{kind} {state}" for kind, state in sorted(study.labels.items()))
    return (study.study_id, study.patient_id, study.split, study.view, labels, study.report or "")


def run_tag(config: TagConfig) -> None:
    """Tag reports."""
    from xlip.reports.tag_run import tag_to

    if config.explain:
        explain_tags(config)
        return
    summary = tag_to(config)
    print(f"tagged {summary.documents} reports, {summary.entities} entities", file=sys.stderr)
    for note, count in summary.notes.most_common():
        print(f"{count}: {note}", file=sys.stderr)


def explain_tags(config: TagConfig) -> None:
    """Print reports in colour, and under each the entities with the rules that fired."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from xlip.reports.highlight import to_rich
    from xlip.reports.tag_inputs import read_documents
    from xlip.reports.tagger.by_language import LanguageTagger
    from xlip.reports.tagger.registry import load_tagger
    from xlip.reports.tagger.rules import RuleTagger

    tagger = load_tagger(config.tagger, config.language)
    if not isinstance(tagger, RuleTagger | LanguageTagger):
        raise XLIPError(f"explain: expected the tagger rules, which can say why; got {config.tagger}")
    console = Console()
    for document in read_documents(config.source, config.column):
        explained = tagger.explain(document.text)
        shown, rows = to_rich(document.text, [item.entity for item in explained]), []
        for item in explained:
            entity = item.entity
            rows.append((item.words, entity.type, entity.assertion, entity.kind or "", entity.side, item.rule))
        recorded = record_table(("document", *RULES_HEADER), [(document.id, *row) for row in rows])
        if not console.is_terminal:
            print("\n".join([document.id, shown.plain, *([] if recorded else plain_table(RULES_HEADER, rows))]))
            continue
        table = Table(*RULES_HEADER, box=None)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(Text(document.id, style="bold"), shown, table)

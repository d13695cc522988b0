"""What several commands print: tables, and what was left out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xlip.cli.as_json import record_table
from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.results.figures import Figures
    from xlip.results.result import Result

DROPPED_SHOWN = 3


@contextmanager
def report_or_warning(out: str) -> Iterator[None]:
    """Within the block a page is made of figures that are written already: what hinders it is a warning."""
    try:
        yield
    except XLIPError as error:
        print(f"xlip: warning: no report beside the figures in {out}: {error}", file=sys.stderr)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], last: Sequence[str] = ()) -> None:
    """A table with lines on a terminal, plain columns elsewhere; `last` stands under a line of its own."""
    found = [*rows, *([last] if last else [])]
    if record_table(header, found):
        return
    if not sys.stdout.isatty():
        print("\n".join(plain_table(header, found)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header)
    for row in found:
        if last and row is found[-1]:
            table.add_section()
        table.add_row(*map(Text, row))  # as text: what stands in brackets is no markup
    Console().print(table)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns two spaces apart, nothing cut and nothing drawn: for files, pipes and `grep`."""
    blank = [""] * len(header)
    table = [list(header), *([*row, *blank][: len(header)] for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def print_dropped(dropped: Sequence[tuple[str, str]]) -> None:
    """The first rows that could not be used, and why."""
    for row, reason in dropped[:DROPPED_SHOWN]:
        print(f"dropped {row}: {reason}")


def print_left_out(kinds: Sequence[str]) -> None:
    """The kinds that a macro mean does without."""
    from xlip.metrics.kinds import left_out_note

    if kinds:
        print(left_out_note(kinds))


def print_sanity(figures: Figures, where: str = "") -> None:
    """Whether the checks that an evaluation runs on itself hold; `where` stands before each line."""
    for name, check in getattr(figures, "sanity", None) or ():
        if check is not None:
            said = ", ".join(f"{key} {value}" for key, value in check.to_json().items() if key != "holds")
            print(f"{where}sanity check {name}: {'holds' if check.holds else 'FAILS'} ({said})")


def print_lines(result: Result) -> None:
    """Every figure as one line that can be pasted into a paper."""
    from xlip.results.lines import paper_lines

    for line in paper_lines(result):
        print(line)


def print_negation(figures: Figures) -> None:
    """What the positive prompts, the negative ones and 'no X' are worth alone, of every prompt set."""
    from xlip.pages.negation import HEADER, set_rows, verdict

    found = getattr(figures, "negation", None)
    if found:
        print_table(("macro AUROC", *HEADER), set_rows(found))
        print(verdict(next(iter(found.values()))))

"""Delimited text (CSV and its relatives), read strictly; what does not fit is repaired or named by its line.

The `csv` module reads; this file chooses the delimiter, counts cells, and looks closer where a record spans several
lines or breaks the rules of quoting: a quotation mark that is never closed would otherwise take in the rows up to the
next one without a word.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from xlip.tables.row import INVISIBLE, Fault, Row

_Record = tuple[int, list[str] | None, str]
"""First line, cells or None where the row is lost, what was wrong or ''."""
DELIMITERS = ",;\t|"
_SAMPLE_LINES = 200
_MOST_LINES = 200
"""Lines of one record that a repair looks at."""
_LARGEST_CELL = 1 << 22
"""Characters; a cell that is larger has lost its closing quotation mark."""
_QUOTES = "a stray quotation mark"


def read_delimited(stream: Iterator[str], required: tuple[str, ...] = ()) -> Iterator[list[str] | Row | Fault]:
    """The header, as a list, and then the rows.

    Args:
        stream: lines with their ends.
        required: columns that help to choose the delimiter.
    """
    csv.field_size_limit(_LARGEST_CELL)
    lines = _Lines(stream)
    sample = list(islice(lines, _SAMPLE_LINES))
    delimiter, skipped = _delimiter(sample, required)
    lines.give_back(sample[skipped:])
    form = _Form(delimiter)
    for number, cells, fault in _records(lines, form):
        if cells is None:
            yield Fault(number, fault, lost=True)
        elif form.most:
            if fault:
                yield Fault(number, fault, lost=False)
            row = dict(zip(form.names, cells, strict=False))
            if form.nameless:
                row.pop("", None)
            yield Row(number, row)
        else:
            form.names = unique_names(cells)
            form.nameless = "" in form.names
            form.most = len(form.names)
            form.least = 1 + max((place for place, name in enumerate(form.names) if name), default=-1)
            yield [name for name in form.names if name]


@dataclass
class _Form:
    """The delimiter, and what the header says of the rows."""

    delimiter: str
    names: list[str] = field(default_factory=list)
    nameless: bool = False
    least: int = 0
    """Cells up to the last column that has a name."""
    most: int = 0
    """Cells of the header; 0 before it was read."""

    def fitted(self, cells: list[str]) -> list[str] | None:
        """The cells, without empty ones behind the header's; None where they do not fit."""
        if not self.most or self.least <= len(cells) <= self.most:
            return cells
        if len(cells) > self.most and not any(cell.strip() for cell in cells[self.most :]):
            return cells[: self.most]
        return None


def unique_names(cells: list[str]) -> list[str]:
    """Names of columns, without what nobody sees; one that comes again gets `.1`, `.2` ... behind it, as in pandas."""
    names: list[str] = []
    for cell in cells:
        name, number = (cell if cell.isascii() else cell.translate(INVISIBLE)).strip(), 0
        while name and (f"{name}.{number}" if number else name) in names:
            number += 1
        names.append(f"{name}.{number}" if number else name)
    return names


class _Lines:
    """Lines that can be given back, with those of the record that is being read."""

    def __init__(self, stream: Iterator[str]) -> None:
        self.stream, self.number = stream, 0
        self.ahead: list[str] = []
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.ahead.pop() if self.ahead else next(self.stream)
        self.number += 1
        self.taken.append(line)
        return line

    def give_back(self, lines: list[str]) -> None:
        """Read these again, and forget what was taken."""
        self.ahead += reversed(lines)
        self.number -= len(lines)
        self.taken.clear()


def _records(lines: _Lines, form: _Form) -> Iterator[_Record]:
    lines.taken.clear()
    while True:
        try:
            for cells in csv.reader(lines, delimiter=form.delimiter, strict=True, skipinitialspace=True):
                if len(lines.taken) == 1 and len(cells) == form.most and any(cells):
                    lines.taken.clear()
                    yield lines.number, cells, ""
                    continue
                made, again = _checked(cells, lines, form)
                yield from made
                if again:
                    break
            else:
                return
        except csv.Error:
            yield from _recovered(lines, form)


def _checked(cells: list[str], lines: _Lines, form: _Form) -> tuple[list[_Record], bool]:
    """What to make of a record of another width or of several lines, and whether lines were given back."""
    taken = lines.taken
    first = lines.number - len(taken) + 1
    if not any(cell.strip() for cell in cells):
        taken.clear()
        return [], False
    fitted = form.fitted(cells)
    if len(taken) > 1 and form.most and (fitted is None or _swallowed(taken, fitted, form.delimiter)):
        return _recovered(lines, form), True
    taken.clear()
    return [(first, fitted, "" if fitted is not None else _ragged(len(cells), form))], False


def _ragged(found: int, form: _Form) -> str:
    shown = {"\t": "tab"}.get(form.delimiter, form.delimiter)
    return (
        f"expected {form.most} cells as in the header, got {found}; put texts that hold a {shown} or a line break in "
        "quotation marks, or export the table again"
    )


def _recovered(lines: _Lines, form: _Form) -> list[_Record]:
    """The first row of the lines that were taken, read without trust in its quotation marks; the others come again."""
    first = lines.number - len(lines.taken) + 1
    cells, used = _repaired(lines, form)
    taken = list(lines.taken)
    lines.give_back(taken[used:])
    if cells is None:
        found = len(_loose(taken[0], form.delimiter))
        reason = f"{_QUOTES}: expected {form.most} cells, got {found}; close or double the quotation marks of this row"
        return [(first, None, reason)]
    if not any(cell.strip() for cell in cells):
        return []
    return [(first, cells, f"{_QUOTES} was taken as text; close or double it to be sure")]


def _repaired(lines: _Lines, form: _Form) -> tuple[list[str] | None, int]:
    """Cells of the first row, and how many lines it takes.

    One line, unless it fits only with an open quotation mark and the next line is no row: then as many as close it.
    """
    taken = lines.taken
    alone = form.fitted(_loose(taken[0], form.delimiter))
    if alone is not None and (
        taken[0].count('"') % 2 == 0 or not _line(lines, 1) or form.fitted(_loose(taken[1], form.delimiter))
    ):
        return [_without_stray(cell) for cell in alone], 1
    for count in range(2, _MOST_LINES):
        if '"' in _line(lines, count - 1):
            cells = form.fitted(_loose("".join(taken[:count]), form.delimiter))
            last = taken[count - 1]
            whole = last.count('"') % 2 == 0 and form.fitted(_loose(last, form.delimiter))  # a row by itself
            if cells and not whole and not _swallowed(taken[:count], cells, form.delimiter):
                return [_without_stray(cell) for cell in cells], count
    return ([_without_stray(cell) for cell in alone], 1) if alone is not None else (None, 1)


def _line(lines: _Lines, number: int) -> str:
    """The line of that number among those taken, or the next one; '' behind the end of the file."""
    while len(lines.taken) <= number:
        if next(lines, None) is None:
            return ""
    return lines.taken[number]


def _without_stray(cell: str) -> str:
    """A cell without the quotation mark that opened or ended it alone."""
    text = cell.strip()
    if text.count('"') % 2 == 0:
        return text
    return text[1:] if text.startswith('"') else text.removesuffix('"')


@cache
def _pattern(delimiter: str) -> re.Pattern[str]:
    """A cell: in quotation marks that end before a delimiter, or without line breaks; then the delimiter or the end."""
    end = rf"(?:{re.escape(delimiter)}|\r?\n?\Z)"
    space = "[ ]*"
    return re.compile(rf'{space}"((?:[^"]|"(?!{space}{end}))*)"{space}{end}|([^{re.escape(delimiter)}\r\n]*){end}')


def _loose(text: str, delimiter: str) -> list[str]:
    """Cells of a text where a quotation mark counts only at the edges of a cell; [] where no reading fits."""
    cells, place, pattern = [], 0, _pattern(delimiter)
    while True:
        match = pattern.match(text, place)
        if match is None:
            return []
        quoted, plain = match.groups()
        cells.append(plain.strip() if quoted is None else quoted.replace('""', '"'))
        place = match.end()
        if not text[match.start() : place].endswith(delimiter):
            return cells


def _swallowed(taken: list[str], cells: list[str], delimiter: str) -> bool:
    """Whether the lines inside a cell look like rows of the table: as many cells, and alike in the other columns."""
    holder = next((number for number, cell in enumerate(cells) if "\n" in cell or "\r" in cell), None)
    if holder is None or len(cells) < 2:
        return False
    inner = [_loose(line, delimiter) for line in taken[1:] if line.strip()]
    rows = [parts for parts in inner if len(parts) == len(cells)]
    # Of two columns a sentence with one comma has as many cells: there every line must look like a row.
    if 2 * len(rows) < len(inner) or (len(cells) == 2 and len(rows) < len(inner)):
        return False
    pairs = []
    for parts in rows:
        others = [
            number for number in range(len(cells)) if number < holder or (number > holder and parts is not inner[-1])
        ]
        pairs += [(cells[number], parts[number]) for number in others if cells[number] and parts[number]]
    # A mark in the first column leaves no column of the inner lines to compare: the first line without it is one.
    alone = _loose(taken[0].replace('"', "", 1), delimiter)
    if not pairs and len(alone) == len(cells):
        pairs = [(a, b) for a, b in zip(alone[holder + 1 :], cells[holder + 1 :], strict=True) if a and b]
    return bool(pairs) and 2 * sum(_shape(a) == _shape(b) for a, b in pairs) >= len(pairs)


def _shape(cell: str) -> tuple[str, bool]:
    """A cell without its letters and digits: 'img/a1.png' and 'img/b22.png' are alike, a sentence is not."""
    text = cell.strip().strip('"')
    return re.sub(r"[^\W_]+", "x", text), any(letter.isdigit() for letter in text)


def _delimiter(sample: list[str], required: tuple[str, ...]) -> tuple[str, int]:
    """The delimiter by which the header has the required columns and most rows its width, and the lines to skip."""
    first = next((number for number, line in enumerate(sample) if line.strip(' ,;\t|\r\n"')), 0)
    told = re.fullmatch(r'"?sep=(.)"?\s*', sample[first]) if sample else None
    if told:  # a note of Excel's to itself
        return told.group(1), first + 1
    lines = sample[first:]
    best = max(DELIMITERS, key=lambda delimiter: _fit(lines, delimiter, required))
    return best, first


def _fit(lines: list[str], delimiter: str, required: tuple[str, ...]) -> tuple[bool, bool, float, int]:
    records = [cells for cells in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if any(cells)]
    if not records:
        return False, False, 0.0, 0
    names = {cell.strip() for cell in records[0]}
    width = len(records[0])
    agreeing = sum(len(cells) == width for cells in records) / len(records)
    return bool(required) and names.issuperset(required), width > 1, agreeing, width

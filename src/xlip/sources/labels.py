"""Labels of a table: columns of kinds, columns that hold several kinds, and what their cells may say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xlip.errors import XLIPError
from xlip.sources.cells import MISSING, number, said, several
from xlip.sources.shown import shown
from xlip.study.kinds import NO_FINDING, canonical, is_kind, kinds
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN, LabelState, from_file, stronger

STATES: dict[str, LabelState | None] = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "present", "positive", "pos", "+", "x", "✓"), PRESENT),
    **dict.fromkeys(("sí", "si", "ja", "oui", "sim", "positiv", "positivo", "positif", "vorhanden"), PRESENT),
    **dict.fromkeys(("0", "false", "f", "no", "n", "absent", "negative", "neg"), ABSENT),
    **dict.fromkeys(("nein", "non", "não", "nao", "negativ", "negativo", "négatif", "negatif"), ABSENT),
    **dict.fromkeys(("-1", "uncertain", "possible", "equivocal", "?", "unclear", "indeterminate"), UNCERTAIN),
    **dict.fromkeys((*MISSING, "unknown", "not mentioned", "blank", "not assessed"), None),
}
"""What a label cell may say, in capitals or not, and however a number is written; None: unknown."""
_NAMES: dict[str, LabelState | None] = {"present": PRESENT, "absent": ABSENT, "uncertain": UNCERTAIN, "unknown": None}
_LISTS = frozenset(
    {"label", "labels", "finding", "findings", "findinglabels", "kind", "kinds", "diagnosis", "diagnoses"}
)
"""Names of columns that often hold several kinds, without case, space and underscore."""


@dataclass
class LabelColumns:
    """Which columns of a table say something of which kind."""

    single: dict[str, str]
    """Column -> kind."""
    several: str = ""
    """Column whose cells name kinds."""
    state: str = ""
    """Column that says what the row means by the kinds in `several`; without it they are present."""
    values: Mapping[str, LabelState | None] = field(default_factory=dict)
    """What the user says that a cell means."""

    @property
    def joined(self) -> dict[str, list[str]]:
        """Kind -> its columns, for kinds that have several."""
        found = defaultdict(list)
        for column, kind in self.single.items():
            found[kind].append(column)
        return {kind: columns for kind, columns in found.items() if len(columns) > 1}

    def labels(self, row: Mapping[str, str]) -> dict[str, LabelState]:
        """Label states of a row: of several columns of a kind the strongest (present, uncertain, absent).

        Raises:
            XLIPError: a cell says something that is not understood.
        """
        known: dict[str, LabelState] = {}
        for column, kind in self.single.items():
            cell = row.get(column, "")
            if cell:
                state = self.state_of(column, cell)
                if state is not None:
                    known[kind] = stronger(known.get(kind), state)
        if self.several:
            self._add_listed(known, row)
        return known

    def strangers(self, row: Mapping[str, str]) -> list[str]:
        """Parts of the cell of kinds that name none."""
        if not self.several:
            return []
        return [part for part in several(said(row.get(self.several))) if not is_kind(part)]

    def _add_listed(self, known: dict[str, LabelState], row: Mapping[str, str]) -> None:
        named = {canonical(part) for part in several(said(row.get(self.several))) if is_kind(part)}
        state = self.state_of(self.state, row.get(self.state, "")) if self.state else PRESENT
        if state is None or not named:
            return
        for kind in sorted(named):
            known[kind] = stronger(known.get(kind), state)
        if state == PRESENT and any(kind != NO_FINDING and not kinds()[kind].incidental for kind in named):
            known.setdefault(NO_FINDING, ABSENT)

    def understands(self, column: str, cell: str) -> bool:
        """Whether a cell says a state, or that it is unknown."""
        try:
            self.state_of(column, cell)
        except XLIPError:
            return False
        return True

    def state_of(self, column: str, cell: str) -> LabelState | None:
        """What a cell says; None: unknown.

        Raises:
            XLIPError: it is not understood.
        """
        word = cell.strip().lower()
        if word in self.values:
            return self.values[word]
        if word in STATES:
            return STATES[word]
        value = number(word)
        for told, state in self.values.items():  # 2.0 is the 2 that was told of
            if value is not None and number(told) == value:
                return state
        if value not in (1, 0, -1):
            raise XLIPError(
                f"column {column}: expected 1 (present), 0 (absent), -1 (uncertain) or empty, got "
                f"{shown(cell)}; say what it means by `values` ('0.7=present,maybe=uncertain'), or choose the "
                "columns by `kinds`"
            )
        return from_file(int(value))


def label_columns(names: Iterable[str], wanted: str, taken: Iterable[str] = ()) -> dict[str, str]:
    """Column -> kind, for the columns that are named (separated by commas), or for every column that names a kind.

    A column that stands there again, as `Mass.1`, is of the same kind.

    Args:
        names: the columns of the table.
        wanted: the ones to use; '' = all.
        taken: columns that say something else.

    A named column whose name is no kind that XLIP knows is a kind of one's own, under that name.

    Raises:
        XLIPError: a name that is neither a kind nor a column.
    """
    names = list(names)
    asked = [part.strip() for part in wanted.split(",") if part.strip()]
    named = {name: name if name in names and not is_kind(name) else canonical(name) for name in asked}
    found = {}
    for name in names:
        base = re.sub(r"\.\d+$", "", name)
        if name in named:
            found[name] = named[name]
        elif named:
            if base in named:
                found[name] = named[base]
        elif name not in taken and is_kind(base):
            found[name] = canonical(base)
    return found


def refuse_other_columns(columns: LabelColumns, rows: Iterable[Mapping[str, str]]) -> None:
    """Refuse a column as a kind of one's own that holds something else than labels in every row.

    Raises:
        XLIPError: such a column.
    """
    some = list(rows)
    for name, kind in columns.single.items():
        cells = [row[name] for row in some if row.get(name)]
        if not is_kind(kind) and cells and not any(columns.understands(name, cell) for cell in cells):
            raise XLIPError(
                f"unknown kind {kind!r}, and the column of that name holds no labels of a kind of your own: expected "
                f"1, 0, -1 or empty, got {said(cells[0])[:20]!r}; say what its cells mean by `values`"
            )


def unread_columns(columns: LabelColumns, rows: Iterable[Mapping[str, str]], taken: Iterable[str]) -> list[str]:
    """The columns that hold states, and are called after no kind: 'No Effusion', 'Erguss', 'Mass (reader 1)'.

    A column counts where some cells say a state, none says anything else, and either its name holds that of a kind or
    its cells say present and absent.
    """
    some, others = list(rows), frozenset(taken)
    found = []
    for name in dict.fromkeys(column for row in some for column in row):
        cells = {row.get(name, "").strip().lower() for row in some} - {""} if name and name not in others else set()
        if cells and all(columns.understands(name, cell) for cell in cells):
            states = {columns.state_of(name, cell) for cell in cells} - {None}
            if {PRESENT, ABSENT} <= states or (states and _holds_a_kind(name)):
                found.append(name)
    return found


def _holds_a_kind(name: str) -> bool:
    words = re.findall(r"[^\W_]+", name)
    spans = ((start, end) for start in range(len(words)) for end in range(start + 1, len(words) + 1))
    return any(is_kind(" ".join(words[start:end])) for start, end in spans)


def listing_column(rows: Iterable[Mapping[str, str]], taken: Iterable[str]) -> str:
    """The column that holds several kinds: called like one, and all parts of its cells are kinds; '' for none."""
    some = list(rows)
    for name in dict.fromkeys(column for row in some for column in row):
        if name not in taken and re.sub(r"[\s_\-]+", "", name).lower() in _LISTS:
            parts = [part for row in some for part in several(said(row.get(name)))]
            if parts and all(is_kind(part) for part in parts):
                return name
    return ""


def parse_values(text: str) -> dict[str, LabelState | None]:
    """`0.7=present,maybe=uncertain` as a mapping from lower-case cells to states.

    Raises:
        XLIPError: not of this form, or no such state.
    """
    made: dict[str, LabelState | None] = {}
    for part in text.split(","):
        if part.strip():
            cell, _, state = (piece.strip().lower() for piece in part.rpartition("="))
            if state not in _NAMES and state not in ("1", "0", "-1"):
                raise XLIPError(f"values: expected CELL=STATE with present, absent, uncertain or unknown; got {part!r}")
            made[cell] = _NAMES[state] if state in _NAMES else from_file(int(state))
    return made

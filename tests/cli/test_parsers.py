"""The parser of a command is made once: what one call says is not left in the next."""

from __future__ import annotations

from copy import deepcopy

import pytest

from xlip.cli.commands import COMMANDS
from xlip.cli.parse import parse, parser_of
from xlip.errors import XLIPError

CALLS = (
    ("prepare csv --root a --out b --options.image_column path --holdout 0.5", "prepare csv --root a --out b"),
    ("audit a b --against c --out d", "audit a"),
    ("tag a --explain", "tag a"),
    ("plan a --nodes 4", "plan a"),
)


@pytest.mark.parametrize(("full", "plain"), CALLS)
def test_a_call_leaves_nothing_to_the_next(full: str, plain: str) -> None:
    command, first = parse(full.split())
    alone = deepcopy(parse(plain.split())[1])
    for value in vars(parse(full.split())[1]).values():
        if isinstance(value, dict | list):
            value.clear()  # as a command may that works on what it is given
    assert parse(full.split()) == (command, first)
    assert parse(plain.split())[1] == alone
    assert alone != first
    assert parser_of(full.split()[0])[0] is parser_of(full.split()[0])[0]


def test_a_refused_call_leaves_nothing_either(tmp_path) -> None:
    (tmp_path / "options.yaml").write_text("holdout: 0.25\n")
    with pytest.raises(XLIPError, match="nonsense"):
        parse(f"prepare csv --root a --out b --config {tmp_path}/options.yaml --nonsense 1".split())
    assert parse(["prepare", "csv", "--root", "a", "--out", "b"])[1].holdout == 0


def test_every_command_has_a_parser_of_its_own() -> None:
    assert len({id(parser_of(name)[0]) for name in COMMANDS}) == len(COMMANDS)

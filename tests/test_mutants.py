"""The list of mutants follows the source; running them is `make mutants`."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import mutants  # noqa: E402

MUTANTS = mutants.read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_its_file_at_one_place_into_another_program(mutant: mutants.Mutant) -> None:
    """Where this fails, the line that a mutant changes was rewritten: rewrite the mutant too, and run it."""
    text = mutants.source(mutant).read_text("utf-8")
    assert ast.dump(ast.parse(mutant.applied(text))) != ast.dump(ast.parse(text))
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert not name or f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8")
        assert (ROOT / "tests" / file).is_file()


def test_there_are_enough_of_them_and_the_table_tells_of_each() -> None:
    assert len(MUTANTS) >= 60
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    results = mutants.read_results()
    assert set(results) == {mutant.name for mutant in MUTANTS}
    assert mutants.TABLE.read_text("utf-8") == mutants.table(MUTANTS, results)
    assert not [one.name for one in MUTANTS if bool(results[one.name]) == bool(one.survives)]


def test_a_text_that_is_gone_or_stands_twice_is_an_error() -> None:
    mutant = mutants.Mutant("x", "a.py", "b", "c", ())
    assert mutant.applied("a b") == "a c"
    for text in ("a", "b b"):
        with pytest.raises(ValueError, match=r"x: expected once in a\.py"):
            mutant.applied(text)

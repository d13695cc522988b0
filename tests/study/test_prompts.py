from __future__ import annotations

from pathlib import Path

import pytest

from xlip.errors import XLIPError
from xlip.study.kinds import kinds
from xlip.study.prompts import load_prompt_sets, load_prompts, prompt_sets


@pytest.mark.parametrize("name", prompt_sets())
def test_every_set_has_texts_for_and_against_every_kind(name: str) -> None:
    prompts = prompt_sets()[name]
    assert prompts.identifier == f"{name}@{prompts.version}"
    for kind in kinds():
        positive, negative = prompts.positive(kind), prompts.negative(kind)
        assert positive
        assert negative
        assert not set(positive) & set(negative)
        assert all(text == " ".join(text.split()) and "{" not in text for text in (*positive, *negative))


def test_all_are_the_shipped_sets_and_a_list_keeps_its_order(tmp_path: Path) -> None:
    assert [one.id for one in load_prompt_sets("all")] == list(prompt_sets())
    (tmp_path / "mine.yaml").write_text(OWN)
    assert [one.id for one in load_prompt_sets(f"bare, {tmp_path / 'mine.yaml'}")] == ["bare", "mine"]


OWN = """
synonyms: {Mass: [lump, growth]}
sets:
  mine:
    version: 3
    slots: {severity: ["", large], place: [on the left]}
    positive: ["{severity} {} {place}", "{}!"]
    negative: ["no {}"]
    kinds: {No_Finding: {positive: [well], negative: [ill]}}
"""


def test_slots_give_every_combination_and_no_double_space(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(OWN)
    mine = load_prompts(str(tmp_path / "mine.yaml"))
    lumps = ("lump on the left", "large lump on the left", "lump!")
    assert mine.positive("Mass") == (*lumps, *(text.replace("lump", "growth") for text in lumps))
    assert mine.negative("Mass") == ("no lump", "no growth")
    assert (mine.positive("No_Finding"), mine.negative("No_Finding")) == (("well",), ("ill",))


def test_a_set_of_pairs_alone_says_which_kind_it_lacks(tmp_path: Path) -> None:
    pair = "{positive: [a], negative: [b]}"
    (tmp_path / "few.yaml").write_text(f"sets: {{few: {{version: 1, kinds: {{No_Finding: {pair}, mass: {pair}}}}}}}")
    few = load_prompts(str(tmp_path / "few.yaml"))
    assert few.positive("Mass") == ("a",)
    with pytest.raises(XLIPError, match="prompt set few: no prompts for the kind Edema; add a pair under `kinds:"):
        few.positive("Edema")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["no {}"]', "[]", "expected a list of texts"),
        ('["no {}"]', '"no {}"', "expected a list of texts"),
        ('["no {}"]', '["no {side} {}"]', "side"),
        ("    version: 3\n", "", "version"),
        ("No_Finding", "Flu", "unknown kind 'Flu'"),
        ("kinds: {No_Finding: {positive: [well], negative: [ill]}}", "", "No_Finding needs a pair of its own"),
    ],
)
def test_a_faulty_set_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in OWN
    (tmp_path / "mine.yaml").write_text(OWN.replace(old, new))
    with pytest.raises(XLIPError) as caught:
        load_prompts(str(tmp_path / "mine.yaml"))
    assert message in str(caught.value)


@pytest.mark.parametrize(("spec", "message"), [("", "expected all"), ("xlip,xlip", "twice"), ("xlipp", "'xlipp'")])
def test_a_faulty_list_is_refused(spec: str, message: str) -> None:
    with pytest.raises(XLIPError, match=message):
        load_prompt_sets(spec)

"""Sentences that lone images borrow from reports: they state what is labelled, no more of its place than is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.batches.descriptions import Lender, describe
from xlip.batches.sentences import Sentence, SentenceBank, sentences
from xlip.phantom import PHANTOM_KINDS, generate
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.prompts import load_prompts
from xlip.study.record import Box, Entity, Study

PROMPTS = load_prompts("xlip")
LEFT, RIGHT = Box("Mass", 0.6, 0.1, 0.2, 0.2), Box("Mass", 0.2, 0.65, 0.2, 0.2)


def reported(text: str, *entities: tuple[str, str, str, str | None], name: str = "a") -> Study:
    """A report with entities given by their words."""
    spans = [(text.index(words), words, *rest) for words, *rest in entities]
    return Study(
        name, "", "", report=text, entities=tuple(Entity(at, at + len(w), t, a, k) for at, w, t, a, k in spans)
    )


@pytest.fixture(scope="module")
def bank() -> SentenceBank:
    phantoms = [generate(index, seed=3, size=64) for index in range(300)]
    return SentenceBank(Study(str(i), "", "", report=p.report, entities=p.entities) for i, p in enumerate(phantoms))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PHANTOM_KINDS), st.sampled_from(["left", "right", ""]), st.integers(0, 99))
def test_a_sentence_states_the_kind_alone_and_no_other_side(
    bank: SentenceBank, kind: str, side: str, seed: int
) -> None:
    sentence = bank.stated(kind, side, "", np.random.default_rng(seed))
    if sentence is None:
        return
    assert {(e.kind, e.assertion) for e in sentence.entities if e.kind} == {(kind, "present")}
    words = sentence.text.lower().replace("-", " ").split()
    assert {"left", "right"} & set(words) <= {side}
    assert not {"upper", "mid", "lower", "apex", "base", "hilum", "perihilar"} & {w.strip(".,") for w in words}
    for entity in sentence.entities:
        assert sentence.text[entity.start : entity.end].strip() == sentence.text[entity.start : entity.end] != ""


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("Left mass, no effusion.", [("mass", "finding", "present", "Mass"), ("effusion", "finding", "absent", "E")]),
        (
            "Mass and effusion.",
            [("Mass", "finding", "present", "Mass"), ("effusion", "finding", "present", "Effusion")],
        ),
        ("Possible mass.", [("mass", "finding", "uncertain", "Mass")]),
        ("Mass in the lingula.", [("Mass", "finding", "present", "Mass"), ("lingula", "location", "present", None)]),
        (
            "Left and right mass.",
            [
                ("Left", "location", "present", None),
                ("right", "location", "present", None),
                ("mass", "finding", "present", "Mass"),
            ],
        ),
        ("Mass " + "of a kind " * 20, [("Mass", "finding", "present", "Mass")]),
    ],
)
def test_what_says_more_or_is_not_understood_is_not_lent(text: str, entities: list[tuple[str, str, str, str]]) -> None:
    bank = SentenceBank([reported(text, *entities)])
    for side in ("", "left", "right"):
        assert bank.stated("Mass", side, "in the upper zone", np.random.default_rng(0)) is None


def test_a_place_is_said_where_the_boxes_agree() -> None:
    report = reported(
        "Left-sided mass near the apex.",
        ("Left-sided", "location", "present", None),
        ("mass", "finding", "present", "Mass"),
        ("apex", "location", "present", None),
    )
    bank = SentenceBank([report])
    lender = Lender(bank, 1.0)

    def told(*boxes: Box) -> str:
        study = Study("b", "", "", labels={"Mass": PRESENT}, boxes=boxes)
        made = describe(study, ["Mass"], PROMPTS, np.random.default_rng(0), lender)
        assert made is not None
        return made.text

    assert "Left-sided mass near the apex." in told(LEFT)
    assert "apex" not in told(RIGHT)
    assert "apex" not in told()


def test_denials_deny_what_is_known_to_be_absent() -> None:
    report = reported(
        "No effusion or mass. No fracture.",
        ("effusion", "finding", "absent", "Effusion"),
        ("mass", "finding", "absent", "Mass"),
        ("fracture", "finding", "absent", "Fracture"),
    )
    bank, rng = SentenceBank([report]), np.random.default_rng(0)
    found = {s.text for _ in range(40) if (s := bank.denied(frozenset({"Fracture", "Mass"}), rng))}
    assert found == {"No fracture."}
    assert bank.denied(frozenset({"Mass"}), rng) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 5))
def test_a_description_with_borrowed_sentences_states_what_is_labelled(
    bank: SentenceBank, index: int, seed: int
) -> None:
    labels = generate(index, seed=9, size=64).labels
    study = Study("a", "", "", labels=labels)
    made = describe(study, PHANTOM_KINDS, PROMPTS, np.random.default_rng(seed), Lender(bank, 1.0))
    assert made is not None
    stated = {e.kind for e in made.entities if e.assertion == "present" and e.kind in PHANTOM_KINDS}
    assert stated == {kind for kind in PHANTOM_KINDS if labels[kind] == PRESENT}
    assert all(labels[e.kind] == ABSENT for e in made.entities if e.assertion == "absent" and e.kind)


@given(st.lists(st.sampled_from(["A mass", " ", "\n", "  ", ". ", "effusion", "3.5 cm"]), max_size=12).map("".join))
def test_entities_keep_their_words_when_white_space_is_folded(text: str) -> None:
    spans = [(i, i + len(w)) for w in ("mass", "effusion") for i in range(len(text)) if text.startswith(w, i)]
    study = Study("a", "", "", report=text, entities=tuple(Entity(a, b, "finding", "present", "X") for a, b in spans))
    found: list[Sentence] = sentences(study)
    assert [s.text for s in found if "  " in s.text or s.text != s.text.strip()] == []
    assert sum(len(s.entities) for s in found) == len(spans)
    assert {s.text[e.start : e.end] for s in found for e in s.entities} <= {"mass", "effusion"}

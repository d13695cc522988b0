"""What a report asserts of its findings: hand-written sentences, rule by rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from xlip.reports.tagger.lexicon import BREAKS, CUES, load_lexicon
from xlip.reports.tagger.rules import rule_tagger
from xlip.study.record import ASSERTIONS, ENTITY_TYPES

SENTENCES = Path(__file__).with_name("assertion_sentences.txt")
MISREAD = {
    text: {"No_Finding": "present"}
    for text in (
        "Lungs clear of consolidation.",
        "No findings to suggest edema.",
        "No findings suggestive of edema.",
        "No abnormality other than cardiomegaly.",
        "No finding apart from a hiatal hernia.",
        "No significant findings: effusion is small.",
    )
}
"""Known faults: what is read beside what a person reads. A sentence that is read rightly has to leave this list."""
STRENGTH = ("hypothetical", "historical", "absent", "uncertain", "present")


def sentences() -> list[tuple[str, str, dict[str, str]]]:
    """(rule, text, kind -> assertion)."""
    rows, rule = [], ""
    for line in SENTENCES.read_text("utf-8").splitlines():
        if line.startswith("#"):
            rule = line.removeprefix("# ")
            continue
        text, _, wanted = line.rpartition(" | ")
        rows.append((rule, text, dict(item.split() for item in wanted.split(", "))))
    return rows


def asserted(text: str) -> dict[str, str]:
    """Kind -> the strongest assertion among its entities."""
    found: dict[str, str] = {}
    for entity in rule_tagger().tag(text):
        if entity.kind:
            found[entity.kind] = max(found.get(entity.kind, STRENGTH[0]), entity.assertion, key=STRENGTH.index)
    return found


def test_hand_written_sentences_are_read_as_a_person_reads_them() -> None:
    rows = sentences()
    assert len({text for _, text, _ in rows}) == len(rows) >= 300
    assert set(MISREAD) <= {text for _, text, _ in rows}
    expected = {text: wanted | MISREAD.get(text, {}) for _, text, wanted in rows}
    found = {text: asserted(text) for text in expected}
    assert {text: states for text, states in found.items() if states != expected[text]} == {}


def test_every_rule_has_sentences_and_every_assertion_occurs() -> None:
    rows = sentences()
    states = {state for _, _, wanted in rows for state in wanted.values()}
    assert states == set(ASSERTIONS)
    for rule in {rule for rule, _, _ in rows} - {"sections"}:
        assert sum(name == rule for name, _, _ in rows) >= 10, rule


def test_the_sentences_fire_every_group_of_cues() -> None:
    fired = {item.rule.partition(":")[0] for _, text, _ in sentences() for item in rule_tagger().explain(text)}
    used = {part.split("; ")[-1].replace(" ", "_") for part in fired}
    in_lexicon = {label.group for label in load_lexicon("en").cues.values()} - set(BREAKS)
    assert in_lexicon <= set(CUES)
    assert in_lexicon - used <= {"historical_after", "hypothetical_after"}


@pytest.mark.parametrize(
    ("text", "kind", "state"),
    [
        ("Pneumonia was previously present.", "Pneumonia", "historical"),
        ("Fracture is clinically suspected.", "Fracture", "hypothetical"),
    ],
)
def test_cues_after_a_finding_set_past_and_question(text: str, kind: str, state: str) -> None:
    assert asserted(text)[kind] == state


def test_entities_use_the_declared_types_and_assertions() -> None:
    for _, text, _ in sentences():
        for entity in rule_tagger().tag(text):
            assert entity.type in ENTITY_TYPES
            assert entity.assertion in ASSERTIONS


def test_explanations_name_the_cue() -> None:
    by_words = {item.words: item.rule for item in rule_tagger().explain("No effusion. Indication: edema.")}
    assert by_words == {"effusion": "absent before: no", "edema": "section: hypothetical"}

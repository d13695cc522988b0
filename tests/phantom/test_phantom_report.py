"""The phantom's words and the prompts' words mean to the tagger what they mean to the phantom."""

from __future__ import annotations

import pytest

from xlip.phantom import generate
from xlip.phantom.findings import PHANTOM_KINDS
from xlip.phantom.sentences import DENIED, DENIED_AFTER, NOUNS
from xlip.reports.entities import kinds_of, tag
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.prompts import prompt_sets

SYNONYMS = {kind: phrases for one in prompt_sets().values() for kind, phrases in one.synonyms.items()}
PHRASES = [(kind, noun) for words in (NOUNS, SYNONYMS) for kind, nouns in words.items() for noun in nouns]


def test_every_phantom_kind_has_nouns() -> None:
    assert set(NOUNS) == set(PHANTOM_KINDS)


@pytest.mark.parametrize(("kind", "phrase"), sorted(set(PHRASES)))
def test_a_noun_is_tagged_as_its_own_kind(kind: str, phrase: str) -> None:
    assert [entity.kind for entity in tag(phrase) if entity.kind] == [kind]
    assert kinds_of(phrase, tag(phrase)) == {kind: PRESENT, NO_FINDING: ABSENT}
    for template in (*DENIED, *DENIED_AFTER):
        text = template.format(phrase)
        assert kinds_of(text, tag(text)) == {kind: ABSENT}


def test_the_tagger_reads_phantom_reports_as_the_phantom_means_them() -> None:
    """Equal on the kinds that phantoms have; beyond them a report may only deny ('the aorta is not remarkable')."""
    own = {*PHANTOM_KINDS, NO_FINDING}
    for index in range(200):
        phantom = generate(index, seed=5, size=64)
        report = phantom.report
        meant, read = kinds_of(report, phantom.entities), kinds_of(report, tag(report))
        assert {kind: state for kind, state in read.items() if kind in own} == meant, report
        assert {state for kind, state in read.items() if kind not in own} <= {ABSENT}, report
        clear = {kind: state for kind, state in meant.items() if state in (PRESENT, ABSENT)}
        assert clear.items() <= phantom.labels.items(), report

"""Lexicon files: every language shipped is sound, and a malformed one is refused with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.reports.tagger.lexicon import BREAKS, CUES, languages, load_lexicon, parse_lexicon
from xlip.reports.tagger.rules import rule_tagger
from xlip.reports.words import expand, fold
from xlip.study.kinds import is_kind, kinds

PADCHEST_FREQUENT = [
    "normal",
    "COPD signs",
    "unchanged",
    "pleural effusion",
    "cardiomegaly",
    "aortic elongation",
    "infiltrates",
    "scoliosis",
    "chronic changes",
    "air trapping",
    "vertebral degenerative changes",
    "pneumonia",
    "costophrenic angle blunting",
    "nodule",
    "interstitial pattern",
    "atelectasis",
    "laminar atelectasis",
    "alveolar pattern",
    "fibrotic band",
    "kyphosis",
    "vascular hilar enlargement",
    "hilar enlargement",
    "callus rib fracture",
    "calcified granuloma",
    "hemidiaphragm elevation",
    "granuloma",
    "hiatal hernia",
    "pacemaker",
    "NSG tube",
    "sternotomy",
    "endotracheal tube",
    "pseudonodule",
    "emphysema",
    "apical pleural thickening",
    "aortic atheromatosis",
    "gynecomastia",
    "nipple shadow",
    "osteopenia",
    "vertebral compression",
    "bronchiectasis",
    "suture material",
    "central venous catheter",
    "pleural thickening",
    "consolidation",
    "volume loss",
    "heart insufficiency",
    "rib fracture",
    "goiter",
    "hypoexpansion",
    "mediastinal enlargement",
    "adenopathy",
    "pneumothorax",
]
NOT_KINDS = {"unchanged", "chronic changes", "pseudonodule"}


def test_english_names_every_kind_and_at_least_sixty() -> None:
    named = {label.kind for label in load_lexicon("en").phrases.values()} - {None}
    assert named == set(kinds())
    assert len([kind for kind in kinds().values() if kind.id != "No_Finding"]) >= 60


@pytest.mark.parametrize("kind", sorted(set(kinds()) - {"No_Finding"}))
def test_the_name_of_a_kind_is_found_as_that_kind(kind: str) -> None:
    text = f"There is {kinds()[kind].name}."
    assert kind in {entity.kind for entity in rule_tagger().tag(text)}


def test_frequent_padchest_labels_have_a_kind() -> None:
    missing = [name for name in PADCHEST_FREQUENT if not is_kind(name) and name not in NOT_KINDS]
    assert missing == []


@pytest.mark.parametrize("language", languages())
def test_a_shipped_lexicon_is_sound(language: str) -> None:
    lexicon = load_lexicon(language)
    groups = {label.group for label in lexicon.phrases.values()}
    assert {pair[0] for pair in lexicon.combine} <= groups
    assert {pair[1] for pair in lexicon.combine} <= groups
    assert set(lexicon.normal_at) <= groups
    assert {label.group for label in lexicon.cues.values()} <= {*CUES, *BREAKS}
    for phrase in (*lexicon.phrases, *lexicon.cues):
        assert all(lexicon.spelling.get(word, word) == word for word in phrase), phrase
    for word, standard in lexicon.spelling.items():
        assert lexicon.spelling.get(standard, standard) == standard, word


def test_choices_expand_also_inside_choices() -> None:
    assert set(expand("(small|tiny|) nodule")) == {"small nodule", "tiny nodule", "nodule"}
    assert set(expand("a (b|c (d|e))")) == {"a b", "a c d", "a c e"}


@given(st.text(st.sampled_from("abcxyzABCXYZ0123áéíóúñçÁÉÍÓÚÑÇ"), min_size=1))
def test_folding_ignores_case_and_is_idempotent(word: str) -> None:
    assert fold(word.upper()) == fold(word.lower()) == fold(fold(word))
    assert fold(word).isascii()


def test_accents_do_not_matter() -> None:
    assert fold("Neumotórax") == fold("neumotorax") == fold("NEUMOTO\u0301RAX")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"findings": {}}, "expected the keys"),
        ({"language": "xx", "fidnings": {}}, "unknown: \\['fidnings'\\]"),
        ({"language": "xx", "findings": {"Nope": ["nope"]}}, "'Nope' is no kind"),
        ({"language": "xx", "cues": {"absent": ["no"]}}, "expected the cues"),
        ({"language": "xx", "findings": {"Mass": ["mass"], "Nodule": ["mass"]}}, "'mass' is both"),
        ({"language": "xx", "findings": {"Mass": ["(mass"]}}, "never closed"),
        ({"language": "xx", "findings": {"Mass": [""]}}, "holds no word"),
        ({"language": "xx", "combine": [{"kind": "Mass", "of": ["a"], "at": ["b"]}]}, "unknown kind or groups"),
        ({"language": "xx", "normal_at": {"heart": "Nope"}}, "normal_at"),
        (
            {"language": "xx", "plurals": ["s"], "findings": {"Mass": ["lump"], "Nodule": ["lumps"]}},
            "in the plural is both",
        ),
    ],
)
def test_a_malformed_lexicon_is_refused(raw: dict[str, object], reason: str) -> None:
    with pytest.raises(XLIPError, match=reason):
        parse_lexicon(raw, "test.yaml")


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(XLIPError, match="expected one of en, es; got 'tlh'"):
        load_lexicon("tlh")


def test_misspellings_and_plurals_mean_the_same() -> None:
    for text in ("pnuemonia", "penumonia", "Pneumonias"):
        assert [entity.kind for entity in rule_tagger().tag(text)] == ["Pneumonia"]

"""Properties of the rule tagger on any text, links between entities, and bad input."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.reports.entities import TAGGER, kinds_of, tag, tag_all
from xlip.reports.tagger.lexicon import languages, load_lexicon
from xlip.reports.tagger.matching import LONGEST_SENTENCE
from xlip.reports.tagger.reading import READING, Reading
from xlip.reports.tagger.rules import rule_tagger
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.record import Entity

WORDS = [
    "no",
    "without",
    "small",
    "left",
    "right",
    "effusion",
    "effusions",
    "pneumothorax",
    "heart",
    "enlarged",
    "is",
    "are",
    "not",
    "seen",
    "and",
    "or",
    ",",
    ".",
    ";",
    ":",
    "but",
    "with",
    "normal",
    "lungs",
    "clear",
    "possible",
    "versus",
    "cannot",
    "be",
    "excluded",
    "aorta",
    "tortuous",
    "calcified",
    "Findings",
    "Impression",
    "Indication",
    "nodule",
    "mild",
    "acute",
    "evidence",
    "of",
    "history",
    "chest",
    "tube",
    "the",
    "résumé",
    "1.5",
    "cm\n",
]
SENTENCES = (
    "No pneumothorax or effusion.",
    "Small left pleural effusion with atelectasis.",
    "The heart is mildly enlarged.",
    "Possible pneumonia in the right lower lobe.",
    "The lungs are clear.",
    "Old rib fracture; no nodule.",
    "Aorta is tortuous and calcified.",
    "Edema cannot be excluded.",
    "Endotracheal tube in place.",
    "The costophrenic angles are sharp.",
)
ANY_TEXT = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))


def test_every_language_has_a_tagger() -> None:
    assert "en" in languages()
    assert "es" in languages()
    for language in languages():
        assert rule_tagger(language).tag("") == ()


@pytest.mark.parametrize("language", ["en", "es"])
@settings(max_examples=150, deadline=None)
@given(text=ANY_TEXT)
def test_offsets_lie_in_the_text_and_spans_do_not_overlap(language: str, text: str) -> None:
    entities = rule_tagger(language).tag(text)
    place = 0
    for entity in entities:
        assert place <= entity.start < entity.end <= len(text)
        words = text[entity.start : entity.end]
        assert words == words.strip()
        place = entity.end
        for number in (*entity.locations, *entity.severities):
            assert entities[number] is not entity
        assert {entities[number].type for number in entity.locations} <= {"anatomy", "location"}
        assert {entities[number].type for number in entity.severities} <= {"severity"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=5), st.data())
def test_case_and_white_space_do_not_change_kinds(parts: list[str], data: st.DataObject) -> None:
    text = " ".join(parts)
    gap = data.draw(st.sampled_from(["  ", "\t", " \n", "\u00a0", " \r\n  "]))
    changed = data.draw(st.sampled_from([str.upper, str.lower, str.title]))(text)
    stretched = gap.join(text.lower().split(" "))
    assert kinds_of(changed, tag(changed)) == kinds_of(text, tag(text))
    assert kinds_of(stretched, tag(stretched)) == kinds_of(text, tag(text))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4), st.lists(st.sampled_from(SENTENCES), max_size=4))
def test_tagging_two_sections_equals_tagging_each(first: list[str], second: list[str]) -> None:
    parts = ["Findings: " + " ".join(first), "Impression: " + " ".join(second)]
    whole = "\n".join(parts)
    moved = []
    for part, offset in zip(parts, (0, len(parts[0]) + 1), strict=True):
        before = len(moved)
        moved += [
            Entity(
                e.start + offset,
                e.end + offset,
                e.type,
                e.assertion,
                e.kind,
                tuple(n + before for n in e.locations),
                tuple(n + before for n in e.severities),
                e.side,
            )
            for e in tag(part)
        ]
    assert tag(whole) == tuple(moved)


@pytest.mark.parametrize("gap", ["\n\n", "\n- ", "<br>", "</p><p>"])
def test_no_phrase_runs_over_the_end_of_a_paragraph(gap: str) -> None:
    text = f"No change of the lung{gap}mass in the left base"
    assert "Mass" in {entity.kind for entity in tag(text)}
    assert all(gap not in text[entity.start : entity.end] for entity in tag(text))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(SENTENCES), min_size=2, max_size=6))
def test_paragraphs_are_read_on_their_own(parts: list[str]) -> None:
    whole = tag("\n\n".join(part.rstrip(".") for part in parts))
    alone = [entity for part in parts for entity in tag(part)]
    assert [(e.type, e.assertion, e.kind, e.side) for e in whole] == [
        (e.type, e.assertion, e.kind, e.side) for e in alone
    ]


def named(text: str) -> dict[str, Entity]:
    return {text[e.start : e.end].lower(): e for e in tag(text)}


def test_a_finding_knows_its_place_side_and_degree() -> None:
    text = "There is a small left pleural effusion and mild scarring in the right upper lobe."
    entities = tag(text)
    words = [text[e.start : e.end] for e in entities]
    effusion = entities[words.index("pleural effusion")]
    assert effusion.side == "left"
    assert [words[n] for n in effusion.severities] == ["small"]
    scar = entities[words.index("scarring")]
    assert scar.side == "right"
    assert [words[n] for n in scar.severities] == ["mild"]
    assert {words[n] for n in scar.locations} >= {"right", "upper lobe"}


def test_both_sides_make_bilateral() -> None:
    assert named("Left and right effusions.")["effusions"].side == "bilateral"
    assert named("Bilateral effusions.")["effusions"].side == "bilateral"
    assert named("Effusion.")["effusion"].side == ""


def test_types_of_the_schema() -> None:
    found = named("Status post sternotomy with pacemaker; moderate nodule at the left lung base.")
    types = {words: entity.type for words, entity in found.items()}
    assert types["sternotomy"] == "procedure"
    assert types["pacemaker"] == "device"
    assert types["nodule"] == "finding"
    assert types["moderate"] == "severity"
    assert types["lung base"] == "location"


def test_present_outweighs_uncertain_outweighs_absent() -> None:
    text = "No effusion. Possible effusion. No nodule. Mass. No mass."
    states = kinds_of(text, tag(text))
    assert (states["Effusion"], states["Nodule"], states["Mass"]) == (UNCERTAIN, ABSENT, PRESENT)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Normal chest.", PRESENT),
        ("No effusion, pneumothorax or edema. Heart size is normal.", PRESENT),
        ("Lungs are clear. Small effusion.", ABSENT),
        ("No active disease. Mild scoliosis.", None),
        ("No active disease. Possible nodule.", None),
        ("No effusion.", None),
        ("The patient was rotated.", None),
        ("Indication: nodule. Findings: normal chest.", PRESENT),
    ],
)
def test_normal_is_a_kind_of_its_own(text: str, state: int | None) -> None:
    assert kinds_of(text, tag(text)).get("No_Finding") == state


def test_hearsay_counts_for_nothing_whoever_tagged_it() -> None:
    text = "Indication: edema. Findings: nodule."
    entities = (Entity(12, 17, "finding", "present", "Edema"), Entity(29, 35, "finding", "present", "Nodule"))
    assert kinds_of(text, entities) == {"Nodule": PRESENT, "No_Finding": ABSENT}


BAD = {
    "empty": "",
    "white space": " \n\t ",
    "control characters": "No\x00 effusion\x07. \x1b[31mCardiomegaly\x7f",
    "mixed encodings": "No effusion \ufffd\ufffd caf\u00c3\u00a9 \u00ad cardio\u00admegaly \u200bnodule",
    "html": "<p>No <b>effusion</b></p><br/>Small&nbsp;nodule <1 cm & a mass",
    "other language": "Es besteht kein Anhalt f\u00fcr einen Pneumothorax.",
    "right to left": "\u0644\u0627 \u064a\u0648\u062c\u062f effusion",
    "surrogate": "effusion \ud800 nodule",
    "emoji": "\U0001f602 effusion \U0001f1e9\U0001f1ea",
    "combining": "e\u0301ffusion effusio\u0301n a\u0300\u0301\u0302",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_does_not_crash(name: str) -> None:
    for language in languages():
        for entity in rule_tagger(language).tag(BAD[name]):
            assert 0 <= entity.start < entity.end <= len(BAD[name])


def test_markup_and_control_characters_read_as_white_space() -> None:
    assert kinds_of("", tag(BAD["html"])).keys() >= {"Effusion", "Nodule", "Mass"}
    assert kinds_of("", tag(BAD["html"]))["Effusion"] == ABSENT
    assert kinds_of("", tag(BAD["control characters"]))["Effusion"] == ABSENT
    assert kinds_of("", tag("Pleural_effusion")) == kinds_of("", tag("Pleural effusion"))


def test_a_megabyte_in_one_line_is_cut_into_short_sentences() -> None:
    text = "no effusion and possible nodule in the left lung " * 20_000
    doc = rule_tagger().pipeline(text)
    reading: Reading = doc.user_data[READING]
    # Work grows with the square of a sentence, so that a bounded sentence keeps it linear in the text.
    assert max(last - first for first, last, _ in reading.borders) <= LONGEST_SENTENCE
    assert sum(mention.kind == "Nodule" for mention in reading.mentions) == 20_000


def test_the_vocabulary_does_not_grow_with_the_texts() -> None:
    tag("nodule")
    strings = rule_tagger().pipeline.vocab.strings
    before = len(strings)
    tag_all([f"word{number} mass{number} no effusion q{number}z" for number in range(500)])
    assert len(strings) == before


def test_the_tagger_names_itself() -> None:
    assert rule_tagger("en").id == TAGGER
    assert rule_tagger("es").id != TAGGER


def test_spanish_reports() -> None:
    spanish = rule_tagger("es")
    text = "No se observa derrame pleural ni neumotórax. Cardiomegalia. Posible neumonía basal derecha."
    entities = spanish.tag(text)
    assert kinds_of(text, entities) == {
        "Effusion": ABSENT,
        "Pneumothorax": ABSENT,
        "Cardiomegaly": PRESENT,
        "Pneumonia": UNCERTAIN,
        "No_Finding": ABSENT,
    }
    assert next(e for e in entities if e.kind == "Pneumonia").side == "right"


@pytest.mark.parametrize(
    ("text", "kind", "state"),
    [
        ("Sin evidencia de consolidación.", "Consolidation", ABSENT),
        ("Derrame pleural izquierdo.", "Effusion", PRESENT),
        ("No se puede descartar atelectasia.", "Atelectasis", UNCERTAIN),
        ("El corazón está aumentado de tamaño.", "Cardiomegaly", PRESENT),
        ("Índice cardiotorácico normal.", "Cardiomegaly", ABSENT),
        ("Radiografía de tórax sin hallazgos.", "No_Finding", PRESENT),
        ("Infiltrado versus atelectasia.", "Infiltration", UNCERTAIN),
        ("No hay derrame, pero sí atelectasias laminares.", "Atelectasis", PRESENT),
        ("Elevación del hemidiafragma derecho.", "Elevated_Diaphragm", PRESENT),
        ("Sin cambios en el derrame.", "Effusion", PRESENT),
        ("SIN DERRAME PLEURAL.", "Effusion", ABSENT),
        ("sin derrame ni consolidaciones", "Consolidation", ABSENT),
    ],
)
def test_spanish_assertions(text: str, kind: str, state: int) -> None:
    assert kinds_of(text, rule_tagger("es").tag(text))[kind] == state


def test_lexicons_are_read_once() -> None:
    assert load_lexicon("en") is load_lexicon("en")

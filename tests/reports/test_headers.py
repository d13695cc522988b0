"""Headers of every language, with and without a colon, and what an export does to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.reports.headers import LANGUAGES, find_headers, known_headers
from xlip.reports.markup import plain_text
from xlip.reports.sections import SECTIONS, sections
from xlip.reports.tagger.lexicon import languages, load_lexicon

MAIN = {
    "en": ("Findings", "Impression", "Indication"),
    "es": ("Hallazgos", "Conclusión", "Motivo de consulta"),
    "de": ("Befund", "Beurteilung", "Fragestellung"),
    "fr": ("Résultats", "Synthèse", "Renseignements cliniques"),
    "pt": ("Achados", "Impressão", "Indicação clínica"),
    "it": ("Reperti", "Conclusioni", "Quesito clinico"),
}
LAYOUTS = (
    "{0}: Aa bb.\n{1}: Cc dd.",
    "{0}:\nAa bb.\n\n{1}:\nCc dd.",
    "{0}\nAa bb.\n\n{1}\nCc dd.",
    "{0} :\r\nAa bb.\r\n{1} :\r\nCc dd.",
    "{0}: Aa bb. {1}: Cc dd.",
    "{0}: Aa bb.{1}: Cc dd.",
    "{0}: Aa bb. | {1}: Cc dd.",
    "\ufeff{0}: Aa bb.\n{1}: Cc dd.",
    "1. {0}: Aa bb.\n2. {1}: Cc dd.",
    "**{0}:** Aa bb.\n## {1}\nCc dd.",
    "{0} - Aa bb.\n{1} \u2013 Cc dd.",
    "{0}:_x000D_\nAa bb._x000D_\n_x000D_\n{1}:_x000D_\nCc dd.",
    "<p><b>{0}</b></p><p>Aa&nbsp;bb.</p><br/><div>{1}:</div>Cc dd.",
    "{0}:\\nAa bb.\\n\\n{1}:\\nCc dd.",
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [str, str.upper])
def test_two_sections_are_found_in_every_layout_and_language(language: str, layout: str, case: type[str]) -> None:
    findings, impression, _ = MAIN[language]
    found = sections(plain_text(layout.format(case(findings), case(impression))))
    assert found == {"findings": "Aa bb.", "impression": "Cc dd."}


@pytest.mark.parametrize("language", LANGUAGES)
def test_capitals_inside_a_line_need_no_colon(language: str) -> None:
    findings, impression, _ = (word.upper() for word in MAIN[language])
    assert sections(f"{findings} Aa bb. {impression} Cc dd.") == {"findings": "Aa bb.", "impression": "Cc dd."}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_asked_stays_out_of_the_findings(language: str) -> None:
    findings, _, indication = MAIN[language]
    found = sections(f"{indication}: Zz yy\n{findings}: Aa bb.")
    assert found["findings"] == "Aa bb."
    assert "Zz yy" in found.values()


@pytest.mark.parametrize(
    "line",
    [
        "Electronically signed by: A. Name, MD on 1/2/2019",
        "DICTATED BY: Name, A.",
        "Read by Dr. A. Name",
        "MRN: 1234567",
        "Accession Number: A-1",
        "Referring Physician: Dr. A. Name",
        "Firmado por: Dra. A. Name",
        "Befundet von A. Name",
        "Signé par le Dr Name",
        "Assinado por: Name",
        "cc: Dr. Name",
    ],
)
def test_who_signed_does_not_stay_in_what_trains(line: str) -> None:
    for text in (f"FINDINGS: Aa bb.\n\n{line}\nIMPRESSION: Cc dd.", f"IMPRESSION: Cc dd.\nFINDINGS: Aa bb.\n{line}"):
        found = sections(text)
        assert (found["findings"], found["impression"]) == ("Aa bb.", "Cc dd.")
        assert "Name" in found["administrative"] or "1" in found["administrative"]


def test_a_number_at_the_top_does_not_take_the_report_with_it() -> None:
    assert sections("MRN: 12345. The lungs are clear. No effusion.")["preamble"] == "The lungs are clear. No effusion."
    assert sections("Patient: A. Name\n\nThe lungs are clear.")["preamble"] == "The lungs are clear."


def test_parts_of_the_chest_belong_to_the_findings() -> None:
    text = "{}LUNGS: Clear.\nHEART AND MEDIASTINUM: Normal.\nRight pleura: ok.\nIMPRESSION: Normal."
    wanted = "LUNGS: Clear. HEART AND MEDIASTINUM: Normal. Right pleura: ok."
    for before in ("FINDINGS:\n", "TECHNIQUE: PA\n", ""):
        assert sections(text.format(before))["findings"] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "No significant findings: clear.",
        "No new\nfindings\nare seen.",
        "The impression of a nodule remains.",
        "Seen at 5:06 today.",
        "There is no history: none was given.",
    ],
)
def test_sentences_are_no_headers(text: str) -> None:
    assert find_headers(text) == []


@given(st.text(st.sampled_from("Findgs:IMPRESO \n.-|1*"), max_size=60))
def test_headers_are_in_order_and_inside_the_text(text: str) -> None:
    place = 0
    for header in find_headers(text):
        assert place <= header.start <= header.end <= len(text)
        place = header.end


def test_every_header_opens_a_known_section_and_the_tagger_knows_those_of_its_language() -> None:
    assert {known.section for known in known_headers().values()} <= set(SECTIONS)
    for language in languages():
        heads = {label.group for label in load_lexicon(language).phrases.values() if label.role == "section"}
        assert heads == {"present", "historical", "hypothetical"}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a nodule < 5 mm and > 2 mm", "a nodule < 5 mm and > 2 mm"),
        ("a<br>b</p>c", "a\nb\nc"),
        ("5 &lt; 6 &amp; caf&eacute;", "5 < 6 & café"),
        ("<style>p {x: y}</style><span class='a'>a</span>", " a"),
        ("a_x000D_\nb_x0041_", "a\n\nbA"),
        ("a\\.br\\b", "a\nb"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\ufeffa\u200b\u00adb", "ab"),
        ("___ and [** **]", "___ and [** **]"),
    ],
)
def test_markup_goes_and_lines_stay_apart(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@given(st.text(st.sampled_from("ab <>/&;\\n_x0D\r"), max_size=40))
def test_markup_never_fails_on_any_text(text: str) -> None:
    assert "_x000D_" not in plain_text(text)

from __future__ import annotations

import numpy as np
import pytest

from fake_encoder import FakeEncoder
from xlip.errors import XLIPError
from xlip.explain import asked
from xlip.explain.asked import ask, ask_report
from xlip.runtime.scores import NEUTRAL, prompt_pairs
from xlip.study.prompts import load_prompts

ENCODER = FakeEncoder(stated={NEUTRAL: 0.5, "a grey patch": 0.75, "small left effusion": 0.9})
EFFUSION = prompt_pairs(ENCODER.encode_texts, load_prompts("xlip"), ["Effusion"])[0]


def test_a_kind_stands_for_its_prompts_by_any_of_its_names() -> None:
    for name in ("Effusion", "pleural effusion", "Pleural_Effusion"):
        (one,) = ask(ENCODER, [name])
        assert (one.kind, one.denied) == ("Effusion", False)
        assert np.allclose(one.pair, EFFUSION)


def test_a_text_is_weighed_against_the_denials_of_the_kinds_that_it_names() -> None:
    (one,) = ask(ENCODER, ["small left effusion"])
    assert (one.text, one.kind, one.denied) == ("small left effusion", "Effusion", False)
    assert np.allclose(one.positive, ENCODER.encode_texts(["small left effusion"])[0])
    assert np.allclose(one.negative, EFFUSION[1])


def test_a_text_that_names_no_kind_is_weighed_against_a_neutral_one() -> None:
    (one,) = ask(ENCODER, ["a grey patch"])
    assert one.kind == ""
    assert np.allclose(one.direction, np.subtract(*ENCODER.encode_texts(["a grey patch", NEUTRAL])))


@pytest.mark.parametrize("text", ["No pleural effusion is seen.", "There is no effusion."])
def test_a_denial_shows_the_finding_that_it_denies(text: str) -> None:
    (one,) = ask(ENCODER, [text])
    assert one.denied
    assert np.allclose(one.pair, EFFUSION, atol=1e-6)


def test_of_a_report_the_sentences_that_name_findings_are_asked() -> None:
    report = (
        "INDICATION: Effusion?\nFINDINGS: There is a small left pleural effusion. The trachea is midline. "
        "No pneumothorax, seen by Dr. Who.\nIMPRESSION: Effusion and cardiomegaly."
    )
    found = ask_report(ENCODER, report)
    assert [(one.text, one.kind, one.denied) for one in found] == [
        ("There is a small left pleural effusion.", "Effusion", False),
        ("No pneumothorax, seen by Dr. Who.", "Pneumothorax", True),
        ("Effusion and cardiomegaly.", "Effusion,Cardiomegaly", False),
    ]


def test_a_report_without_headers_is_read_too() -> None:
    (one,) = ask_report(ENCODER, "Large mass in the right upper lobe. Clinical correlation is recommended.")
    assert one.kind == "Mass"


def test_a_report_that_names_no_finding_is_refused() -> None:
    with pytest.raises(XLIPError, match="no sentence that names a finding"):
        ask_report(ENCODER, "The trachea is midline. Normal chest.")


@pytest.mark.parametrize("word", ["", "  ", "No_Finding", "normal"])
def test_what_is_nowhere_is_refused(word: str) -> None:
    with pytest.raises(XLIPError):
        ask(ENCODER, [word])


def test_without_the_tagger_texts_are_still_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has no spaCy."""
    monkeypatch.setattr(asked, "find_spec", lambda name: None)
    (one,) = ask(ENCODER, ["small left effusion"])
    assert one.kind == ""

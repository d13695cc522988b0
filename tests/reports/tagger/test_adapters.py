"""Taggers by name: adapters load only when asked for, say what is missing, and keep the contract of the protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertForTokenClassification

from xlip.batches.tokenizer import train_wordpiece
from xlip.errors import XLIPError
from xlip.reports.tagger.naming import kind_of_words, without_overlaps
from xlip.reports.tagger.radgraph import LABELS, RadGraphTagger, entities_of_json
from xlip.reports.tagger.registry import load_tagger
from xlip.reports.tagger.token_classification import TokenClassificationTagger, place_label
from xlip.study.record import ASSERTIONS, ENTITY_TYPES, Entity

TEXT = "Small left pleural effusion. No pneumothorax."


def save_model(folder: Path, labels: list[str], always: str | None = None) -> str:
    """A BERT of 20 k weights whose every token gets the label `always`, else random labels."""
    torch.manual_seed(0)
    tokenizer = train_wordpiece([TEXT] * 3, vocab_size=300)
    tokenizer.model_max_length = 32
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    model = BertForTokenClassification(config)
    if always is not None:
        torch.nn.init.zeros_(model.classifier.weight)
        model.classifier.bias.data[labels.index(always)] = 9.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"


def check(text: str, entities: tuple[Entity, ...]) -> None:
    place = 0
    for entity in entities:
        assert place <= entity.start < entity.end <= len(text)
        assert entity.type in ENTITY_TYPES
        assert entity.assertion in ASSERTIONS
        place = entity.end


def test_a_model_of_transformers_is_a_tagger(tmp_path: Path) -> None:
    tagger = load_tagger(save_model(tmp_path, ["O", "B-OBS-DA", "I-OBS-DA", "B-ANAT-DP"], always="B-OBS-DA"))
    found = list(tagger.tag_all(["effusion", "", "  ", TEXT]))
    assert found[0] == (Entity(0, 8, "finding", "absent", "Effusion"),)
    assert found[1] == found[2] == ()
    check(TEXT, found[3])
    assert {entity.kind for entity in found[3]} >= {"Effusion", "Pneumothorax"}
    assert tagger.id == f"hf:{tmp_path}@local"


def test_random_labels_keep_the_contract_on_texts_longer_than_the_model(tmp_path: Path) -> None:
    tagger = load_tagger(save_model(tmp_path, ["O", "OBS-DP", "OBS-U", "ANAT-DP", "LOCATION"]))
    long = " ".join([TEXT] * 40)
    (entities,) = tagger.tag_all([long])
    check(long, entities)
    assert entities[-1].end > len(long) / 2


@pytest.mark.parametrize(
    ("label", "placed"),
    [
        ("B-OBS-DP", ("finding", "present")),
        ("I-OBS-U", ("finding", "uncertain")),
        ("OBS-DA", ("finding", "absent")),
        ("ANAT-DP", ("anatomy", "present")),
        ("B-Disease_disorder", ("finding", "present")),
        ("Biological_structure", ("anatomy", "present")),
        ("Severity", ("severity", "present")),
        ("DEVICE", ("device", "present")),
        ("Therapeutic_procedure", ("procedure", "present")),
        ("O", None),
        ("LABEL_0", None),
        ("Age", None),
    ],
)
def test_labels_are_placed_by_name(label: str, placed: tuple[str, str] | None) -> None:
    assert place_label(label) == placed


def test_a_model_whose_labels_say_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"expected labels that name finding.*got LABEL_0, LABEL_1; set id2label"):
        load_tagger(save_model(tmp_path, ["LABEL_0", "LABEL_1"]))


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="expected a token-classification model") as caught:
        TokenClassificationTagger(str(tmp_path / "nothing"))
    assert "\n" not in str(caught.value)


ANSWER: dict[str, Any] = {
    "text": "Small left pleural effusion . No pneumothorax .",
    "entities": {
        "1": {"tokens": "Small", "label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": [["modify", "4"]]},
        "2": {"tokens": "left", "label": "ANAT-DP", "start_ix": 1, "end_ix": 1, "relations": [["modify", "3"]]},
        "3": {"tokens": "pleural", "label": "ANAT-DP", "start_ix": 2, "end_ix": 2, "relations": []},
        "4": {"tokens": "effusion", "label": "OBS-DP", "start_ix": 3, "end_ix": 3, "relations": [["located_at", "3"]]},
        "5": {"tokens": "pneumothorax", "label": "OBS-DA", "start_ix": 6, "end_ix": 6, "relations": []},
    },
}


def test_radgraphs_json_becomes_entities_with_links() -> None:
    found = entities_of_json(TEXT, ANSWER)
    check(TEXT, found)
    assert [TEXT[e.start : e.end] for e in found] == ["Small", "left", "pleural", "effusion", "pneumothorax"]
    assert (found[3].kind, found[3].assertion, found[3].locations, found[3].severities) == (
        "Effusion",
        "present",
        (2,),
        (0,),
    )
    assert (found[4].kind, found[4].assertion) == ("Pneumothorax", "absent")


def test_every_label_of_radgraph_has_a_place() -> None:
    for label in LABELS:
        answer = {"text": "edema", "entities": {"1": {"label": label, "start_ix": 0, "end_ix": 0, "relations": []}}}
        check("edema", entities_of_json("edema", answer))


def test_tokens_that_radgraph_rewrote_are_left_out() -> None:
    answer = {
        "text": "`` edema",
        "entities": {
            "1": {"label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": [["located_at", "2"]]},
            "2": {"label": "OBS-DP", "start_ix": 1, "end_ix": 1, "relations": []},
        },
    }
    assert entities_of_json('"edema', answer) == (Entity(1, 6, "finding", "present", "Edema"),)


@pytest.mark.parametrize("answer", [{}, {"text": "a"}, {"text": "a", "entities": {"1": {"label": "OBS-DP"}}}])
def test_an_answer_of_another_form_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(XLIPError, match="radgraph: expected `text` and `entities`"):
        entities_of_json("a", answer)


def test_radgraph_runs_in_batches_and_skips_empty_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    class Model:
        def __init__(self, model_type: str) -> None:
            assert model_type == "radgraph-xl"

        def __call__(self, texts: list[str]) -> dict[str, Any]:
            calls.append(texts)
            return {str(number): ANSWER for number in range(len(texts))}

    package = ModuleType("radgraph")
    package.RadGraph = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "radgraph", package)
    found = list(load_tagger("radgraph").tag_all([TEXT, "", *[TEXT] * 20]))
    assert [len(entities) for entities in found] == [5, 0, *[5] * 20]
    assert [len(call) for call in calls] == [15, 6]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "radgraph", None)
    with pytest.raises(XLIPError, match=r"pip install 'xlip\[radgraph\]'"):
        RadGraphTagger()


def test_a_model_that_radgraph_cannot_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("radgraph")

    def refuse(model_type: str) -> None:
        raise AssertionError

    package.RadGraph = refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "radgraph", package)
    with pytest.raises(XLIPError, match=r"radgraph:nope: the model cannot be loaded \(AssertionError\)"):
        load_tagger("radgraph:nope")


@pytest.mark.parametrize("name", ["", "rule", "hf", "hf:", "spacy:en", "rules:x"])
def test_an_unknown_tagger_is_refused(name: str) -> None:
    with pytest.raises(XLIPError, match="tagger: expected rules, hf:"):
        load_tagger(name)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(XLIPError, match="language: expected one of auto, en, es"):
        load_tagger("rules", "tlh")


def test_the_rules_pull_no_model_library() -> None:
    code = (
        "import sys; from xlip.reports.entities import tag; tag('No effusion.');"
        "print([m for m in ('transformers', 'radgraph') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_kinds_of_phrases() -> None:
    assert kind_of_words("pleural effusions") == "Effusion"
    assert kind_of_words("left lung") is None


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=12)


@given(SPANS)
def test_of_overlapping_spans_the_longer_is_kept(spans: list[tuple[int, int]]) -> None:
    entities = [Entity(start, start + length, "finding", "present") for start, length in spans]
    kept = without_overlaps(entities)
    check("x" * 40, kept)
    for entity in entities:
        rivals = [k for k in kept if k.start < entity.end and entity.start < k.end]
        assert rivals
        assert max(k.end - k.start for k in rivals) >= entity.end - entity.start

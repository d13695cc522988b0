"""Every entity of every real report covers sub-words of three kinds of tokenizers."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from transformers import PreTrainedTokenizerFast

from real_data import open_i_report, real_data
from xlip.batches.processor import group_tokens
from xlip.batches.tokenizer import train_wordpiece
from xlip.reports.entities import tag_all

if TYPE_CHECKING:
    from xlip.study.record import Entity


@pytest.fixture(scope="module")
def reports() -> list[str]:
    with real_data("iu_openi/indiana_reports.csv").open(encoding="utf-8", newline="") as stream:
        composed = [open_i_report(row) for row in csv.DictReader(stream)]
    return [text for text in composed if text]


@pytest.fixture(scope="module")
def entities(reports: list[str]) -> list[tuple[Entity, ...]]:
    return tag_all(reports)


def byte_pairs(reports: list[str], byte_level: bool) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = (
        pre_tokenizers.ByteLevel(add_prefix_space=False) if byte_level else pre_tokenizers.Whitespace()
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else []
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["[UNK]"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(reports[:1500], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


@pytest.mark.parametrize("name", ["wordpiece", "bpe", "byte-level"])
def test_every_span_maps_to_sub_words(name: str, reports: list[str], entities: list[tuple[Entity, ...]]) -> None:
    assert len(reports) > 3000
    if name == "wordpiece":
        tokenizer = train_wordpiece(reports[:1500], vocab_size=2000)
    else:
        tokenizer = byte_pairs(reports, byte_level=name == "byte-level")
    spans = 0
    for start in range(0, len(reports), 500):
        encoded = tokenizer(reports[start : start + 500], return_offsets_mapping=True)
        for row, found in enumerate(entities[start : start + 500]):
            offsets = encoded["offset_mapping"][row]
            text = reports[start + row]
            _, inside = group_tokens(_array(offsets), encoded.word_ids(row), found)
            covered = {place for (a, b), hit in zip(offsets, inside, strict=True) if hit for place in range(a, b)}
            for entity in found:
                letters = {place for place in range(entity.start, entity.end) if not text[place].isspace()}
                assert letters <= covered, text[entity.start : entity.end]
                spans += 1
    assert spans > 30_000


def _array(offsets: list[tuple[int, int]]):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.array(offsets)

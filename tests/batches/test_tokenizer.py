from __future__ import annotations

import os
import subprocess
import sys

from xlip.batches.tokenizer import ALPHABET, train_wordpiece
from xlip.phantom import generate
from xlip.study.kinds import kinds
from xlip.study.prompts import prompt_sets

REPORTS = [generate(index, size=64).report for index in range(40)]
PROGRAM = """
import hashlib, sys
from xlip.batches.tokenizer import train_wordpiece
tokenizer = train_wordpiece(sys.stdin.read().split('|'), vocab_size=500)
print(hashlib.sha256(repr(sorted(tokenizer.get_vocab().items())).encode()).hexdigest())
"""


def test_the_same_texts_give_the_same_ids_in_every_process() -> None:
    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], input="|".join(REPORTS), env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert digest("1") == digest("2")


def test_the_vocabulary_follows_the_texts() -> None:
    ours, theirs = (train_wordpiece(texts, vocab_size=500) for texts in (REPORTS, ["cat and dog"] * 9))
    assert "effusion" in ours.get_vocab()
    assert "effusion" not in theirs.get_vocab()
    assert len(ours) <= 500


def test_no_prompt_of_any_shipped_set_holds_an_unknown_token() -> None:
    tokenizer = train_wordpiece(["cat"] * 3, vocab_size=200)
    for prompts in prompt_sets().values():
        for kind in kinds():
            for text in (*prompts.positive(kind), *prompts.negative(kind)):
                assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_every_letter_has_an_id_first_and_inside_a_word_and_other_signs_do_not() -> None:
    tokenizer = train_wordpiece(["cat"] * 3, vocab_size=200)
    vocabulary = tokenizer.get_vocab()
    assert all(letter in vocabulary and f"##{letter}" in vocabulary for letter in ALPHABET)
    assert tokenizer.unk_token_id in tokenizer("心")["input_ids"]


def test_texts_are_lower_cased_and_framed() -> None:
    tokenizer = train_wordpiece(REPORTS, vocab_size=500)
    assert tokenizer("No EFFUSION")["input_ids"] == tokenizer("no effusion")["input_ids"]
    ids = tokenizer("no effusion")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "no effusion"

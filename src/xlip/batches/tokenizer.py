"""A WordPiece tokenizer trained on the training reports, for when no pretrained one is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789.,;:()/-%'\"+&"


def train_wordpiece(texts: Iterable[str], *, vocab_size: int = 8192, min_frequency: int = 2) -> PreTrainedTokenizerFast:
    """Train a lower-cased WordPiece vocabulary (Devlin et al. 2019) on texts; the same texts give the same ids.

    Every letter and digit is in the vocabulary whatever the texts hold, so that a prompt never turns into [UNK].
    """
    from tokenizers import models, trainers

    # The trainer numbers word-inner letters in the random order of a hash table and breaks ties by number: naming them
    # as special tokens first makes it repeatable. Other characters become [UNK].
    inner = [f"##{letter}" for letter in ALPHABET]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL.values(), *inner],
        initial_alphabet=list(ALPHABET),
        limit_alphabet=len(ALPHABET),
        show_progress=False,
    )
    trained = _tokenizer(models.WordPiece(unk_token=SPECIAL["unk_token"]))
    trained.train_from_iterator(texts, trainer)
    tokenizer = _tokenizer(models.WordPiece(trained.get_vocab(), unk_token=SPECIAL["unk_token"]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def _tokenizer(model: Any) -> Tokenizer:
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    end, start = (tokenizer.token_to_id(name) for name in ("[SEP]", "[CLS]"))
    if end is not None and start is not None:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", end), ("[CLS]", start))
    return tokenizer

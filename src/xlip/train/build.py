"""From a config to the parts of a training run: tables, processor, model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from xlip.audit.run import read_exclusions, refuse_leaks
from xlip.batches.processor import XLIPProcessor
from xlip.batches.streams import STREAMS, Streams
from xlip.batches.study_table import StudyTable
from xlip.batches.tokenizer import train_wordpiece
from xlip.errors import XLIPError
from xlip.files import reading
from xlip.images.square import PREPROCESS
from xlip.models.configuration import XLIPConfig
from xlip.models.families import IMAGE_FAMILIES, cell_size
from xlip.models.loading import load_checked
from xlip.models.towers import (
    adopt_image_checkpoint,
    adopt_image_tower,
    adopt_text_checkpoint,
    checkpoint_config,
    xlip_config,
)
from xlip.models.xlip import XLIPModel
from xlip.study.attributes import attribute_families
from xlip.study.kinds import kinds
from xlip.study.prompts import PromptSet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE = "no pleural effusion or pneumothorax."
"""Words that a tokenizer for reports must not take for unknown."""
LEAST = {
    **dict.fromkeys(("image_size", "patch_size", "width", "heads", "text_width", "text_heads", "embed_dim"), 1),
    **dict.fromkeys(("decoder_width", "decoder_heads", "vocab_size"), 1),
    **dict.fromkeys(("depth", "text_depth", "decoder_layers"), 0),
    "max_tokens": 8,
}
"""The least that a size may be. Of a text two tokens are its start and end: with fewer than a few words between them
all prompts would be equal."""
TEXT_DEFAULTS = {"vocab_size": 30522, "max_position_embeddings": 512}
"""What `transformers` takes where the config of a BERT does not say."""


@dataclass(frozen=True)
class ModelConfig:
    """The towers: a size of our own, or a checkpoint to start from."""

    image_size: int = 224
    """Side of the square that the model sees, in pixels."""
    patch_size: int = 16
    """Side of a patch, in pixels; it divides `image_size`."""
    width: int = 384
    """Numbers of an image token."""
    depth: int = 12
    """Transformer blocks of the image tower."""
    heads: int = 6
    """Attention heads of the image tower; they divide `width`."""
    text_width: int = 384
    """Numbers of a text token."""
    text_depth: int = 6
    """Transformer blocks of the text tower."""
    text_heads: int = 6
    """Attention heads of the text tower; they divide `text_width`."""
    embed_dim: int = 256
    """Numbers of an embedding in the joint space."""
    stem: str = "patch"
    """patch: one large projection; conv: 3x3 convolutions, better from scratch on few images; curved: convolutions that
    also see how the image curves, which finds small round spots and fine lines sooner."""
    pool: str = "max"
    """How patch tokens become one vector: max (findings are small), mean or cls."""
    text_pool: str = "mean"
    """mean of the tokens, cls, or polarity: the mean after each token has got a sign, which lets 'no' reverse a
    finding; to be trained with the objective `denial_contrast`."""
    dropout: float = 0.0
    """Dropout inside both towers."""
    decoder_width: int = 192
    """Numbers of a token in both decoders."""
    decoder_layers: int = 2
    """Blocks of each decoder."""
    decoder_heads: int = 3
    """Attention heads of both decoders; they divide `decoder_width`."""
    local: bool = True
    """Whether shallow features say where a text is answered, see `LocalHead`; AttMIM masks by them."""
    local_share: float = 0.0
    """How much what they answer adds to a zero-shot score."""
    vocab_size: int = 8192
    """Sub-words that the tokenizer learns from the training reports."""
    max_tokens: int = 128
    """Sub-words after which a text is cut."""
    preprocess: str = "letterbox"
    """How an image becomes a square: letterbox, clip or squash."""
    image_checkpoint: str = ""
    """Local folder or hub id of a ViT, DINOv2, DINOv3, SigLIP, Swin or ConvNeXt, or the folder of an XLIP run with the
    same stem: its sizes replace the ones above."""
    text_checkpoint: str = ""
    """Local folder or hub id of a BERT, RoBERTa, DeBERTa or ModernBERT with its tokenizer."""

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if not getattr(self, name) >= least:
                raise XLIPError(f"model.{name}: expected at least {least}, got {getattr(self, name)}")
        used = {"width": not self.image_checkpoint, "text_width": not self.text_checkpoint, "decoder_width": True}
        for width, heads in (("width", "heads"), ("text_width", "text_heads"), ("decoder_width", "decoder_heads")):
            if used[width] and getattr(self, width) % getattr(self, heads):  # a checkpoint brings its own sizes
                raise XLIPError(
                    f"model.{heads}: expected a divisor of model.{width} {getattr(self, width)}, got "
                    f"{getattr(self, heads)}"
                )
        if self.preprocess not in PREPROCESS:
            raise XLIPError(f"model.preprocess: expected one of {', '.join(PREPROCESS)}; got {self.preprocess!r}")
        if not 0 <= self.dropout < 1:
            raise XLIPError(f"model.dropout: expected at least 0 and below 1, got {self.dropout}")


def build_tables(data: Streams) -> dict[str, StudyTable]:
    """The studies of each stream.

    Raises:
        XLIPError: a mix that names no stream, asks for a stream without sets, or asks for nothing; training data that
            hold something of a declared test set.
    """
    for name, count in data.mix.items():
        if name not in STREAMS:
            raise XLIPError(f"data.mix: unknown stream {name!r}; expected {', '.join(STREAMS)}")
        if not isinstance(count, int) or count < 0:
            raise XLIPError(f"data.mix.{name}: expected a number of studies, at least 0; got {count!r}")
        if count and not getattr(data, name):
            raise XLIPError(f"data.mix.{name}: {count} studies a step, but data.{name} lists no set; add one or set 0")
    if not any(data.mix.values()):
        raise XLIPError("data.mix: every stream is 0; nothing to train on")
    used = {name: getattr(data, name) if data.mix.get(name) else [] for name in STREAMS}
    refuse_leaks([f"{one.path}:{one.split}" for sets in used.values() for one in sets], data.test_sets, data.exclusions)
    excluded = read_exclusions(data.exclusions) if data.exclusions else frozenset()
    return {name: StudyTable(sets, name, excluded, data.order) for name, sets in used.items()}


def training_kinds(tables: dict[str, StudyTable], prompts: PromptSet) -> list[str]:
    """The kinds that the data name, in the order of `kinds.yaml`; all of them where the data name none.

    Kinds of one's own follow, where the prompt set has a pair for them.
    """
    known = set().union(*(table.known_kinds() for table in tables.values()))
    own = sorted(kind for kind in known - kinds().keys() if kind in prompts.exceptions)
    return [*(kind for kind in kinds() if kind in known), *own] or list(kinds())


def refuse_without_headers(tables: dict[str, StudyTable]) -> None:
    """Refuse the objective `image_attributes` where no image has what it learns from.

    Raises:
        XLIPError: no image of pairs or images has a sex, an age or a view.
    """
    if not any(tables[name].has_headers() for name in ("pairs", "images")):
        raise XLIPError(
            "objectives.image_attributes: expected images with a sex, age or view, found none in data.pairs and "
            "data.images; prepare them with these columns, or leave the objective out"
        )


def refuse_without_regions(tables: dict[str, StudyTable]) -> None:
    """Refuse the response `truth` where no image says where its findings are.

    Raises:
        XLIPError: no image of pairs or images has a box or a mask.
    """
    if not any(tables[name].has_regions() for name in ("pairs", "images")):
        raise XLIPError(
            "objectives.attmim.response truth: expected images with boxes or masks, found none in data.pairs and "
            "data.images; it is for phantoms and annotated sets: take local elsewhere"
        )


def build_processor(
    config: ModelConfig, tables: dict[str, StudyTable], prompts: PromptSet, *, attributes: bool = False
) -> XLIPProcessor:
    """The tokenizer of the text checkpoint, or one trained on the training reports, the prompts and, where they are
    used, the attributes' texts.
    """
    if config.text_checkpoint:
        tokenizer = _checkpoint_tokenizer(config.text_checkpoint, config.max_tokens)
    else:
        reports = [text for name in ("pairs", "texts") for text in tables[name].reports()]
        every_prompt = [text for kind in kinds() for text in (*prompts.positive(kind), *prompts.negative(kind))]
        if attributes:
            every_prompt += [text for texts in attribute_families() for text in texts]
        tokenizer = train_wordpiece([*reports, *every_prompt * 2], vocab_size=config.vocab_size)
    return XLIPProcessor(tokenizer, config.image_size, config.preprocess, config.max_tokens)


def _checkpoint_tokenizer(path: str, max_tokens: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a text checkpoint, checked against what its model and our objectives need."""
    from transformers import AutoTokenizer

    option = "model.text_checkpoint"
    text = checkpoint_config(path, option)
    with reading(f"{option} {path}: its tokenizer", "copy its tokenizer files beside the weights"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    embedded, positions = (int(text.get(name, default)) for name, default in TEXT_DEFAULTS.items())
    if "roberta" in text["model_type"]:
        positions -= 2  # it counts from behind the number of its padding token
    tokens = tokenizer.tokenize(PROBE)
    if not tokens or tokens.count(tokenizer.unk_token) * 2 > len(tokens):
        raise XLIPError(
            f"{option} {path}: its tokenizer knows {len(tokenizer)} tokens, and not the words of {PROBE!r}; copy its "
            "tokenizer files (tokenizer.json, or vocab.txt) beside the weights"
        )
    if len(tokenizer) > embedded:
        raise XLIPError(
            f"{option} {path}: its tokenizer has {len(tokenizer)} tokens, its model embeds {embedded}; tokenizer and "
            "weights must come from the same model"
        )
    if max_tokens > positions:
        raise XLIPError(f"model.max_tokens {max_tokens}: {option} {path} has {positions} positions; take at most these")
    if tokenizer.mask_token_id is None:
        raise XLIPError(f"{option} {path}: its tokenizer has no mask token; take a BERT that was trained with one")
    return tokenizer


def build_model(config: ModelConfig, processor: XLIPProcessor, seed: int) -> XLIPModel:
    """A model on the CPU, seeded, its towers from checkpoints where the config names them."""
    torch.manual_seed(seed)
    model = model_of(config, len(processor.tokenizer))
    if path := config.image_checkpoint:
        if xlip_config(path):
            adopt_image_tower(model.image_tower, load_checked(path).image_tower, path)
        else:
            adopt_image_checkpoint(model.image_tower, path)
    if config.text_checkpoint:
        adopt_text_checkpoint(model.text_tower, config.text_checkpoint)
    else:
        model.text_tower.start_as_identity()
    model.processor = processor
    model.float()  # type: ignore[no-untyped-call]
    return model


def model_of(config: ModelConfig, vocabulary: int) -> XLIPModel:
    """A model of these sizes, its weights drawn anew on the device of the moment (`torch.device`)."""
    return XLIPModel(
        XLIPConfig(
            image=_image_config(config),
            text=_text_config(config, vocabulary),
            embed_dim=config.embed_dim,
            stem=config.stem,
            pool=config.pool,
            text_pool=config.text_pool,
            decoder_width=config.decoder_width,
            decoder_heads=config.decoder_heads,
            image_decoder_layers=config.decoder_layers,
            text_decoder_layers=config.decoder_layers,
            local_stages=_local_stages(config) if config.local else 0,
            local_share=config.local_share,
        )
    )


def _local_stages(config: ModelConfig) -> int:
    """One halving less than the patches: four places to each of them."""
    image = _image_config(config)
    stages = max(2, round(math.log2(cell_size(image))) - 1)
    # A tower of stages has cells of 32 pixels: three halvings see a neighbourhood alone, four do not.
    return min(stages, 3) if IMAGE_FAMILIES[image["model_type"]].staged else stages


def _image_config(config: ModelConfig) -> dict[str, Any]:
    if config.image_checkpoint:
        found = checkpoint_config(config.image_checkpoint)
        kernel = _side(found.get("patch_size", 16), "patches", config.image_checkpoint)
        patch = cell_size({**found, "patch_size": kernel})
        _side(found.get("image_size", 224), "images", config.image_checkpoint)
        if config.image_size % patch:
            raise XLIPError(
                f"model.image_size {config.image_size} is no multiple of the patches of model.image_checkpoint "
                f"{config.image_checkpoint}, {patch} pixels; take {max(config.image_size // patch, 1) * patch}"
            )
        return {**found, "num_channels": 1, "image_size": config.image_size, "patch_size": kernel}
    if config.image_size % config.patch_size:
        raise XLIPError(f"model.image_size {config.image_size} is not a multiple of patch_size {config.patch_size}")
    return {
        "model_type": "vit",
        "num_channels": 1,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": 4 * config.width,
        "hidden_dropout_prob": config.dropout,
        "initializer_range": config.width**-0.5,
    }


def _side(size: Any, of: str, path: str) -> int:
    """The side of a square, written as a number or twice.

    Raises:
        XLIPError: of no square.
    """
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise XLIPError(f"model.image_checkpoint {path}: expected square {of}, got {size}; take another checkpoint")
    side: int = sides.pop()
    return side


def _text_config(config: ModelConfig, vocabulary: int) -> dict[str, Any]:
    if config.text_checkpoint:
        return checkpoint_config(config.text_checkpoint, "model.text_checkpoint")
    return {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": config.text_width,
        "num_hidden_layers": config.text_depth,
        "num_attention_heads": config.text_heads,
        "intermediate_size": 4 * config.text_width,
        "max_position_embeddings": max(config.max_tokens, 128),
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": config.text_width**-0.5,
    }

"""Image and text towers: encoders of `transformers` (see `families`), from a config or from a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedModel

from xlip.batches.place import checked_place
from xlip.errors import XLIPError
from xlip.files import reading
from xlip.models.families import (
    EAGER,
    IMAGE_FAMILIES,
    PARTS,
    TEXT_FAMILIES,
    WITH_POOLER,
    cell_size,
    check_grid,
    embed,
    part,
    resized_positions,
    run,
    width_of,
)
from xlip.models.stem import ConvStem

FORMAT = {"dtype", "torch_dtype"}


class Encoded(NamedTuple):
    """What a tower returns."""

    tokens: Tensor
    """(B, N or T, D); image tokens without the class token."""
    pooled: Tensor
    """(B, D)."""

    def none(self) -> Encoded:
        """Zero rows of it: `transformers` cannot encode an empty batch, so one blank row is encoded and dropped."""
        return Encoded(self.tokens[:0], self.pooled[:0])


class ImageTower(nn.Module):
    """Pixels (B, 1, H, W) in [0, 1] -> patch tokens (B, N, D) and pooled (B, D)."""

    def __init__(self, config: dict[str, Any], *, stem: str, pool: str, mean: float, std: float) -> None:
        super().__init__()
        self.encoder = _build(config, tuple(IMAGE_FAMILIES))
        check_grid(config)
        self.family = IMAGE_FAMILIES[config["model_type"]]
        self.patch_size: int = cell_size(config)
        self.grid: int = config["image_size"] // self.patch_size
        self.prefix = self.family.prefix(self.encoder.config)
        self.pool, self.mean, self.std = pool, mean, std
        if pool == "cls" and not self.family.class_token:
            raise XLIPError(f"model.pool: a {config['model_type']} has no class token; take max or mean")
        if stem != "patch":
            if self.family.staged or not self.family.kernel.endswith("projection"):
                raise XLIPError(f"model.stem: a {config['model_type']} has a stem of its own; take stem: patch")
            self.encoder.embeddings.patch_embeddings.projection = ConvStem(
                self.width, self.patch_size, curved=stem == "curved"
            )

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks, or stages, from the pixels on."""
        found: nn.ModuleList = part(self.encoder, self.family.blocks)
        return found

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def width(self) -> int:
        """Features of a token, D."""
        return width_of(self.encoder.config)

    @property
    def attention_shape(self) -> tuple[int, int, int]:
        """Tokens of an image with its class token, heads, features of a head."""
        heads = 1 if self.family.staged else int(self.encoder.config.num_attention_heads)
        return self.grid**2 + self.prefix, heads, self.width // heads

    def reset_stem(self) -> None:
        """Draw a conv stem's kernels anew: `transformers` has overwritten them with its own for linear layers."""
        if self._stem is not None:
            self._stem.reset_parameters()

    def forward(self, pixels: Tensor) -> Encoded:
        """Encode whole images; B may be 0."""
        if pixels.shape[0] == 0:  # not `len`, which an export would take for a constant
            return self.forward(pixels.new_zeros(1, *pixels.shape[1:])).none()
        return self._encode(self._embed(pixels))

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels in [0, 1] as the stem takes them, in the weights' own format: half precision takes the same pixels."""
        made: Tensor = ((pixels - self.mean) / self.std).to(self.encoder.dtype)
        return made

    @property
    def _stem(self) -> ConvStem | None:
        stem = part(self.encoder, self.family.kernel)
        return stem if isinstance(stem, ConvStem) else None

    def visible(self, pixels: Tensor, hidden: Tensor, count: int | None = None) -> Encoded:
        """Encode the visible patches only (He et al. 2022, MAE): nothing of a hidden patch can leak.

        Args:
            pixels: (B, 1, H, W) in [0, 1].
            hidden: (B, N), True = hidden; every row hides the same number of patches.
            count: how many of a row are visible, where that is known: it need not be asked of the device then.

        Returns:
            tokens (B, N, D) with zeros at hidden patches, pooled (B, D) of the visible ones.

        Raises:
            XLIPError: a tower whose stages mix patches (Swin, ConvNeXt).
        """
        if self.family.staged:
            raise XLIPError("a tower of stages (Swin, ConvNeXt) cannot leave out patches; take attmim.where: feature")
        # Blanked before the stem as well: neighbouring 3x3 kernels would see across the patch border.
        blank = hidden.view(-1, 1, self.grid, self.grid).repeat_interleave(self.patch_size, 2)
        embedded = self._embed(pixels.masked_fill(blank.repeat_interleave(self.patch_size, 3), self.mean))
        count = int((~hidden[0]).sum()) if count is None else count
        places = hidden.byte().argsort(dim=1, stable=True)[:, :count]  # the visible ones first, in their order
        index = places[..., None].expand(-1, -1, embedded.shape[-1])
        kept = torch.cat([embedded[:, : self.prefix], embedded[:, self.prefix :].gather(1, index)], 1)
        encoded = self._encode(kept, places)
        tokens = encoded.tokens.new_zeros(*hidden.shape, embedded.shape[-1]).scatter(1, index, encoded.tokens)
        return Encoded(tokens, encoded.pooled)

    def _embed(self, pixels: Tensor) -> Tensor:
        return embed(self.encoder, self.normalised(pixels))

    def _encode(self, embedded: Tensor, places: Tensor | None = None) -> Encoded:
        normed = run(self.encoder, self.family, embedded, self.grid, places)
        tokens = normed[:, self.prefix :]
        if self.pool == "cls":
            return Encoded(tokens, normed[:, 0])
        # A finding fills few patches: the largest answer of each feature keeps what a mean dilutes (`docs/log.md`).
        return Encoded(tokens, tokens.amax(1) if self.pool == "max" else tokens.mean(1))


class TextTower(nn.Module):
    """Ids (B, T) -> tokens (B, T, D) and pooled (B, D)."""

    def __init__(self, config: dict[str, Any], *, pool: str) -> None:
        super().__init__()
        self.encoder = _build(config, tuple(TEXT_FAMILIES))
        self._path = TEXT_FAMILIES[config["model_type"]]
        self.pool = pool
        self.polarity = nn.Linear(2 * self.width, 1) if pool == "polarity" else None
        if self.word_embeddings.shape[1] != self.width:
            raise XLIPError(
                f"text tower: its word embeddings have {self.word_embeddings.shape[1]} features, its blocks "
                f"{self.width}; expected a model where both are equal"
            )

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks, from the words on."""
        found: nn.ModuleList = part(self.encoder, self._path)
        return found

    @property
    def width(self) -> int:
        """Features of a token, D."""
        return width_of(self.encoder.config)

    def reset_polarity(self) -> None:
        """Let every token count alike, so that a tower starts as one that averages its tokens."""
        if self.polarity is not None:
            nn.init.zeros_(self.polarity.weight)
            nn.init.constant_(self.polarity.bias, 0.5)

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Let every block add nothing at first: texts start as the mean of their words, which differ between kinds."""
        blocks: Any = self.blocks
        for block in blocks:
            for output in (block.attention.output.dense, block.output.dense):
                output.weight.zero_()

    @property
    def word_embeddings(self) -> Tensor:
        """(vocabulary, D): the text decoder's output weights are tied to them."""
        weights: Tensor = self.encoder.get_input_embeddings().weight
        return weights

    def forward(self, ids: Tensor, mask: Tensor, *, full: bool = False) -> Encoded:
        """Ids (B, T), mask (B, T), True = real token; B may be 0. `full`: no row has padding, as the caller knows."""
        if ids.shape[0] == 0:
            return self.forward(ids.new_zeros(1, ids.shape[1]), mask.new_ones(1, ids.shape[1])).none()
        tokens = self.encoder(input_ids=ids, attention_mask=self._attended(mask, full)).last_hidden_state
        if self.pool == "cls":
            return Encoded(tokens, tokens[:, 0])
        weights = mask[..., None].to(tokens.dtype)
        if self.polarity is not None:
            weights = weights * self._signs(ids, tokens, weights)
        return Encoded(tokens, (tokens * weights).sum(1) / mask.sum(1, keepdim=True).clamp(min=1))

    def _attended(self, mask: Tensor, full: bool) -> Tensor | None:
        """The mask as the encoder takes it. `transformers` would ask the device whether there is padding at all."""
        if self._path == "encoder.layer" and self.encoder.config._attn_implementation == "sdpa":
            if full:
                return None
            if not torch.compiler.is_exporting():
                return mask[:, None, None, :]
        return mask.long()

    def _signs(self, ids: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        """(B, T, 1) in (-1, 1): whether each token speaks for or against what it names.

        Read from the token and from the mean of the text's words: 'no' turns the sign of a finding, whichever it is.
        Averaged words cannot do so: 'no' would have to point away from every finding at once (`docs/log.md`).
        """
        assert self.polarity is not None
        words = self.encoder.get_input_embeddings()(ids)
        mean = (words * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
        about = F.layer_norm(mean, mean.shape[-1:]).expand_as(tokens)
        signs: Tensor = torch.tanh(self.polarity(torch.cat([tokens, about.to(tokens.dtype)], -1)))
        return signs


def adopt_image_checkpoint(tower: ImageTower, path: str) -> None:
    """Start the image tower from a checkpoint of one of `IMAGE_FAMILIES` (local folder or hub id).

    Colour kernels are summed to one gray channel (a gray image fed to all three gives the same), position embeddings
    are interpolated bicubically to our grid.

    Raises:
        XLIPError: the checkpoint's weights do not fit the configured tower.
    """
    source = _source(path, "model.image_checkpoint")
    kernel = f"{tower.family.kernel}.weight"
    if kernel in source:
        source[kernel] = source[kernel].sum(1, keepdim=True)
    _adopt(tower, source, path)


def adopt_image_tower(tower: ImageTower, other: ImageTower, path: str) -> None:
    """Start the image tower from that of another model of ours, which was loaded from `path`.

    Raises:
        XLIPError: as `adopt_image_checkpoint`.
    """
    _adopt(tower, other.encoder.state_dict(), path)


def _adopt(tower: ImageTower, source: dict[str, Tensor], path: str) -> None:
    position, own = tower.family.positions, tower.encoder.state_dict()
    if position in source and position in own:
        first = int(tower.family.class_token)
        places, wanted = (one.shape[-2] - first for one in (source[position], own[position]))
        if round(places**0.5) ** 2 != places:
            raise XLIPError(f"model.image_checkpoint {path}: expected a square grid of patches, got {places} patches")
        source[position] = resized_positions(source[position], round(wanted**0.5), first)
    _load(tower.encoder, source, path)


def adopt_text_checkpoint(tower: TextTower, path: str) -> None:
    """Start the text tower from a BERT checkpoint (local folder or hub id); its tokenizer must come with it."""
    _load(tower.encoder, _source(path, "model.text_checkpoint"), path)


def checkpoint_config(path: str, option: str = "model.image_checkpoint") -> dict[str, Any]:
    """The `transformers` config of a checkpoint, as the dictionary that a tower is built from.

    Keys that its family does not know (old checkpoints carry some) are left out, and its number format: weights are
    trained in fp32 whatever they were stored in, smaller steps would be lost in rounding.

    Args:
        path: folder or hub id.
        option: what it was given to: `model.image_checkpoint` or `model.text_checkpoint`.

    Raises:
        XLIPError: nothing there, or a family that no tower is built from.
    """
    checked_place(path, option)
    if own := xlip_config(path):
        return dict(own["image"])
    with reading(f"{option} {path}: its config", "copy or download the checkpoint again"):
        config = AutoConfig.from_pretrained(path)
    families = tuple(IMAGE_FAMILIES if option == "model.image_checkpoint" else TEXT_FAMILIES)
    if families == tuple(IMAGE_FAMILIES) and config.model_type in PARTS:
        config = getattr(config, PARTS[config.model_type])
    if config.model_type not in families:
        raise XLIPError(f"{option} {path}: expected one of {', '.join(families)}; got {config.model_type!r}")
    known = _options(config.model_type) - FORMAT
    return {name: value for name, value in config.to_diff_dict().items() if name in known}


def _source(path: str, option: str) -> dict[str, Tensor]:
    """The weights of a checkpoint, in fp32.

    Raises:
        XLIPError: they cannot be read, some are missing (the library would draw them at random), or are not finite.
    """
    advice = "copy or download the checkpoint again"
    with reading(f"{option} {path}: its weights", advice):
        model, told = AutoModel.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    if lacking := sorted(name for name in told["missing_keys"] if "pooler" not in name):
        raise XLIPError(f"{option} {path}: its weights lack {lacking[0]} ({len(lacking)} in all); {advice}")
    found: dict[str, Tensor] = model.state_dict()
    for name, tensor in found.items():
        if not torch.isfinite(tensor).all():
            raise XLIPError(f"{option} {path}: its weights {name} hold NaN or infinite numbers; {advice}")
    return {name.removeprefix("vision_model."): value for name, value in found.items()}


def xlip_config(path: str) -> dict[str, Any]:
    """The config of an XLIP run's folder; empty where it is none.

    Raises:
        XLIPError: as `folder_config`.
    """
    found = folder_config(path) or {}
    return found if found.get("model_type") == "xlip" else {}


def folder_config(path: str) -> dict[str, Any] | None:
    """The `config.json` of a model's folder; None where there is none (a hub id, or nothing).

    Raises:
        XLIPError: the file is no JSON object.
    """
    file = Path(path) / "config.json"
    if not file.is_file():
        return None
    with reading(file, "not a model's config; copy or make it again"):
        found = json.loads(file.read_text("utf-8"))
    if not isinstance(found, dict):
        raise XLIPError(f"{file}: not a model's config (expected a JSON object, got {type(found).__name__})")
    return found


def _build(config: dict[str, Any], families: tuple[str, ...]) -> Any:
    family = config.get("model_type")
    if family not in families:
        raise XLIPError(f"model_type: expected one of {', '.join(families)}, got {family!r}")
    known = _options(family)
    unknown = sorted(set(config) - known)
    if unknown:
        raise XLIPError(f"{family} config: unknown option {unknown[0]!r}; known ones: {', '.join(sorted(known))}")
    # Without a number format of its own: the whole model has one.
    made = AutoConfig.for_model(**{name: value for name, value in config.items() if name not in FORMAT})
    made._attn_implementation = "eager" if family in EAGER else "sdpa"
    if family == "siglip_vision_model":
        made.vision_use_head = False  # its own way to one vector, which ours does not use
    return AutoModel.from_config(made, **({"add_pooling_layer": False} if family in WITH_POOLER else {}))


def _options(family: str) -> set[str]:
    # Of a config made without options: one made with a misspelt option would keep it as an attribute.
    return {*AutoConfig.for_model(family).to_dict(), "model_type"}


def _load(encoder: PreTrainedModel, source: dict[str, Tensor], path: str) -> None:
    own = encoder.state_dict()
    fitting = {name: value for name, value in source.items() if name in own and own[name].shape == value.shape}
    missing = sorted(set(own) - set(fitting))
    if missing:
        raise XLIPError(
            f"{path}: its weights do not fit this tower (first of {len(missing)} that differ: {missing[0]}); "
            "leave the tower's config empty to take the checkpoint's own, and use its stem (stem: patch, or what an "
            "XLIP run has)"
        )
    encoder.load_state_dict(fitting)

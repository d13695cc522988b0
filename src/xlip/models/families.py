"""What differs between the encoders of `transformers` that a tower may be built from: where their parts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig

from xlip.errors import XLIPError


@dataclass(frozen=True)
class ImageFamily:
    """An encoder whose output is a square grid of patch tokens."""

    kernel: str
    """The convolution that reads pixels."""
    blocks: str
    norm: str
    positions: str = ""
    """Learned position of each patch, after those of the class token; '' = the family has none (or rotates)."""
    class_token: bool = True
    staged: bool = False
    """Whether stages halve the grid (Swin, ConvNeXt): no patch is a token of its own from end to end."""

    def prefix(self, config: Any) -> int:
        """Tokens before those of the patches: class token and registers."""
        return int(self.class_token) * (1 + int(getattr(config, "num_register_tokens", 0) or 0))


IMAGE_FAMILIES = {
    "vit": ImageFamily(
        "embeddings.patch_embeddings.projection", "layers", "layernorm", "embeddings.position_embeddings"
    ),
    "dinov2": ImageFamily(
        "embeddings.patch_embeddings.projection", "encoder.layer", "layernorm", "embeddings.position_embeddings"
    ),
    "dinov2_with_registers": ImageFamily(
        "embeddings.patch_embeddings.projection", "encoder.layer", "layernorm", "embeddings.position_embeddings"
    ),
    "dinov3_vit": ImageFamily("embeddings.patch_embeddings", "model.layer", "norm"),
    "siglip_vision_model": ImageFamily(
        "embeddings.patch_embedding",
        "encoder.layers",
        "post_layernorm",
        "embeddings.position_embedding.weight",
        class_token=False,
    ),
    "swin": ImageFamily(
        "embeddings.patch_embeddings.projection",
        "encoder.layers",
        "layernorm",
        "embeddings.position_embeddings",
        class_token=False,
        staged=True,
    ),
    "convnext": ImageFamily(
        "embeddings.patch_embeddings", "encoder.stages", "layernorm", class_token=False, staged=True
    ),
}
"""By `model_type`."""
TEXT_FAMILIES = {
    "bert": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
    "deberta-v2": "encoder.layer",
    "modernbert": "layers",
}
"""`model_type` -> where its blocks are."""
PARTS = {"siglip": "vision_config"}
"""Families of two towers -> the config of the one that is taken; its weights stand under `vision_model.`."""
EAGER = ("convnext", "deberta-v2")
"""Families without the fused attention of torch."""
WITH_POOLER = ("vit", "swin", "bert", "roberta", "xlm-roberta")
"""Families whose pooler has to be switched off: ours pools itself."""


def cell_size(config: dict[str, Any]) -> int:
    """Pixels of a side of what one token of the last block stands for.

    Raises:
        XLIPError: patches that are not square.
    """
    defaults = AutoConfig.for_model(config["model_type"])
    found = config.get("patch_size", defaults.patch_size)
    if not isinstance(found, int):
        raise XLIPError(f"image tower: expected square patches, got {found}")
    patch: int = found
    if not IMAGE_FAMILIES[config["model_type"]].staged:
        return patch
    stages: int = len(config.get("depths", defaults.depths))
    return patch << (stages - 1)


def check_grid(config: dict[str, Any]) -> None:
    """Refuse images too small for the windows of a Swin.

    Raises:
        XLIPError: the grid of the last stage is smaller than a window.
    """
    if config["model_type"] != "swin":
        return
    defaults, cell = AutoConfig.for_model("swin"), cell_size(config)
    side, window = config.get("image_size", defaults.image_size), config.get("window_size", defaults.window_size)
    if side // cell < window:
        raise XLIPError(
            f"model.image_size {side}: the last stage of this swin sees {side // cell} x {side // cell} cells, "
            f"its windows take {window}; take at least {window * cell}"
        )


def width_of(config: Any) -> int:
    """Features of a token of the last block, from a `transformers` config."""
    sizes = getattr(config, "hidden_sizes", None)
    return int(sizes[-1] if sizes else config.hidden_size)


def part(module: nn.Module, path: str) -> Any:
    """The part of a module at a dotted path."""
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name)
    return found


def embed(encoder: Any, pixels: Tensor) -> Tensor:
    """Normalised pixels (B, 1, H, W) -> what the first block takes."""
    embedded = encoder.embeddings(pixels)
    made: Tensor = embedded[0] if isinstance(embedded, tuple) else embedded
    return made


def run(encoder: Any, family: ImageFamily, embedded: Tensor, grid: int, index: Tensor | None = None) -> Tensor:
    """Through the blocks and the last norm: (B, prefix + N, D).

    Args:
        encoder: of `transformers`.
        family: its family.
        embedded: what `embed` made; for the visible patches alone with `index`.
        grid: patches of a side, of the whole image.
        index: (B, visible) numbers of the patches that are there.
    """
    if family.staged:
        if embedded.ndim == 3:  # Swin: tokens, and the shape of their grid
            side = round(embedded.shape[1] ** 0.5)
            last = encoder.encoder(embedded, (side, side)).last_hidden_state
        else:
            last = encoder.encoder(embedded).last_hidden_state.flatten(2).transpose(1, 2)
        normed: Tensor = encoder.layernorm(last)
        return normed
    more: dict[str, Any] = {}
    if hasattr(encoder, "rope_embeddings"):
        more["position_embeddings"] = _rotations(encoder, embedded, grid, index)
    if not family.class_token:
        more["attention_mask"] = None
    for block in part(encoder, family.blocks):
        embedded = block(embedded, **more)
    made: Tensor = part(encoder, family.norm)(embedded)
    return made


def _rotations(encoder: Any, embedded: Tensor, grid: int, index: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sines and cosines of the patches that are there (DINOv3 turns queries and keys by their place)."""
    side = grid * int(encoder.config.patch_size)
    cosine, sine = encoder.rope_embeddings(embedded.new_zeros(1, 1, side, side))
    if index is None:
        return cosine, sine
    return cosine[index].unsqueeze(1), sine[index].unsqueeze(1)


def resized_positions(position: Tensor, grid: int, first: int) -> Tensor:
    """Positions (1, first + n, D) or (n, D) of a square grid -> of `grid` x `grid`, bicubic; the first ones stay."""
    flat = position if position.ndim == 3 else position[None]
    kept, rest = flat[:, :first], flat[:, first:]
    side = round(rest.shape[1] ** 0.5)
    square = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
    made = torch.cat([kept, resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    return made if position.ndim == 3 else made[0]

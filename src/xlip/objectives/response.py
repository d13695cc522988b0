"""How strongly each image patch answers to the text: what AttMIM masks by. No gradient flows.

The rule: docs/method.md, response.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.models.local import cells
from xlip.models.xlip import Encodings, XLIPModel

RESPONSES = ("local", "cosine", "attention")


@torch.no_grad()
def response(
    model: XLIPModel, images: Encodings, words: Tensor, weights: Tensor, *, by: str = "cosine", chunk: int = 64
) -> Tensor:
    """Response of every patch to the text, the weighted mean over its tokens.

    Args:
        model: for its heads (`cosine`) or its text decoder (`attention`).
        images: B images with N patches.
        words: text tokens (B, T, D_text).
        weights: (B, T) non-negative, 0 = does not count (padding); a row of zeros gives a response of 0.
        by: `cosine` in the joint space, or `attention`: the text decoder's last cross-attention, mean over heads.
        chunk: rows at a time; bounds the (chunk, T, N) similarities.

    Returns:
        (B, N) fp32.
    """
    parts = [
        _rows(model, images[i : i + chunk], words[i : i + chunk], weights[i : i + chunk].float(), by)
        for i in range(0, len(words), chunk)
    ]
    return torch.cat(parts) if parts else images.tokens.new_zeros(images.tokens.shape[:2]).float()


@torch.no_grad()
def kind_response(maps: Tensor, presence: Tensor) -> Tensor:
    """Response of every patch to the kinds of its image: sum_k presence_k softmax_j(map_kj), (B, N) fp32.

    Args:
        maps: (B, K, grid, grid), see `kind_maps`.
        presence: (B, K) how much each kind is present, non-negative.
    """
    return torch.einsum("bk,bkn->bn", presence.float(), maps.flatten(2).float().softmax(-1))


@torch.no_grad()
def kind_maps(model: XLIPModel, images: Encodings, positive: Tensor, negative: Tensor) -> Tensor:
    """How much each patch speaks for each kind, (B, K, grid, grid) fp32, on one scale for all images and kinds.

    By the local head where the model has one, which answers to the positive prompts, else by the cosine of the patch
    tokens; `positive` and `negative` are the kinds' prompt embeddings (K, E).
    """
    grid = model.image_tower.grid
    if model.local is not None and images.places is not None:
        return cells(model.local.maps(images.places, positive), grid)
    unit = F.normalize(model.image_head(images.tokens).float(), dim=-1)
    answers = model.logit_scale_exp() * unit @ (positive - negative).float().T
    made: Tensor = answers.transpose(1, 2).unflatten(-1, (grid, grid))
    return made


def token_weights(mask: Tensor, is_entity: Tensor, entity_weight: float) -> Tensor:
    """(B, T): 1 for a token, `entity_weight` for a token of a medical entity, 0 for padding."""
    return mask.float() * torch.where(is_entity, entity_weight, 1.0).to(mask.device, non_blocking=True)


def _rows(model: XLIPModel, images: Encodings, words: Tensor, weights: Tensor, by: str) -> Tensor:
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    if by == "attention":
        mask = weights > 0
        mask[:, 0] |= ~mask.any(1)  # a row without a text still needs one key
        context = model.text_decoder.image_context(images.tokens, None)
        similarity = model.text_decoder.attention(words, mask, context, images.embedding)
        return torch.einsum("bt,btn->bn", weights, similarity.float())
    image = F.normalize(model.image_head(images.tokens).float(), dim=-1)
    text = F.normalize(model.text_head(words).float(), dim=-1)
    # The mean of cosines is the cosine with the mean of unit vectors: (B, T, N) need never exist.
    return torch.einsum("bne,be->bn", image, torch.einsum("bt,bte->be", weights, text))

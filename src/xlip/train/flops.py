"""What a step costs in operations."""

from __future__ import annotations

from xlip.models.xlip import XLIPModel


def training_flops(model: XLIPModel, mix: dict[str, int], tokens: int, kinds: int) -> float:
    """Operations of one step's encoder passes: 6 per parameter and token (forward and backward), decoders left out.

    An estimate from above for texts, which are seldom `tokens` long.
    """
    image = sum(p.numel() for p in model.image_tower.parameters())
    text = sum(p.numel() for p in model.text_tower.parameters()) - model.text_tower.word_embeddings.numel()
    images = (mix.get("pairs", 0) + mix.get("images", 0)) * model.image_tower.grid**2
    texts = (mix.get("pairs", 0) + mix.get("texts", 0)) * tokens + 2 * kinds * 8
    return 6.0 * (image * images + text * texts)

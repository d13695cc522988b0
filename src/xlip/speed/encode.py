"""Images/s of `encode` beside the same tower in plain `transformers`, fp32, and whether both say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.models.fast import FastEncoder, fast_encoder
from xlip.models.xlip import XLIPModel
from xlip.speed.made_up import Shape, made_up_batch, made_up_model
from xlip.speed.rounds import in_turns

GOAL = 1.5
"""Images/s as a multiple of plain `transformers`."""
CLOSE = 1e-2
"""Largest 1 - cosine of the same image."""


def encode_rates(shape: Shape, rounds: int, images: int) -> dict[str, Any]:
    """Images/s of both, and the least cosine between them."""
    model = made_up_model(shape)
    model.train(False)
    fast = fast_encoder(model)  # outside inference mode: what is chosen by measurement may be measured with a gradient
    with torch.inference_mode():
        return _rates(shape, rounds, images, model, fast)


def _rates(shape: Shape, rounds: int, images: int, model: XLIPModel, fast: FastEncoder) -> dict[str, Any]:
    pixels = made_up_batch(replace(shape, pairs=images, lone_images=0)).pixels
    tower = model.image_tower

    def plain() -> Tensor:
        tokens = tower.encoder(tower.normalised(pixels)).last_hidden_state[:, tower.prefix :]
        pooled = tokens.amax(1) if tower.pool == "max" else tokens.mean(1)
        return F.normalize(model.image_head(pooled), dim=1)

    found = in_turns({"plain transformers": plain, "encode": lambda: fast(pixels)}, rounds)
    cosine = float((plain() * fast(pixels).float()).sum(1).min())
    rates = {name: round(images / one["cpu_seconds"], 2) for name, one in found.items()}
    return {
        "images_per_cpu_s": rates,
        "ratio": round(rates["encode"] / rates["plain transformers"], 3),
        "least_cosine": round(cosine, 6),
        "format": fast.format,
        "goal": GOAL,
    }

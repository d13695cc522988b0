"""Which number format is fast on this machine, how fast its matrix product is, and what a step costs in operations."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel


def mixed_precision(choice: str) -> str:
    """`bf16` or `no`, for accelerate: `auto` takes bf16 on a GPU that has it and on a CPU with avx512_bf16 or AMX."""
    if choice not in ("auto", "bf16", "fp32"):
        raise XLIPError(f"precision: expected auto, bf16 or fp32; got {choice!r}")
    if choice != "auto":
        return "bf16" if choice == "bf16" else "no"
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)() else "no"


@cache
def matmul_rate(device: torch.device, precision: str) -> float:
    """Operations per second of a square matrix product on this device, the best of some (about 0.3 s on a CPU)."""
    size = 4096 if device.type == "cuda" else 1536
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        product = left @ left
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    del product
    return 2 * size**3 / best


def training_flops(model: XLIPModel, mix: dict[str, int], tokens: int, kinds: int) -> float:
    """Operations of one step's encoder passes: 6 per parameter and token (forward and backward), decoders left out.

    An estimate from above for texts, which are seldom `tokens` long.
    """
    image = sum(p.numel() for p in model.image_tower.parameters())
    text = sum(p.numel() for p in model.text_tower.parameters()) - model.text_tower.word_embeddings.numel()
    images = (mix.get("pairs", 0) + mix.get("images", 0)) * model.image_tower.grid**2
    texts = (mix.get("pairs", 0) + mix.get("texts", 0)) * tokens + 2 * kinds * 8
    return 6.0 * (image * images + text * texts)


def attention_kernel(device: torch.device) -> AbstractContextManager[None]:
    """The attention implementation to train with: on a CPU the plain one, whose backward pass is faster on short rows.

    128 px, ViT of width 192: 1.36 s a step against 1.72 s with the fused kernel (`docs/log.md`).
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()

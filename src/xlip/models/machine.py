"""What is fast on this machine, measured once and kept: number format and attention kernel."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from pathlib import Path

import torch
from torch.nn import functional as F

from xlip.errors import XLIPError
from xlip.files import cache_folder, write_whole

FORMATS = ("fp32", "bf16", "fp16")
KERNELS = ("plain", "fused")
CLEARLY = 1.15
"""How much faster bf16 must be to be taken: it has costs of its own, casts and coarser sums."""


def mixed_precision(choice: str, device: torch.device | None = None) -> str:
    """`bf16`, `fp16` or `no`, for accelerate; `auto`: bf16 or fp32, by the rates of this machine.

    Flags of a CPU do not tell: some with avx512_bf16 multiply slower in bf16 than in fp32.

    Raises:
        XLIPError: another choice, or fp16 on a CPU.
    """
    if choice not in ("auto", *FORMATS):
        raise XLIPError(f"precision: expected auto, {', '.join(FORMATS)}; got {choice!r}")
    device = device or _device()
    if choice == "fp16":
        if device.type == "cpu":
            rates = _half_rates(device)
            raise XLIPError(
                f"precision fp16: this CPU multiplies matrices at {rates['fp16']:.3g} GFLOP/s in fp16 and at "
                f"{rates['fp32']:.3g} in fp32, and has no loss scaling; take auto, bf16 or fp32"
            )
        return "fp16"
    if choice == "auto":
        rates = matmul_rates(device)
        choice = "bf16" if rates["bf16"] > CLEARLY * rates["fp32"] else "fp32"
    return "bf16" if choice == "bf16" else "no"


def matmul_rates(device: torch.device) -> dict[str, float]:
    """GFLOP/s of a matrix product in each format on this device, the best of some."""
    return _kept(device, "matmul", lambda: _matmul_rates(device))


def attention_choice(device: torch.device, shape: tuple[int, int, int], precision: str) -> str:
    """`plain` or `fused`: the faster way through attention, forward and backward, at (tokens, heads, head width)."""
    if device.type != "cpu":
        return "fused"
    name = f"attention {precision} {shape}"
    seconds = _kept(device, name, lambda: _attention_seconds(device, shape, precision))
    return min(KERNELS, key=lambda kernel: seconds[kernel])


def attention_kernel(choice: str) -> AbstractContextManager[None]:
    """Within the block attention goes the chosen way."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if choice == "plain" else nullcontext()


def _device() -> torch.device:
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def _half_rates(device: torch.device) -> dict[str, float]:
    """As `matmul_rates`, of fp16: on small matrices, for there is no kernel for it on many CPUs."""
    types = {"fp32": torch.float32, "fp16": torch.float16}
    return _kept(device, "matmul fp16", lambda: _rates_of(types, 192, device))


def _matmul_rates(device: torch.device) -> dict[str, float]:
    return _rates_of({"fp32": torch.float32, "bf16": torch.bfloat16}, 4096 if device.type == "cuda" else 1024, device)


def _rates_of(types: dict[str, torch.dtype], size: int, device: torch.device) -> dict[str, float]:
    operands = {name: torch.randn(size, size, device=device, dtype=dtype) for name, dtype in types.items()}
    best = _fastest({name: partial(torch.matmul, one, one) for name, one in operands.items()}, device)
    return {name: round(2e-9 * size**3 / seconds, 1) for name, seconds in best.items()}


def _attention_seconds(device: torch.device, shape: tuple[int, int, int], precision: str) -> dict[str, float]:
    tokens, heads, width = shape
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    query, key, value = (torch.randn(8, heads, tokens, width, dtype=dtype, requires_grad=True) for _ in range(3))

    def attend(kernel: str) -> None:
        with attention_kernel(kernel):
            F.scaled_dot_product_attention(query, key, value).sum().backward()

    return _fastest({kernel: partial(attend, kernel) for kernel in KERNELS}, device)


def _fastest(ways: dict[str, Callable[[], object]], device: torch.device, rounds: int = 5) -> dict[str, float]:
    """Seconds of each way, the best of some rounds; in turns, so that a busy moment meets all of them."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if device.type == "cuda":
                torch.cuda.synchronize()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def _kept(device: torch.device, name: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What was measured under a name on this machine, or is measured now; without a cache, every time."""
    folder = cache_folder()
    if folder is None:
        return measure()
    file = folder / "machine" / f"{_machine(device)}.json"
    try:
        known = json.loads(file.read_text("utf-8"))
        return {str(key): float(value) for key, value in known[name].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        known = {}
    found = measure()
    try:
        kept = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, (json.dumps({**kept, name: found}, indent=1) + "\n").encode())
    except (OSError, ValueError, TypeError):
        pass
    return found


@cache
def _machine(device: torch.device) -> str:
    """A name for what decides speed: processor, threads, torch."""
    said = f"{processor_name(device)} {os.cpu_count()} {torch.get_num_threads()} {torch.__version__}"
    return "".join(letter if letter.isalnum() else "-" for letter in said)


def processor_name(device: torch.device) -> str:
    """What a device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

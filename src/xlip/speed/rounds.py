"""Timing of several ways to do the same in turns, so that a busy moment meets all of them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers

from xlip.models.machine import matmul_rates, processor_name


def in_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Of each way: the least CPU seconds and wall seconds of some rounds, after one that is not counted.

    CPU seconds are of this process with all its threads; on an accelerator wall seconds count.
    """
    for way in ways.values():
        way()
    best = {name: {"cpu_seconds": float("inf"), "seconds": float("inf")} for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            found = {"cpu_seconds": time.process_time() - cpu, "seconds": time.perf_counter() - wall}
            best[name] = {key: round(min(best[name][key], value), 4) for key, value in found.items()}
    return best


def machine_facts() -> dict[str, Any]:
    """What a speed depends on: processor, threads, versions, and how fast it multiplies."""
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": processor_name(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "matmul_gflops": matmul_rates(device),
    }

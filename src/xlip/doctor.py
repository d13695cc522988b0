"""`xlip doctor`: what this machine has, what is missing for which command, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xlip.files import cache_folder

DISTRIBUTION = "xlip"
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?$")
EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")
BOUND = re.compile(r">=\s*([0-9][0-9.]*)")
LITTLE_SPACE = 5e9
"""Bytes; the packages of `xlip[train]` alone take more than a gigabyte."""
LITTLE_MEMORY = 4e9
SHOWN = (
    *(
        "torch",
        "transformers",
        "accelerate",
        "numpy",
        "pyarrow",
        "spacy",
        "onnxruntime",
        "pydicom",
        "pillow",
    ),
    *("lancedb", "highdicom", "pynetdicom", "fastapi", "peft", "ray", "radgraph"),
)


@dataclass(frozen=True)
class DoctorConfig:
    """`xlip doctor`."""

    command: str = ""
    """Look at what this command needs alone; the exit code is 1 where something is missing."""
    measure: bool = False
    """Measure the speed of matrices in each number format too (a second; kept for later runs)."""


def facts(*, measure: bool) -> list[tuple[str, str]]:
    """(what, found) of machine, versions, number formats, threads and free space."""
    found = [
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("processor", f"{_processor()}, {_cores()} of {os.cpu_count()} cores may be used"),
        ("memory", _memory()),
        ("Python", f"{platform.python_version()} at {sys.executable}"),
        ("xlip", _version(DISTRIBUTION)),
        *((name, _version(name)) for name in SHOWN),
        *_torch_facts(measure=measure),
        *((name, os.environ.get(name, "not set")) for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "HF_HUB_OFFLINE")),
        *((f"free at {place} ({what})", f"{free / 1e9:.1f} GB") for what, place, free in _spaces()),
    ]
    return [(what, said or "not installed") for what, said in found]


def missing(extras: Mapping[str, str]) -> Iterator[tuple[str, list[str], str]]:
    """(command, packages that it lacks or has too old, remedy) of every command.

    Args:
        extras: command -> the extra that brings what it needs, '' for the core.
    """
    needed = requirements()
    for command, extra in extras.items():
        lacking = [
            _said(name, bound) for name, bound in sorted(needed_by(extra, needed).items()) if _lacks(name, bound)
        ]
        remedy = f"pip install 'xlip[{extra}]'" if extra else "pip install --upgrade xlip"
        yield command, lacking, remedy if lacking else ""


def requirements() -> dict[str, dict[str, str]]:
    """Extra ('' for the core) -> package or `xlip[EXTRA]` -> lowest version, as the installed package says."""
    found: dict[str, dict[str, str]] = {}
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        lines = []  # run from its source, without being installed
    for line in lines:
        parts = REQUIREMENT.match(line.strip())
        if parts is None:
            continue
        name, inner, versions, condition = parts.groups()
        extra, bound = EXTRA.search(condition or ""), BOUND.search(versions)
        whole = f"{name}[{inner}]" if name == DISTRIBUTION else name
        found.setdefault(extra.group(1) if extra else "", {})[whole] = bound.group(1) if bound else ""
    return found


def needed_by(extra: str, needed: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Packages of the core and of an extra, with those of extras that it names."""
    found = dict(needed.get("", {}))
    ahead, seen = [extra], {""}
    while ahead:
        one = ahead.pop()
        if one in seen:
            continue
        seen.add(one)
        for name, bound in needed.get(one, {}).items():
            if name.startswith(f"{DISTRIBUTION}["):
                ahead += [part.strip() for part in name[len(DISTRIBUTION) + 1 : -1].split(",")]
            else:
                found[name] = bound
    return found


def advice() -> list[str]:
    """What to change on this machine before long work."""
    lines = []
    for what, place, free in _spaces():
        if free < LITTLE_SPACE:
            lines.append(f"little space at {place} ({what}): {free / 1e9:.1f} GB; make room, or set {_variable(what)}")
    size = _memory_bytes()
    if size and size < LITTLE_MEMORY:
        lines.append(f"little memory ({size / 1e9:.1f} GB): train with --workers 0 and fewer images a step")
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "active":
        lines.append(
            "OMP_WAIT_POLICY=active makes a shared machine several times slower; unset it, or set it to passive"
        )
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > _cores():
        lines.append(f"OMP_NUM_THREADS={threads} is more than the {_cores()} cores that may be used; set it to these")
    if not requirements():
        lines.append(
            "xlip is not installed (it runs from its source): what commands need is not known; run `make setup`"
        )
    return lines


def _said(name: str, bound: str) -> str:
    have = _version(name)
    return f"{name} {have} (at least {bound} is needed)" if have else name


def _lacks(name: str, bound: str) -> bool:
    have = _version(name)
    return not have or bool(bound and _numbers(have) < _numbers(bound))


def _numbers(version: str) -> tuple[int, ...]:
    """Of a release: what follows the numbers (`rc1`, `+cpu`) does not count. `3.0` is as much as `3`."""
    start = re.match(r"[0-9.]*", version)
    numbers = [int(part) for part in (start.group() if start else "").split(".") if part]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _torch_facts(*, measure: bool) -> list[tuple[str, str]]:
    if not _version("torch"):
        return [("computes on", "no torch: exported models run on the processor by ONNX Runtime")]
    import torch

    from xlip.models.machine import matmul_rates, mixed_precision

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    rows = [("computes on", named), ("threads of torch", str(torch.get_num_threads()))]
    if measure:
        chosen = "bf16" if mixed_precision("auto", device) == "bf16" else "fp32"
        rates = ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in matmul_rates(device).items())
        rows.append(("number format of training", f"{chosen} (measured: {rates})"))
    else:
        rows.append(("number format of training", "measured when training starts; `xlip doctor --measure` does it now"))
    return rows


def _spaces() -> list[tuple[str, str, float]]:
    """(what, place, free bytes) of where work is written."""
    places = {"work": Path.cwd(), "cache": cache_folder(), "temporary files": Path(tempfile.gettempdir())}
    found = []
    for what, place in places.items():
        if place is None:
            continue  # a user without a home keeps nothing
        there = next((one for one in (place, *place.parents) if one.exists()), Path("/"))
        found.append((what, str(place), float(shutil.disk_usage(there).free)))
    return found


def _variable(what: str) -> str:
    return {"work": "--out to another disk", "cache": "XLIP_CACHE"}.get(what, "TMPDIR")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return 0.0


def _memory() -> str:
    size = _memory_bytes()
    return f"{size / 1e9:.1f} GB" if size else "not known"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())

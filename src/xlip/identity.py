"""What a figure is printed with: which weights, which images, which settings (docs/protocols.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from xlip.shipped import model_place


def digest(*parts: object) -> str:
    """12 hexadecimal digits over JSON-able values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def checkpoint_id(path: str) -> str:
    """First 12 digits of the SHA-256 of the weights; the name itself for a hub id."""
    weights = Path(model_place(path)) / "model.safetensors"
    return file_id(weights) if weights.is_file() else path


def file_id(file: Path) -> str:
    """First 12 digits of the SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def split_id(name: str, study_ids: Iterable[str]) -> str:
    """Name, size and a checksum over the sorted study ids: two numbers are comparable only where this is equal."""
    ordered = sorted(study_ids)
    checksum = hashlib.sha256("\n".join(ordered).encode()).hexdigest()
    return f"{name}:{len(ordered)}:{checksum[:12]}"

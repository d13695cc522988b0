"""The checkpoint that comes with the package: `phantom` in place of a folder, wherever a model is named.

It knows computer-made phantoms only. `bench/phantom_checkpoint.py` writes it from the run of `xlip demo`, and its card
is `shipped/phantom/README.md`.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

NAME = "phantom"
"""How users name it."""
FOLDER = Path(__file__).parent / NAME
GRAPHS = "onnx"
"""Folder below it with the same model as `xlip export` writes it."""
WARNING = (
    "the model `phantom` was trained on computer-made phantoms alone: it serves to try the software, and what it says "
    "of a radiograph means nothing"
)


def is_shipped(spec: object) -> bool:
    """Whether a user means the checkpoint of the package: its name, where no folder of a model has that name here."""
    return spec == NAME and not any((Path(NAME) / file).is_file() for file in ("config.json", "export.json"))


def model_place(spec: str | os.PathLike[str]) -> str:
    """The folder of the checkpoint of the package for its name; any other place as it was given."""
    return str(FOLDER) if is_shipped(spec) else os.fspath(spec)


def graphs_place(spec: str | os.PathLike[str]) -> str:
    """The same for users of exported graphs."""
    return str(FOLDER / GRAPHS) if is_shipped(spec) else os.fspath(spec)


def encoder_place(spec: str) -> str:
    """The same for what needs an encoder alone: the graphs where torch is not installed, which cannot train."""
    return graphs_place(spec) if is_shipped(spec) and find_spec("torch") is None else model_place(spec)


def knows_phantoms_only(place: str | os.PathLike[str]) -> bool:
    """Whether this is the checkpoint of the package, by its name or as its folder."""
    return is_shipped(place) or FOLDER in (Path(place).resolve(), Path(place).resolve().parent)

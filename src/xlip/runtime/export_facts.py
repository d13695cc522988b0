"""`export.json`: what an exported folder says of itself, written by `xlip export` and read without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading, write_json
from xlip.images.square import PREPROCESS

FACTS, TOKENIZER, WEIGHTS = "export.json", "tokenizer.json", "weights.bin"
FORMAT = 2
"""2 adds the graph `image_map` and the file of the weights that several graphs share."""
READ = (1, 2)
"""Formats that are read: a folder of format 1 computes score and map by two graphs."""
EMBEDDING, CLASSIFIER = "embedding", "classifier"
NUMBERS = ("fp32", "int8")


@dataclass(frozen=True)
class ExportFacts:
    """Everything beside the graphs that using an exported model needs."""

    task: str
    """`embedding`: images and texts in one space; `classifier`: images to probabilities of `kinds`."""
    checkpoint: str
    """Hash of the weights that were exported, or the hub id of the model."""
    numbers: str
    """fp32, or int8 where matrices were quantised."""
    image_size: int
    """S, pixels of a side."""
    preprocess: str
    """How an image becomes a square, one of `PREPROCESS`; then a gray value g is given to the graph as g / 255."""
    graphs: dict[str, str]
    """image, text, map, image_map (or classifier) -> ONNX file in the folder; empty where only `.pt2` was asked for."""
    bytes: dict[str, int]
    """Size of each of these files: one that was cut short is found at once."""
    programs: dict[str, str]
    """The same for `.pt2` files, which torch alone reads."""
    weights: str = ""
    """File with the weights of all graphs but `text`, where several have the same; '' where each has its own."""
    kinds: tuple[str, ...] = ()
    """Of a classifier, its columns; else those that the training knew, where the run says so."""
    prompts: str = ""
    """Prompt set of the training, where the run says so."""
    width: int = 0
    """E, numbers of an embedding."""
    scale: float = 1.0
    """What cosines are multiplied by before a softmax."""
    local_share: float = 0.0
    """How much of the map's answer is added to a kind's logit. The map's own scale is inside its graph."""
    max_tokens: int = 0
    """Longer texts are cut by the tokenizer."""
    unknown_token: str | None = None
    """What the tokenizer writes for a word that it lacks."""

    @property
    def identity(self) -> str:
        """What vectors and figures are told apart by: rounding to int8 makes another model."""
        return self.checkpoint if self.numbers == "fp32" else f"{self.checkpoint}-{self.numbers}"

    def write(self, folder: Path, more: dict[str, Any]) -> None:
        """`export.json` into a folder; `more` stands beside the facts (parity, version) and is not read again."""
        write_json(folder / FACTS, {"format": FORMAT, **asdict(self), **more})


def is_exported(place: str | Path) -> bool:
    """Whether `xlip export` made this folder."""
    return (Path(place) / FACTS).is_file()


def read_facts(folder: Path) -> ExportFacts:
    """What `xlip export` wrote.

    Raises:
        XLIPError: no such file, a damaged one, one of a later version, or graphs that are missing or cut short.
    """
    file = folder / FACTS
    if not file.is_file():
        raise XLIPError(f"{folder}: expected a folder of `xlip export`, found no {FACTS}; run `xlip export` first")
    with reading(file, "export the model again"):
        found = json.loads(file.read_text("utf-8"))
        made = found.pop("format")
        if made == 1:
            found["weights"] = ""
        if made in READ:
            facts = ExportFacts(**{item.name: found[item.name] for item in fields(ExportFacts)})
    if made not in READ:
        raise XLIPError(f"{file}: expected format {FORMAT}, got {made!r}; export the model again with this version")
    _check(facts, file)
    for name in [*facts.graphs.values(), *([facts.weights] if facts.graphs and facts.weights else [])]:
        size = (folder / name).stat().st_size if (folder / name).is_file() else -1
        if Path(name).name != name or size != facts.bytes.get(name):
            said = "the graph is" if name != facts.weights else "the weights of the graphs are"
            raise XLIPError(f"{folder / name}: {said} missing or cut short; copy or export the model again")
    return facts


def _check(facts: ExportFacts, file: Path) -> None:
    expected = {
        "task": facts.task in (EMBEDDING, CLASSIFIER),
        "numbers": facts.numbers in NUMBERS,
        "preprocess": facts.preprocess in PREPROCESS,
        "image_size": isinstance(facts.image_size, int) and facts.image_size > 0,
        "graphs": isinstance(facts.graphs, dict) and all(isinstance(name, str) for name in facts.graphs.values()),
        "bytes": isinstance(facts.bytes, dict),
        "weights": isinstance(facts.weights, str),
        "scale": isinstance(facts.scale, int | float),
        "kinds": isinstance(facts.kinds, list | tuple),
    }
    for name, right in expected.items():
        if not right:
            raise XLIPError(f"{file}: {name} cannot be {getattr(facts, name)!r}; export the model again")

"""Whether what was exported computes what the checkpoint computes, and what rounding to 8 bits costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from xlip.errors import XLIPError
from xlip.images.gray import Gray
from xlip.images.square import fit
from xlip.phantom import generate

TOLERANCE = 1e-3
"""Of an embedding's numbers, of a map or a kind in logits, and of an AUROC."""
DRAWN = 6
"""Phantoms that are compared where no set is named."""
TEXTS = (
    "Pleural effusion.",
    "No pleural effusion.",
    "There is a small right pneumothorax. The heart is not enlarged, and the lungs are clear.",
    "effusion " * 400,
)
"""Short, denied, long, and longer than any text tower takes."""
Run = Callable[..., Any]


@dataclass(frozen=True)
class Difference:
    """Between a checkpoint and one form of it."""

    form: str
    """onnx, int8 or pt2."""
    output: str
    """What was compared: image, text, map, image_map or classifier."""
    largest: float
    mean: float


@dataclass
class Parity:
    """The report: what was compared, on how many images, and what came out."""

    images: int
    """How many pictures the differences are of: drawn phantoms and one of noise."""
    data: str = ""
    """Name of the set whose areas were compared; '' where none was named."""
    differences: list[Difference] = field(default_factory=list)
    auroc: dict[str, dict[str, float]] = field(default_factory=dict)
    """checkpoint, onnx, int8 -> kind or `macro` -> AUROC on the set."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in `parity.json`."""
        return {"tolerance": TOLERANCE, **asdict(self)}

    def add(self, form: str, output: str, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Compare arrays of the checkpoint with those of a form.

        Raises:
            XLIPError: another shape, or a form in full numbers that differs by more than the tolerance.
        """
        gaps = []
        for expected, found in pairs:
            if tuple(expected.shape) != tuple(found.shape):
                raise XLIPError(f"export: the {output} graph ({form}) gives {found.shape}, expected {expected.shape}")
            gaps.append(np.abs(np.asarray(expected, np.float64) - np.asarray(found, np.float64)).ravel())
        whole = np.concatenate(gaps)
        self.differences.append(Difference(form, output, float(whole.max()), float(whole.mean())))
        if form != "int8" and not whole.max() <= TOLERANCE:  # NaN is no agreement either
            raise XLIPError(
                f"export: the {output} graph ({form}) differs from the checkpoint by up to {whole.max():.3g}, expected "
                f"at most {TOLERANCE:g}; nothing was written. Update torch, onnx and onnxruntime, or report this model"
            )

    def add_areas(self, form: str, areas: Mapping[str, float]) -> None:
        """Kind -> AUROC (and `macro`) of a form; the checkpoint's come first.

        Raises:
            XLIPError: a form in full numbers, of which one differs from the checkpoint's by more than the tolerance.
        """
        self.auroc[form] = dict(areas)
        for kind, area in self.auroc["checkpoint"].items():
            if form != "int8" and not abs(areas.get(kind, np.nan) - area) <= TOLERANCE:
                raise XLIPError(
                    f"export: the AUROC of {kind} ({form}) is {areas.get(kind)}, that of the checkpoint {area}; "
                    "nothing was written. Update torch, onnx and onnxruntime, or report this model"
                )

    def lost(self, form: str) -> float | None:
        """Macro AUROC of the checkpoint less that of a form; None where it was not measured."""
        found = [self.auroc.get(name, {}).get("macro") for name in ("checkpoint", form)]
        return None if found[0] is None or found[1] is None else found[0] - found[1]


def phantoms(size: int) -> Gray:
    """Drawn radiographs and one of noise, uint8 (n, size, size)."""
    drawn = [generate(number, size=min(max(size, 64), 512)).pixels for number in range(DRAWN)]
    noise = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    return np.stack([*(fit(picture, size) for picture in drawn), noise])


def batches(squares: Gray) -> Iterator[Gray]:
    """The images in batches of one, of two and of all the others: a graph must take any number."""
    yield squares[:1]
    yield squares[1:3]
    yield squares[3:]


def program_runner(file: Any) -> Run:
    """A `.pt2` file as a function of named tensors."""
    module = torch.export.load(file).module()

    def run(**inputs: torch.Tensor) -> Any:
        with torch.no_grad():
            return module(**inputs).numpy()

    return run

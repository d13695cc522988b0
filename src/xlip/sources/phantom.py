"""Computer-made phantoms as a data set, for tests, benchmarks and the demo."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from xlip.images.files import encode
from xlip.phantom import Phantom, generate
from xlip.sources.source import Candidate, Row
from xlip.study.record import Study


def studies(root: Path, count: int = 1000, seed: int = 0, size: int = 128, start: int = 0) -> Iterator[Row]:
    """Phantoms number `start` to `start + count`, each with image, report, labels, entities and the masks of its
    findings; `root` is ignored.
    """
    for index in range(start, start + count):
        id_ = f"phantom/{seed}/{index}"
        yield Candidate(Study(id_, id_, "phantom", view="PA"), complete=partial(_drawn, index, seed, size))


def _drawn(index: int, seed: int, size: int, study: Study) -> Study:
    phantom = generate(index, seed=seed, size=size)
    return study._replace(
        image=encode(phantom.pixels),
        report=phantom.report,
        labels=phantom.labels,
        entities=phantom.entities,
        masks=_masks(phantom),
    )


def _masks(phantom: Phantom) -> dict[str, bytes]:
    """One PNG per kind: the pixels that any finding of the kind changes."""
    united: dict[str, np.ndarray[tuple[int, int], np.dtype[np.bool_]]] = {}
    for finding in phantom.findings:
        united[finding.kind] = united.get(finding.kind, False) | finding.mask
    return {kind: encode(mask.astype(np.uint8) * 255, lossless=True) for kind, mask in united.items() if mask.any()}

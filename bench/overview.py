"""The picture of README.md from phantoms: scores, maps, similar cases.

`python bench/overview.py` writes docs/overview.webp.

Scores are those of docs/data/demo.json; maps and similar cases are made by the model that comes with the package, on
phantoms that it never saw.
"""

from __future__ import annotations

import io
import json
import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
import torch

from facts import ROOT
from xlip.batches.pixels import as_pixels
from xlip.evaluate.heatmap import LOCAL_SPAN, heat_maps
from xlip.evaluate.zeroshot import text_classifier
from xlip.explain.overlay import painted
from xlip.models.loading import load_checked
from xlip.pages.interaction_pictures import examples
from xlip.phantom import PHANTOM_KINDS, Phantom, generate
from xlip.study.prompts import load_prompts

mpl.use("Agg")
SEED, ARCHIVE, TEXT = 1_000_003, 400, "left pleural effusion"
MAPPED = ("Effusion", "Consolidation")
WIDTH, HEIGHT, DPI = 10.0, 3.7, 120


def scores(axis: Any) -> None:
    """AUROC of each kind after training on pairs alone, and on everything."""
    found = json.loads((ROOT / "docs/data/demo.json").read_text("utf-8"))["zeroshot"]
    kinds = list(found["xlip"]["per_kind"])
    for name, colour, label in (("pairs_only", "0.65", "pairs alone"), ("xlip", "#3b86c8", "XLIP")):
        values = [found[name]["per_kind"][kind]["auroc"] for kind in kinds]
        axis.plot(values, range(len(kinds)), "o", color=colour, label=f"{label}: {found[name]['macro_auroc']:.2f}")
    axis.axvline(0.5, color="0.8", linewidth=1)
    axis.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds], fontsize=7)
    axis.set(xlim=(0.4, 1.02), xlabel="zero-shot AUROC")
    axis.legend(fontsize=7, loc="lower left", frameon=False)


def maps(axes: Any, model: Any, phantoms: list[Phantom]) -> None:
    """Each phantom with the outline of its finding and what speaks for it."""
    classifier = dict(zip(PHANTOM_KINDS, text_classifier(model, load_prompts("xlip"), PHANTOM_KINDS), strict=True))
    for axis, phantom in zip(axes, phantoms, strict=True):
        finding = phantom.findings[0]
        heat = heat_maps(model, as_pixels(phantom.pixels[None]), classifier[finding.kind][None])[0, 0]
        axis.imshow(painted(phantom.pixels, np.asarray(heat), *LOCAL_SPAN))
        axis.contour(finding.mask, [0.5], colors="white", linewidths=0.7)
        axis.set_title(f"where: {finding.kind.lower()}", fontsize=8)


def similar(axes: Any, model: Any) -> None:
    """The phantoms of an archive that lie closest to a text."""
    archive = [generate(index, seed=SEED + 1, size=128) for index in range(ARCHIVE)]
    images = model.images(as_pixels(np.stack([phantom.pixels for phantom in archive]))).embedding
    text = model.texts(model.processor.texts([TEXT])).embedding[0]
    for axis, index in zip(axes, (images @ text).argsort(descending=True)[: len(axes)], strict=True):
        axis.imshow(archive[index].pixels, cmap="gray")
        found = {finding.kind.replace("_", " ").lower() for finding in archive[index].findings}
        axis.set_title(textwrap.fill(", ".join(sorted(found)) or "nothing", 28), fontsize=6)


@torch.no_grad()
def main() -> None:
    from matplotlib import pyplot as plt
    from PIL import Image

    model = load_checked("phantom")
    figure = plt.figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.6))
    scores(left.subplots())
    upper, lower = right.subfigures(2, 1)
    panels = upper.subplots(1, 4)
    maps(panels, model, examples(model, seed=SEED, start=0, count=2, kinds=MAPPED))
    found = lower.subplots(1, 4)
    lower.suptitle(f"search: '{TEXT}' (above each film: its truth)", fontsize=9)
    similar(found, model)
    for axis in (*panels, *found):
        axis.axis("off")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI)
    Image.open(buffer).convert("RGB").save(ROOT / "docs/overview.webp", quality=80, method=6)


if __name__ == "__main__":
    main()

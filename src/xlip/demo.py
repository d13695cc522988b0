"""`xlip demo`: on the phantom, few pairs and many lone images and reports: what does the unpaired data bring?"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xlip.batches.augmentation import Augment
from xlip.batches.pixels import as_pixels
from xlip.batches.streams import SetConfig, Streams
from xlip.evaluate.heatmap import heat_map
from xlip.evaluate.zeroshot import evaluate_zero_shot, text_classifier
from xlip.files import remove_tree, write_json
from xlip.models.xlip import XLIPModel
from xlip.objectives.attmim import patches
from xlip.objectives.masking import mask_patches
from xlip.objectives.registry import OBJECTIVE_DEFAULTS
from xlip.objectives.response import response
from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import Panel, bars, panel_grid
from xlip.phantom import PHANTOM_NOTICE, Phantom, generate
from xlip.preparation.run import prepare
from xlip.results.result import Result
from xlip.study.prompts import load_prompts
from xlip.train.build import ModelConfig
from xlip.train.config import PretrainConfig
from xlip.train.loop import pretrain
from xlip.train.optim import OptimConfig

SIZE = 128
MODEL = ModelConfig(
    image_size=SIZE,
    width=128,
    depth=2,
    heads=4,
    text_width=128,
    text_depth=1,
    text_heads=4,
    embed_dim=128,
    stem="conv",
    decoder_width=96,
    decoder_layers=1,
    vocab_size=1024,
    max_tokens=64,
)
AUGMENT = Augment(min_scale=0.85, rotation=4, stretch=0.05, contrast=0.15, brightness=0.1, gamma=0.15, noise=0.01)
"""Milder than for radiographs: phantoms vary in pose and exposure already."""
PAIRS_PER_STEP, IMAGES_PER_STEP, TEXTS_PER_STEP = 16, 48, 16
SHOWN = ("Effusion", "Pneumothorax", "Consolidation", "Mass", "Cardiomegaly", "Atelectasis")


@dataclass(frozen=True)
class DemoConfig:
    """`xlip demo`."""

    out: str = "demo"
    pairs: int = 60
    """Phantoms with their report."""
    images: int = 5000
    """Lone labelled phantoms."""
    texts: int = 2000
    """Lone reports."""
    test: int = 600
    """Held-out phantoms."""
    steps: int = 500
    seed: int = 0


def demo(config: DemoConfig, *, say: Callable[[str], None]) -> None:
    """Train pairs-only and XLIP on phantoms for the same steps, compare, draw, write `metrics.json` and a page."""
    start = time.perf_counter()
    out = Path(config.out)
    say(PHANTOM_NOTICE)
    sets = _prepare_sets(config, out / "data")
    say(
        f"{config.pairs} pairs, {config.images} lone labelled images, {config.texts} lone reports, "
        f"{config.test} held out"
    )
    results, models = {}, {}
    for name, run in _runs(config, sets, out).items():
        say(f"training {name}: {config.steps} steps")
        remove_tree(out / name)  # a demo begins anew; `pretrain` would not write over an earlier run
        models[name] = pretrain(run).model
        results[name] = evaluate_zero_shot(str(out / name), sets["test"], seed=config.seed, cache=False)
        say(f"{name}: macro zero-shot AUROC {results[name].macro_auroc:.3f}")
    xlip = models["xlip"]
    pictures = (
        heat_maps(xlip, config.seed, _test_start(config)),
        reconstructions(xlip, config.seed, _test_start(config)),
    )
    metrics = {
        "zeroshot": {name: _figures(result) for name, result in results.items()},
        "seconds": round(time.perf_counter() - start, 1),
        "peak_rss_mb": round(_peak_rss_mb()),
        "steps": config.steps,
        "notice": PHANTOM_NOTICE,
    }
    write_json(out / "metrics.json", metrics)
    _page(metrics, pictures).write(out / "index.html")
    say(f"{metrics['seconds']} s, {metrics['peak_rss_mb']} MB; look at {out}/index.html, figures in {out}/metrics.json")


def _prepare_sets(config: DemoConfig, folder: Path) -> dict[str, str]:
    """One prepared folder per stream, of phantoms that no other has."""
    start = 0
    paths = {}
    for name in ("pairs", "images", "texts", "test"):
        options = {"count": getattr(config, name), "seed": config.seed, "size": SIZE, "start": start}
        prepare("phantom", Path(), folder / name, workers=0, options=options)
        start += getattr(config, name)
        paths[name] = str(folder / name)
    return paths


def _test_start(config: DemoConfig) -> int:
    return config.pairs + config.images + config.texts


def _runs(config: DemoConfig, sets: dict[str, str], out: Path) -> dict[str, PretrainConfig]:
    xlip = PretrainConfig(
        out=str(out / "xlip"),
        data=Streams(
            pairs=[SetConfig(sets["pairs"])],
            images=[SetConfig(sets["images"])],
            texts=[SetConfig(sets["texts"])],
            mix={"pairs": PAIRS_PER_STEP, "images": IMAGES_PER_STEP, "texts": TEXTS_PER_STEP},
        ),
        model=MODEL,
        objectives={**OBJECTIVE_DEFAULTS, "attmim": {"weight": 0.5}, "entmlm": {"weight": 0.25}},
        optim=OptimConfig(lr=1.2e-3, warmup_steps=50, text_rate=0.03, word_rate=5.0),
        augment=AUGMENT,
        steps=config.steps,
        seed=config.seed,
        checkpoint_every=0,
        workers=1,
    )
    # The same steps, and as many pairs in each as the full mix sees.
    pairs_only = replace(
        xlip,
        out=str(out / "pairs_only"),
        data=Streams(pairs=[SetConfig(sets["pairs"])], mix={"pairs": min(PAIRS_PER_STEP, config.pairs)}),
        objectives={"contrastive": {}},
    )
    return {"pairs_only": pairs_only, "xlip": xlip}


@torch.no_grad()
def heat_maps(model: XLIPModel, seed: int, start: int) -> bytes:
    """Held-out phantoms with one finding: the true mask, and which parts of the image speak for its prompt."""
    classifier = text_classifier(model, load_prompts("xlip"), SHOWN)
    rows = []
    for kind, (positive, negative) in zip(SHOWN, classifier, strict=True):
        row = []
        for phantom in _examples(kind, seed, start, 2):
            heat = heat_map(model, _pixels([phantom]), positive - negative)[0]
            mask = next(finding.mask for finding in phantom.findings if finding.kind == kind)
            row += [
                Panel(phantom.pixels, f"{kind}: truth", outline=mask),
                Panel(phantom.pixels, "what speaks for it", heat, mask),
            ]
        rows.append(row)
    return panel_grid(rows)


@torch.no_grad()
def reconstructions(model: XLIPModel, seed: int, start: int) -> bytes:
    """Image, what AttMIM hides of it, and what the decoder makes of the rest with the report's help."""
    phantoms = [phantom for kind in SHOWN[:4] for phantom in _examples(kind, seed, start, 1)]
    pixels = _pixels(phantoms)
    processor = model.processor
    assert processor is not None
    inputs = processor.texts([p.report for p in phantoms], [p.entities for p in phantoms])
    text, image = model.texts(inputs), model.images(pixels)
    answer = response(model, image.tokens, text.tokens, inputs.mask.float())
    generator = torch.Generator().manual_seed(seed)
    hidden = mask_patches(answer, ratio=0.5, mode="blend", attention_share=1.0, generator=generator)
    predicted = model.image_decoder(image.tokens, hidden, text.tokens, inputs.mask)
    filled, blanked = _fill(pixels, hidden, predicted, model.image_tower.patch_size)
    return panel_grid(
        [
            [Panel(p.pixels, "held-out phantom"), Panel(b, "hidden"), Panel(f, "reconstructed")]
            for p, b, f in zip(phantoms, blanked, filled, strict=True)
        ]
    )


def _fill(pixels: Tensor, hidden: Tensor, predicted: Tensor, size: int) -> tuple[list[Any], list[Any]]:
    """Hidden patches replaced by the prediction, back at each patch's own mean and deviation; and by gray."""
    target = patches(pixels, size)
    mean, std = target.mean(-1, keepdim=True), target.std(-1, keepdim=True)
    made = [
        torch.where(hidden[..., None], new, target) for new in (predicted * std + mean, torch.full_like(target, 0.5))
    ]
    filled, blanked = ([_assemble(row, size) for row in images] for images in made)
    return filled, blanked


def _assemble(rows: Tensor, size: int) -> np.ndarray[Any, Any]:
    grid = round(len(rows) ** 0.5)
    image = rows.view(grid, grid, size, size).transpose(1, 2).reshape(grid * size, -1)
    return (image.clamp(0, 1) * 255).byte().numpy()


def _examples(kind: str, seed: int, start: int, count: int) -> list[Phantom]:
    found: list[Phantom] = []
    index = start
    while len(found) < count:
        phantom = generate(index, seed=seed, size=SIZE)
        if {finding.kind for finding in phantom.findings} == {kind}:
            found.append(phantom)
        index += 1
    return found


def _pixels(phantoms: list[Phantom]) -> Tensor:
    return as_pixels(np.stack([phantom.pixels for phantom in phantoms]))


def _figures(result: Result) -> dict[str, Any]:
    figures = result.figures.to_json()
    return {name: figures[name] for name in ("macro_auroc", "macro_ci95", "per_kind")}


def _peak_rss_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage) * unit / 1e6


def _page(metrics: dict[str, Any], pictures: tuple[bytes, bytes]) -> Page:
    page = Page("XLIP demo: few pairs, many lone images and reports").text(PHANTOM_NOTICE, note=True)
    found = metrics["zeroshot"].items()
    rows = [(name, number(one["macro_auroc"]), span(*one["macro_ci95"])) for name, one in found]
    page.table(("trained on", "macro zero-shot AUROC", "95 % interval"), rows)
    page.text(
        f"{metrics['steps']} steps each; {metrics['seconds']} s and {metrics['peak_rss_mb']} MB in all.", note=True
    )
    series = {name: [kind["auroc"] for kind in one["per_kind"].values()] for name, one in found}
    kinds = list(metrics["zeroshot"]["xlip"]["per_kind"])
    page.figure(bars(kinds, series), "Zero-shot AUROC of each kind on held-out phantoms")
    page.heading("Which parts of the image speak for the finding")
    page.figure(
        pictures[0],
        "True mask (outline), and in colour what the finding's score loses when that part is blurred, above zero and "
        "the median",
    )
    page.heading("What AttMIM hides and makes again")
    return page.figure(
        pictures[1],
        "Held-out phantom; patches hidden by the report's response; reconstruction, each hidden patch at its own true "
        "mean and contrast (the decoder predicts the rest)",
    )

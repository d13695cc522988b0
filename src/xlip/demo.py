"""`xlip demo`: on the phantom, few pairs and many lone images and reports: what does the unpaired data bring?"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from xlip.batches.augmentation import Augment
from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.evaluate.interaction import probe_cases
from xlip.evaluate.interaction_run import interaction_figures
from xlip.evaluate.zeroshot import evaluate_zero_shot
from xlip.files import remove_tree, write_json
from xlip.objectives.attmim import AttMIM
from xlip.pages.flat_figures import number, span
from xlip.pages.interaction import interaction_tables
from xlip.pages.interaction_pictures import examples, maps, reconstructions
from xlip.pages.page import Page
from xlip.pages.plots import bars
from xlip.phantom import PHANTOM_NOTICE
from xlip.preparation.run import prepare
from xlip.results.result import Result
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
    stem="curved",
    decoder_width=96,
    decoder_layers=1,
    vocab_size=1024,
    max_tokens=64,
    local_share=0.5,
)
"""The share of the local head's answer was chosen on phantoms apart from the test set (docs/log.md)."""
AUGMENT = Augment(min_scale=0.85, rotation=4, stretch=0.05, contrast=0.15, brightness=0.1, gamma=0.15, noise=0.01)
"""Milder than for radiographs: phantoms vary in pose and exposure already."""
ATTMIM: dict[str, Any] = {"weight": 0.5}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "attmim": ATTMIM,
    "entmlm": {"weight": 0.5},
    "description_contrast": {},
    "image_kind": {},
    "kind_contrast": {},
    "local_kind": {},
    "report_kind": {},
}
PAIRS_PER_STEP, IMAGES_PER_STEP, TEXTS_PER_STEP = 16, 48, 16
SINGLES = 130
"""Phantoms with one finding that the interaction is measured on."""
QUICK = {"pairs": 32, "images": 128, "texts": 64, "test": 60, "steps": 10}
QUICK_SINGLES = 20
NOT_FOR_QUOTING = (
    "Quick form: it shows that everything runs. Too few phantoms and steps: its figures are not for quoting."
)


@dataclass(frozen=True)
class DemoConfig:
    """`xlip demo`."""

    out: str = "demo"
    """Folder for data, runs, figures and the page."""
    pairs: int = 60
    """Phantoms with their report."""
    images: int = 5000
    """Lone labelled phantoms."""
    texts: int = 2000
    """Lone reports."""
    test: int = 600
    """Held-out phantoms."""
    steps: int = 500
    """Training steps of each of the two models."""
    seed: int = 0
    """Seed of phantoms, training and bootstrap."""
    quick: bool = False
    """Few phantoms and few steps unless other options say more: a run of under a minute on two cores, to see that
    everything works. The figures are not for quoting."""


def demo(config: DemoConfig, *, say: Callable[[str], None]) -> None:
    """Train pairs-only and XLIP on phantoms for the same steps, compare, draw, write `metrics.json` and a page."""
    start = time.perf_counter()
    out, singles = Path(config.out), QUICK_SINGLES if config.quick else SINGLES
    say(PHANTOM_NOTICE)
    if config.quick:
        config = _quick(config)
        say(NOT_FOR_QUOTING)
    sets = _prepare_sets(config, out / "data")
    say(
        f"{config.pairs} pairs, {config.images} lone labelled images, {config.texts} lone reports, "
        f"{config.test} held out"
    )
    results, models = {}, {}
    for name, run in _runs(config, sets, out).items():
        say(f"training {name}: {config.steps} steps")
        if (out / name / "run.json").is_file():
            remove_tree(out / name)  # a demo begins anew; `pretrain` would not write over an earlier run
        models[name] = pretrain(run).model
        results[name] = evaluate_zero_shot(str(out / name), sets["test"], seed=config.seed, cache=False)
        not_for = " (quick form, not for quoting)" if config.quick else ""
        say(f"{name}: macro zero-shot AUROC {results[name].macro_auroc:.3f}{not_for}")
    xlip = models["xlip"]
    shown = examples(xlip, seed=config.seed, start=_test_start(config), count=2)
    pictures = maps(xlip, shown), reconstructions(xlip, shown[:8:2], AttMIM(**ATTMIM), config.seed)
    metrics = {
        "zeroshot": {name: _figures(result) for name, result in results.items()},
        "interaction": interaction_figures(
            xlip, probe_cases(SIZE, singles=singles, seed=config.seed + 1, start=0), AttMIM(**ATTMIM), prompts="xlip"
        ),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_rss_mb": round(_peak_rss_mb()),
        "steps": config.steps,
        "notice": f"{PHANTOM_NOTICE} {NOT_FOR_QUOTING}" if config.quick else PHANTOM_NOTICE,
        "quick": config.quick,
    }
    write_json(out / "metrics.json", metrics)
    _page(metrics, pictures).write(out / "index.html")
    say(f"{metrics['seconds']} s, {metrics['peak_rss_mb']} MB; look at {out}/index.html, figures in {out}/metrics.json")
    if config.quick:
        say(NOT_FOR_QUOTING)


def _quick(config: DemoConfig) -> DemoConfig:
    """With the quick form's number wherever the user named none."""
    usual = {item.name: item.default for item in fields(config)}
    return replace(config, **{name: few for name, few in QUICK.items() if getattr(config, name) == usual[name]})  # type: ignore[arg-type]


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
        objectives=OBJECTIVES,
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
        model=replace(MODEL, local=False),  # nothing would train the local head
        objectives={"contrastive": {}},
    )
    return {"pairs_only": pairs_only, "xlip": xlip}


def _figures(result: Result) -> dict[str, Any]:
    figures = result.figures.to_json()
    return {name: figures[name] for name in ("macro_auroc", "macro_ci95", "per_kind")}


def _peak_rss_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage) * unit / 1e6


def _page(metrics: dict[str, Any], pictures: tuple[bytes, bytes]) -> Page:
    quick = " (quick form, not for quoting)" if metrics["quick"] else ""
    page = Page(f"XLIP demo{quick}: few pairs, many lone images and reports").text(metrics["notice"], note=True)
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
        "True mask (outline), and in colour where the local head answers to the finding's prompts; one scale for all",
    )
    page.heading("What AttMIM hides and makes again")
    page.figure(
        pictures[1],
        "Held-out phantom; patches hidden by the response to its findings; reconstruction with its own report, and "
        "with the report of the phantom of another row",
    )
    page.heading("Does the text reach the image, and the image the text?")
    return interaction_tables(page, metrics["interaction"])

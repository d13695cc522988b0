"""What maps are worth on phantoms: pointing, absent against present findings, abstention, cost, sanity.

`python bench/explain.py --model demo/xlip` writes docs/data/explain.json.
Thresholds are chosen on the validation phantoms
and everything is measured on test phantoms of another series; `--ship` also writes the thresholds that come with the
package, of the first model. NAME=FOLDER gives a model another name than that of its folder. `--part` measures parts of
what docs/data/explain.json holds anew and leaves the rest; it takes exported folders, too, whose cost stands beside the
checkpoint's.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from facts import this_run
from xlip.batches.pixels import as_pixels
from xlip.cli.encoders import open_encoder
from xlip.evaluate.adapter import XLIPAdapter, load_model
from xlip.evaluate.encoder import TorchEncoder
from xlip.evaluate.interaction import LESION_SHARE, probe_cases
from xlip.explain.abstention import FILE, Rule
from xlip.explain.asked import Asked, ask, ask_report
from xlip.explain.choosing import thresholds
from xlip.explain.explanation import SPANS, Explanation, explain, explain_all
from xlip.explain.overlay import enlarged
from xlip.explain.scoring import scored
from xlip.metrics.auroc import auroc
from xlip.metrics.grounding import pointing_game
from xlip.phantom import PHANTOM_KINDS, PHANTOM_NOTICE, Phantom
from xlip.results.intervals import mean_with_interval
from xlip.runtime.encoder import Encoder

VALIDATION, TEST = 2_000_003, 1_000_003
"""Series of phantoms; training draws from others."""
SPECIFICITY = 0.95
BATCH = 64


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", required=True)
    parser.add_argument("--singles", type=int, default=260)
    parser.add_argument("--validation", type=int, default=800)
    parser.add_argument("--out", default="docs/data/explain.json")
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--part", nargs="*", choices=("response", "occlusion", "cost"), default=[])
    options = parser.parse_args()
    if options.part:
        return renew(options)
    found: dict[str, Any] = {**this_run(), "notice": PHANTOM_NOTICE, "models": {}}
    for number, spec in enumerate(options.model):
        name, _, path = spec.rpartition("=")
        model = load_model(path)
        rule, figures = measured(TorchEncoder(model), options.singles, options.validation)
        if isinstance(model, XLIPAdapter):
            figures["sanity"] = sanity(model, min(60, options.singles))
        found["models"][name or Path(path).name] = figures
        if options.ship and number == 0:
            shipped = Path(__file__).parents[1] / "src" / "xlip" / "explain" / FILE
            # Kinds of one demo model have no meaning for others: what comes with the package is the one for all words.
            shipped.write_text(json.dumps(Rule(rule.threshold, {}, rule.chosen_on).to_json(), indent=2) + "\n")
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(figures, indent=1))
    return None


def renew(options: argparse.Namespace) -> None:
    """Measure some parts again, and say in the file by which run."""
    found: dict[str, Any] = json.loads(Path(options.out).read_text("utf-8"))
    for spec in options.model:
        name, _, path = spec.rpartition("=")
        encoder = open_encoder(path)
        figures = found["models"][name or Path(path).name]
        assert figures["checkpoint"] == encoder.identity, "the file holds figures of other weights"
        exported = not isinstance(encoder, TorchEncoder)
        for part in options.part:
            if part == "cost":
                one = phantoms(encoder.image_size, TEST, 1)[0]
                made = cost(encoder, ask(encoder, PHANTOM_KINDS), one)
                figures["cost of the exported model" if exported else "cost"] = made
            else:
                cases = probe_cases(encoder.image_size, singles=options.singles, seed=TEST, start=0)
                rule, _ = chosen(encoder, options.validation)
                made = pointing(encoder, [cases.phantoms[i] for i in cases.single], part, rule)
                figures[part] = made
            figures.setdefault("renewed", {})[part] = {**this_run(), "exported": exported}
            Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
            print(json.dumps({part: made}, indent=1), flush=True)


def chosen(encoder: Encoder, validation: int) -> tuple[Rule, int]:
    """The rule from validation phantoms, and their number."""
    asked = ask(encoder, PHANTOM_KINDS)
    chosen_on = phantoms(encoder.image_size, VALIDATION, validation)
    where = f"{len(chosen_on)} phantoms of seed {VALIDATION} by {encoder.identity}"
    scores, absent = scores_of(encoder, asked, chosen_on), labels(chosen_on) == 0
    return thresholds(scores, absent, PHANTOM_KINDS, SPECIFICITY, where), len(chosen_on)


def measured(encoder: Encoder, singles: int, validation: int) -> tuple[Rule, dict[str, Any]]:
    """The rule from validation phantoms, and every figure on test phantoms."""
    asked = ask(encoder, PHANTOM_KINDS)
    rule, count = chosen(encoder, validation)
    cases = probe_cases(encoder.image_size, singles=singles, seed=TEST, start=0)
    tested = list(cases.phantoms)
    scores, truth = scores_of(encoder, asked, tested), labels(tested)
    alone = [tested[i] for i in cases.single]
    methods = ("response", "occlusion") if encoder.has_maps else ("occlusion",)
    figures = {
        "checkpoint": encoder.identity,
        "image_size": encoder.image_size,
        "phantoms": {"seed": TEST, "count": len(tested), "with_one_finding": len(alone), "validation": count},
        "scale": {how: SPANS[how] for how in methods},
        "present_against_absent": {"score": macro(truth, scores)},
        "abstention": {
            "chosen_on": rule.chosen_on,
            "own thresholds of kinds": abstention(scores, truth, rule),
            "one threshold": abstention(scores, truth, Rule(rule.threshold)),
        },
    }
    for how in methods:
        figures[how] = pointing(encoder, alone, how, rule)
        if how == "response":
            peaks = in_batches(tested, lambda part: encoder.maps(part, queries(asked)).max((2, 3)))
            figures["present_against_absent"]["highest value of the response"] = macro(truth, peaks)
    figures["cost"] = cost(encoder, asked, alone[0])
    return rule, figures


def phantoms(size: int, seed: int, count: int) -> list[Phantom]:
    from xlip.phantom import generate

    return [generate(index, seed=seed, size=size) for index in range(count)]


def labels(shown: list[Phantom]) -> Any:
    return np.array([[one.labels[kind] for kind in PHANTOM_KINDS] for one in shown])


def queries(asked: list[Asked]) -> Any:
    return np.stack([one.positive for one in asked])


def in_batches(shown: list[Phantom], compute: Any) -> Any:
    squares = np.stack([one.pixels for one in shown])
    return np.concatenate([compute(squares[first : first + BATCH]) for first in range(0, len(squares), BATCH)])


def scores_of(encoder: Encoder, asked: list[Asked], shown: list[Phantom]) -> Any:
    return in_batches(shown, lambda part: scored(encoder, part, asked).scores)


def macro(truth: Any, scores: Any) -> float:
    return float(np.mean([auroc(truth[:, k], scores[:, k])[0] for k in range(truth.shape[1])]))


def abstention(scores: Any, truth: Any, rule: Rule) -> dict[str, Any]:
    """Shares of absent findings that stay without colour, of present ones that get it, of normal films without any."""
    found = scores >= np.array([rule.of(kind) for kind in PHANTOM_KINDS])
    normal = ~truth.astype(bool).any(1)
    return {
        "absent_uncoloured": float((~found[truth == 0]).mean()),
        "present_coloured": float(found[truth == 1].mean()),
        "normal_films_without_any_colour": float((~found[normal].any(1)).mean()),
        "threshold": rule.threshold,
    }


def pointing(encoder: Encoder, alone: list[Phantom], how: str, rule: Rule) -> dict[str, Any]:
    """Of phantoms with one finding: does the map of its kind, and of its sentence, point at it?"""
    rows: dict[str, list[float]] = {name: [] for name in ("pointing", "cell", "of_found", "of_sentence", "random")}
    by_kind: dict[str, list[float]] = {}
    box_hits: list[float] = []
    for one in alone:
        finding = one.findings[0]
        (found,) = explain(encoder, one.pixels, [finding.kind], how, rule=rule)
        hit = pointing_game(enlarged(found.map, one.pixels.shape), finding.mask)
        rows["pointing"].append(hit)
        rows["cell"].append(cell_hit(found.map, finding.mask))
        rows["random"].append(float(finding.mask.mean()))
        by_kind.setdefault(finding.kind, []).append(rows["cell"][-1])
        if found.found:
            rows["of_found"].append(rows["cell"][-1])
            box_hits.append(box_overlap(found, finding.mask))
        if (sentence := stated(encoder, one.report, finding.kind)) is not None and how == "response":
            (said,) = explain(encoder, one.pixels, [sentence], how, rule=rule)
            rows["of_sentence"].append(cell_hit(said.map, finding.mask))
    figures: dict[str, Any] = {
        "hottest_pixel_in_finding": interval(rows["pointing"]),
        "hottest_cell_in_finding": interval(rows["cell"]),
        "hottest_cell_in_finding_of_found": interval(rows["of_found"]),
        "share_of_image": float(np.mean(rows["random"])),
        "first_box_iou_of_found": interval(box_hits),
        "hottest_cell_of_kind": {kind: float(np.mean(hits)) for kind, hits in sorted(by_kind.items())},
    }
    if rows["of_sentence"]:
        figures["hottest_cell_in_finding_by_sentence"] = interval(rows["of_sentence"])
    return figures


def cell_hit(heat: Any, mask: Any) -> float:
    """Whether the hottest cell of an 8 x 8 grid is part of the finding, as `xlip probe` counts it."""
    grid, size = 8, len(mask)
    rows = len(heat)
    coarse = (
        heat.reshape(grid, rows // grid, grid, rows // grid).max((1, 3))
        if rows % grid == 0
        else enlarged(heat, (grid, grid))
    )
    shares = mask.reshape(grid, size // grid, grid, size // grid).mean((1, 3))
    inside = (shares >= LESION_SHARE) | (shares == shares.max())
    return float(inside[coarse == coarse.max()].mean())


def box_overlap(found: Explanation, mask: Any) -> float:
    """Intersection over union of the first box with that of the finding; 0 without a box."""
    if not found.boxes:
        return 0.0
    size = len(mask)
    box, inside = found.boxes[0], np.zeros_like(mask)
    inside[
        round(box.y * size) : round((box.y + box.height) * size),
        round(box.x * size) : round((box.x + box.width) * size),
    ] = True
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    truth = np.zeros_like(mask)
    truth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return float((inside & truth).sum() / (inside | truth).sum())


def stated(encoder: Encoder, report: str, kind: str) -> Asked | None:
    """The first sentence of a report that states a kind."""
    return next((one for one in ask_report(encoder, report) if one.kind == kind and not one.denied), None)


def interval(values: list[float]) -> dict[str, Any]:
    return mean_with_interval(np.array(values), np.arange(len(values)), replicates=1000, seed=0).to_json()


def cost(encoder: Encoder, asked: list[Asked], one: Phantom, repeats: int = 31) -> dict[str, Any]:
    """Processor seconds of the map of all kinds, of one encoding, and of both as `explain` needs them; one image."""
    square = one.pixels[None]
    ways = {"encoding": lambda: encoder.encode_squares(square)}
    if encoder.has_maps:
        ways["response"] = lambda: encoder.maps(square, queries(asked))
        ways["score and response"] = lambda: explain_all(encoder, square, asked, "response")
        tower = getattr(getattr(encoder, "model", None), "model", None)
        if isinstance(encoder, TorchEncoder) and tower is not None:
            pixels = as_pixels(square)
            ways["tower without local head"] = torch.no_grad()(lambda: tower.image_tower(pixels))
    ways["score and occlusion"] = lambda: explain_all(encoder, square, asked, "occlusion")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            times[name].append(time.process_time() - start)
    seconds = {name: float(np.median(found)) for name, found in times.items()}
    return {
        "threads": torch.get_num_threads(),
        "seconds": {name: round(value, 5) for name, value in seconds.items()},
        "times_one_encoding": {name: round(value / seconds["encoding"], 3) for name, value in seconds.items()},
    }


def sanity(model: XLIPAdapter, singles: int) -> dict[str, Any]:
    """Rank correlation of the right map with that of other weights and of other words (Adebayo et al. 2018)."""
    right = TorchEncoder(model)
    cases = probe_cases(model.image_size, singles=singles, seed=TEST, start=0)
    alone = [cases.phantoms[i] for i in cases.single]
    others = {
        "image tower": ("image_tower", "image_head", "local"),
        "text tower": ("text_tower", "text_head"),
        "all": ("",),
    }
    figures: dict[str, Any] = {}
    for how in ("response", "occlusion") if right.has_maps else ("occlusion",):
        rows: dict[str, list[float]] = {f"weights of the {name} permuted": [] for name in others}
        rows["another finding, which is absent"] = []
        randomised = {name: TorchEncoder(XLIPAdapter(permuted(model.model, parts))) for name, parts in others.items()}
        for number, one in enumerate(alone):
            kind = one.findings[0].kind
            absent = [other for other in PHANTOM_KINDS if not one.labels[other]]
            own, other = explain(right, one.pixels, [kind, absent[number % len(absent)]], how)
            rows["another finding, which is absent"].append(correlation(own.map, other.map))
            for name, encoder in randomised.items():
                rows[f"weights of the {name} permuted"].append(
                    correlation(own.map, explain(encoder, one.pixels, [kind], how)[0].map)
                )
        figures[how] = {name: interval(values) for name, values in rows.items()}
    return figures


def permuted(model: Any, parts: tuple[str, ...]) -> Any:
    """A copy whose weights stand in another order within each tensor: their spread stays, what they learned goes."""
    made, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in made.named_parameters():
            if name.startswith(parts) and weights.numel() > 1:
                weights.copy_(weights.flatten()[torch.randperm(weights.numel(), generator=generator)].view_as(weights))
    made.processor = model.processor
    return made


def correlation(one: Any, other: Any) -> float:
    """Spearman's, of the cells of two maps."""
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


if __name__ == "__main__":
    main()

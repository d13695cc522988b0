"""The section of docs/results.md that shows docs/data/real_open.json."""

from __future__ import annotations

import statistics
from typing import Any

from facts import made_with
from xlip.markdown import markdown_table

NAMES = {
    "xlip": "XLIP",
    "no_labels": "XLIP without the labels of ChestX-ray14",
    "paired": "every term, without unpaired data",
    "pairs_only": "pairs only, contrastive",
}
SETS = {
    "nih": "ChestX-ray14 part, held-out patients",
    "openi": "Open-i, held-out patients, tags that people gave",
    "kermany": "Kermany pneumonia, labels never seen",
}
READINGS = {"pos": "POS", "neg": "NEG", "pnc": "PNC", "no_x": "'no X'"}
SEEDS = (0, 1, 2)
Runs = list[dict[str, Any]]


def real_open_lines(report: dict[str, Any]) -> list[str]:
    """Zero-shot by every reading, kinds, retrieval, transport, and what it took."""
    results: dict[str, Runs] = report["results"]
    lines = ["## Real radiographs with the pairs of Open-i", "", *missing(results)]
    for name, title in SETS.items():
        first = next(iter(results.values()))[0][name]
        counted = f"{len(first['per_kind'])} kinds with at least 10 images with and without it"
        lines += [f"### {title}", "", f"{first['images']} images, split {first['split']}, prompts {first['prompts']}, "
                  f"preprocessing {first['preprocessing']}; {counted}.", ""]  # fmt: skip
        lines += [zero_shot(results, name), "", *(kinds(results, name) if len(first["per_kind"]) > 1 else [])]
    lines += ["### Retrieval on Open-i, held-out patients", "", RETRIEVAL, "", retrieval(results), ""]
    lines += ["### Thresholds from set to set", "", TRANSPORT, "", transport(results), "", *cost(results)]
    return [*lines, made_with(report), ""]


def missing(results: dict[str, Runs]) -> list[str]:
    """What of the trial has not been run."""
    wanted = []
    for name, title in NAMES.items():
        done = {run["seed"] for run in results.get(name, [])}
        if left := [str(seed) for seed in SEEDS if seed not in done]:
            wanted.append(f"{title} (seeds {', '.join(left)})")
    if not wanted:
        return []
    return [f"Not run yet: {'; '.join(wanted)}. `make real-open` runs what is missing.", ""]


RETRIEVAL = (
    "P@10: share of the first 10 that share a tagged kind with the query. P@10 over kinds: share of the first 10 with "
    "the query's kind, mean over the kinds with at least 10 queries. Beside them what one ranking gives to all "
    "queries: candidates by the frequency of their most frequent kind, and by the sum over their kinds. In brackets "
    "95 % intervals over patients, first seed; figures are means over the seeds."
)
TRANSPORT = (
    "A threshold for 95 % sensitivity is chosen on one test part and used on the other, for every kind with at least "
    "10 images with and without it on both; XLIP, means over kinds and seeds."
)


def spread(values: list[float], digits: int = 3) -> str:
    """Mean, and the standard deviation where there are several."""
    deviation = f" (s.d. {statistics.stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def span(bounds: list[float]) -> str:
    """`0.700 to 0.800`."""
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def zero_shot(results: dict[str, Runs], name: str) -> str:
    """A row for each variant: seeds, macro AUROC by the pair with its interval, and by the other readings."""
    rows = []
    for variant, runs in results.items():
        found = [run[name] for run in runs]
        cells = [
            spread([one["readings"][key]["macro_auroc"] for one in found]) if key in found[0]["readings"] else "-"
            for key in READINGS
        ]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        rows.append([NAMES[variant], seeds, *cells, span(found[0]["macro_ci95"])])
    header = ["trained on", "seeds", *READINGS.values(), "PNC, 95 % over patients, first seed"]
    return markdown_table(header, rows)


def kinds(results: dict[str, Runs], name: str) -> list[str]:
    """AUROC of each kind by the pair, mean over the seeds."""
    first = next(iter(results.values()))[0][name]["per_kind"]
    rows = [
        [kind, str(one["positives"])]
        + [f"{statistics.mean(run[name]['per_kind'][kind]['auroc'] for run in runs):.3f}" for runs in results.values()]
        for kind, one in first.items()
    ]
    return [markdown_table(["kind", "positives", *(NAMES[name] for name in results)], rows), ""]


def retrieval(results: dict[str, Runs]) -> str:
    """Both directions of each variant, then the rankings by frequency."""
    rows = []
    for direction, title in (("image_to_text", "image to report"), ("text_to_image", "report to image")):
        for variant, runs in results.items():
            found = [run["retrieval"][direction] for run in runs]
            recalls = [f"{statistics.mean(one['recall'][k]['mean'] for one in found):.3f}" for k in ("1", "5", "10")]
            recalls[-1] += f" ({span(found[0]['recall']['10']['ci95'])})"
            shared = statistics.mean(one["kind_precision"]["10"] for one in found)
            over = statistics.mean(one["precision_over_kinds"]["10"]["mean"] for one in found)
            rows.append([
                f"{NAMES[variant]}, {title}", *recalls,
                f"{shared:.3f} ({span(found[0]['kind_precision_ci95']['10'])})",
                f"{over:.3f} ({span(found[0]['precision_over_kinds']['10']['ci95'])})",
            ])  # fmt: skip
    one = next(iter(results.values()))[0]["retrieval"]["image_to_text"]["by_frequency"]
    for name, title in (("largest", "most frequent kind"), ("sum", "sum over kinds")):
        recalls = [f"{one[name]['recall'][k]:.3f}" for k in ("1", "5", "10")]
        rows.append([f"ranking by frequency, {title}", *recalls, f"{one[name]['kind_precision']['10']:.3f}",
                     f"{one[name]['precision_over_kinds']['10']:.3f}"])  # fmt: skip
    return markdown_table(["ranking", "R@1", "R@5", "R@10", "P@10", "P@10 over kinds"], rows)


def transport(results: dict[str, Runs]) -> str:
    """From every set to every other."""
    runs = results.get("xlip") or next(iter(results.values()))
    rows = []
    for number, first in enumerate(runs[0]["transport"]):
        parts = [run["transport"][number]["sensitivity 95"] for run in runs]
        kept, count = sum(one["carries"] for one in parts), len(first["kinds"]) * len(runs)
        cells = [f"{statistics.mean(one[name] for one in parts):.3f}" for name in ("sensitivity", "specificity")]
        rows.append([f"{first['from']} to {first['to']}", ", ".join(first["kinds"]), *cells, f"{kept} of {count}"])
    return markdown_table(["from, to", "kinds", "sensitivity", "specificity", "keep 95 %"], rows)


def cost(results: dict[str, Runs]) -> list[str]:
    """What the trainings took."""
    rows = [
        [NAMES[variant], str(runs[0]["steps"])]
        + [
            f"{statistics.mean(run[part]['cpu_seconds'] for run in runs) / 60:.1f}"
            for part in ("training", "evaluation")
        ]
        + [f"{max(run['training']['peak_mb'] for run in runs)}"]
        for variant, runs in results.items()
    ]
    header = ["trained on", "steps", "training, CPU minutes a seed", "evaluation, CPU minutes", "MB at most"]
    return [markdown_table(header, rows), ""]

"""From the cells of a grid to a table: means over seeds, and paired differences from the reference with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlip.ablation.plan import Plan
from xlip.files import write_whole
from xlip.metrics.auroc import auroc
from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers
from xlip.metrics.kinds import has_enough
from xlip.pages.page import Page

Array = np.ndarray[Any, Any]
Reader = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Done:
    """A cell that was trained and measured."""

    variant: str
    seed: int
    told: Mapping[str, Any]
    """The content of its `cell.json`."""
    scores: Array
    """(n, K)."""
    labels: Array
    """(n, K): 1, 0, -1."""
    patients: Array
    """(n,)."""


def _read(*path: str) -> Reader:
    def reader(told: Mapping[str, Any]) -> Any:
        value: Any = told
        for name in path:
            value = value[name]
        return value["mean"] if isinstance(value, Mapping) else value

    return reader


_MAPS, _HALF, _WORDS = ("interaction", "maps"), ("interaction", "reconstruction", "half"), ("interaction", "words")
FIGURES: dict[str, Reader] = {
    "zero-shot": _read("macro_auroc"),
    "pointing": _read(*_MAPS, "pointing"),
    "cell AUROC": _read(*_MAPS, "cell_auroc"),
    "mask enrichment 1/4": _read(*_MAPS, "mask_enrichment_quarter"),
    "mask enrichment 1/2": _read(*_MAPS, "mask_enrichment_half"),
    "present/absent": _read(*_MAPS, "present_against_absent"),
    "gain over wrong text": _read(*_HALF, "gain_over_wrong_share"),
    "gain over no text": _read(*_HALF, "gain_over_none_share"),
    "error outside": _read(*_HALF, "error_outside_right"),
    "finding top-1": _read(*_WORDS, "finding", "top1_right"),
    "finding top-1, wrong image": _read(*_WORDS, "finding", "top1_shuffled"),
    "side top-1": _read(*_WORDS, "side", "top1_right"),
    "side top-1, wrong image": _read(*_WORDS, "side", "top1_shuffled"),
    "left/right": _read("interaction", "left_against_right_effusion"),
    "CPU s": _read("cpu_seconds"),
}


def write_tables(plan: Plan, done: Sequence[Done], out: Path, *, replicates: int) -> Path:
    """Write `table.parquet` (a row for each cell and figure), `table.md` and `index.html`; returns the last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    long = [
        {"variant": one.variant, "seed": one.seed, "figure": name, "value": reader(one.told)}
        for one in done
        for name, reader in FIGURES.items()
    ]
    out.mkdir(parents=True, exist_ok=True)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(long), sink)
    write_whole(out / "table.parquet", sink.getvalue().to_pybytes())
    header = table_header(plan)
    rows = list(table_rows(plan, done, replicates))
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    note = (
        f"{len(done)} of {len(plan.cells)} cells. Means over seeds, in brackets their standard deviation. The "
        "difference is paired: bootstrap over seeds and, in each, over patients, the same for both variants."
    )
    write_whole(out / "table.md", ("\n".join([note, "", *lines]) + "\n").encode())
    Page("Ablation").text(note, note=True).table(header, rows).write(out / "index.html")
    return out / "index.html"


def table_header(plan: Plan) -> tuple[str, ...]:
    """What stands above the columns of `table_rows`."""
    return ("variant", "seeds", *FIGURES, f"zero-shot less {plan.reference}", "95 % interval", "p")


def table_rows(plan: Plan, done: Sequence[Done], replicates: int) -> list[list[str]]:
    """A row for each variant that has a cell."""
    by_variant = {name: [one for one in done if one.variant == name] for name in plan.variants}
    rows = []
    for name, cells in by_variant.items():
        if not cells:
            continue
        figures = [_mean_and_spread([reader(one.told) for one in cells]) for reader in FIGURES.values()]
        compared = ["", "", ""]
        if name != plan.reference and (pairs := paired(cells, by_variant[plan.reference])):
            difference, (low, high), p = paired_difference(pairs, replicates=replicates)
            compared = [f"{difference:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{p:.3f}"]
        rows.append([name, str(len(cells)), *figures, *compared])
    return rows


def paired(cells: Sequence[Done], reference: Sequence[Done]) -> list[tuple[Done, Done]]:
    """Cells of a variant with those of the reference of the same seed."""
    by_seed = {one.seed: one for one in reference}
    return [(one, by_seed[one.seed]) for one in cells if one.seed in by_seed]


def paired_difference(
    pairs: Sequence[tuple[Done, Done]], *, replicates: int, seed: int = 0
) -> tuple[float, tuple[float, float], float]:
    """Mean over seeds of the difference of macro AUROCs, its 95 % interval and a two-sided bootstrap p.

    A replicate draws seeds with replacement and, within each, patients with replacement; both variants of a pair are
    measured on the same draw. Kinds with fewer than `MIN_CASES` of either class are left out.
    """
    measured = [_macro_difference(a, b, np.ones((1, len(a.patients))))[0] for a, b in pairs]
    drawn = np.stack([_drawn_differences(a, b, replicates, seed + number) for number, (a, b) in enumerate(pairs)])
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(pairs), (replicates, len(pairs)))
    sample = drawn[chosen, np.arange(replicates)[:, None]].mean(1)
    if not np.isfinite(sample).any():
        return float("nan"), interval(sample), float("nan")
    tail = min((sample <= 0).sum(), (sample >= 0).sum())
    return float(np.mean(measured)), interval(sample), min(1.0, 2 * (int(tail) + 1) / (replicates + 1))


def _drawn_differences(a: Done, b: Done, replicates: int, seed: int) -> Array:
    numbers, count = patient_numbers(a.patients)
    draws = patient_draws(count, replicates, seed, cases=len(numbers))
    return np.concatenate([_macro_difference(a, b, draw[:, numbers]) for draw in draws])


def _macro_difference(a: Done, b: Done, weights: Array) -> Array:
    found = []
    for k in range(a.labels.shape[1]):
        labels = a.labels[:, k]
        if has_enough(int((labels == 1).sum()), int((labels == 0).sum())):
            found.append(auroc(labels, a.scores[:, k], weights) - auroc(labels, b.scores[:, k], weights))
    with np.errstate(invalid="ignore"):
        return np.nanmean(np.stack(found), 0) if found else np.full(len(weights), np.nan)


def _mean_and_spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ({np.std(known, ddof=1):.3f})" if len(known) > 1 else ""
    return f"{np.mean(known):.3f}{spread}"

"""The section of docs/results.md that shows docs/data/ablation_phantom.json."""

from __future__ import annotations

from typing import Any

from facts import made_with
from xlip.markdown import markdown_table

SHOWN = {
    "zero-shot": "zero-shot",
    "zero-shot less xlip": "less xlip",
    "95 % interval": "95 %",
    "p": "p",
    "pointing": "pointing",
    "cell AUROC": "cells",
    "mask enrichment 1/4": "masks 1/4",
    "gain over wrong text": "right over wrong text",
    "gain over no text": "right over no text",
    "error outside": "error outside",
    "finding top-1": "finding words",
    "finding top-1, wrong image": "with a wrong image",
    "CPU s": "CPU s",
}
"""Figure -> the head of its column."""
NOTE = (
    "Means over seeds of data and initialisation, in brackets their standard deviation; `less xlip` is paired, its "
    "interval and p by bootstrap over seeds and, in each, over phantoms. What each figure is: docs/method.md, 5; half "
    "of the patches hidden."
)


def ablation_lines(report: dict[str, Any]) -> list[str]:
    """One row a variant."""
    places = [report["header"].index(name) for name in SHOWN]
    rows = [[row[0], row[1], *(row[place] for place in places)] for row in report["rows"]]
    table = markdown_table(("variant", "seeds", *SHOWN.values()), rows)
    size = f"{report['cells']} trainings, {report['cpu_seconds'] / 60:.0f} minutes of processor time"
    return [f"## Ablation on phantoms: {report['plan']}", "", NOTE, "", table, "", made_with(report, size), ""]

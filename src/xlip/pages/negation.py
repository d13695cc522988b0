"""Denials on a page: the positive prompts alone, the negative ones alone, the pair, and 'no X'."""

from __future__ import annotations

from collections.abc import Mapping

from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import bars, readable
from xlip.results.figures import READING_TITLES, Negation, ReadingFigures, ZeroShotFigures
from xlip.results.result import Result

HEADER = tuple(cell for name in READING_TITLES.values() for cell in (name, "95 % interval"))
MEANING = (
    "POS ranks the images by the positive prompts alone, NEG by the negative ones alone with the least similar image "
    "first, PNC by the pair, 'no X' by the plain denial alone with the least similar image first. All are AUROCs for "
    "the presence of the finding, so 1 is right in every column; below 0.5 a denial looks most like what it denies."
)


def negation(page: Page, result: Result) -> None:
    """Every reading of every finding, and of the other prompt sets."""
    found = result.figures.negation if isinstance(result.figures, ZeroShotFigures) else None
    if not found:
        return
    first = next(iter(found.values()))
    page.heading("Does it understand a denial?")
    page.text(verdict(first))
    series = {title: _areas(getattr(first, name)) for name, title in READING_TITLES.items() if getattr(first, name)}
    kinds = list(first.pnc.per_kind)
    page.figure(
        bars(kinds, {title: [areas.get(kind) for kind in kinds] for title, areas in series.items()}, label="AUROC"),
        "AUROC of each finding by each reading of the prompts; the dotted line is guessing.",
    )
    page.text(MEANING, note=True)
    page.table(("finding", *HEADER), kind_rows(first))
    if len(found) > 1:
        page.table(("prompt set, macro mean", *HEADER), set_rows(found))


def kind_rows(found: Negation) -> list[tuple[str, ...]]:
    """One row per kind, and the macro mean."""
    rows = [(readable(kind), *_cells(found, kind)) for kind in found.pnc.per_kind]
    return [*rows, ("macro", *_cells(found, ""))]


def set_rows(found: Mapping[str, Negation]) -> list[tuple[str, ...]]:
    """The macro mean of each prompt set."""
    return [(name, *_cells(one, "")) for name, one in found.items()]


def verdict(found: Negation) -> str:
    """In words: which readings rank the wrong way round, or which is the best."""
    macro = {title: getattr(found, name).macro_auroc for name, title in READING_TITLES.items() if getattr(found, name)}
    known = {title: value for title, value in macro.items() if value is not None}
    if not known:
        return "No finding has enough images to be measured."
    said = ", ".join(f"{title} {number(value)}" for title, value in known.items())
    wrong = [title for title, value in known.items() if value < 0.5]
    if not wrong:
        return f"Macro AUROC: {said}. Each reading ranks the right way round."
    return f"Macro AUROC: {said}. {' and '.join(wrong)} rank the images the wrong way round."


def _cells(found: Negation, kind: str) -> list[str]:
    """Value and interval of each reading, of a kind or ('') of the macro mean."""
    cells = []
    for name in READING_TITLES:
        one: ReadingFigures | None = getattr(found, name)
        if one is None or (kind and kind not in one.per_kind):
            cells += ["-", "-"]
            continue
        area = (one.per_kind[kind].auroc, one.per_kind[kind].ci95) if kind else (one.macro_auroc, one.macro_ci95)
        cells += [number(area[0]), span(*area[1])]
    return cells


def _areas(reading: ReadingFigures) -> dict[str, float | None]:
    return {kind: one.auroc for kind, one in reading.per_kind.items()}

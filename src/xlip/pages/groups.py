"""Subgroups and the long tail on a page: sex, age, view and source, and how rare kinds fare."""

from __future__ import annotations

from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import dots, readable
from xlip.results.figures import Classification, GroupFigures

GROUP_HEADER = ("group", "macro AUROC", "95 % interval", "all, same kinds", "difference", "kinds", "images", "patients")
BAND_HEADER = ("how frequent", "macro AUROC", "macro AUPRC", "kinds")
BANDS = {"head": "on more than 10 %", "medium": "on 1 to 10 %", "tail": "on less than 1 %"}


def subgroups(page: Page, figures: Classification) -> None:
    """Every group with its interval and size, as dots and as a table; the worst one is named."""
    rows = group_rows(figures)
    if not rows:
        return
    page.heading("Does it serve every group?")
    page.text(worst_group_words(figures) or "No group has a kind with enough cases to be measured.")
    named = _named(figures)
    page.figure(
        dots(
            [f"{name} ({group.images:,})" for name, group in named],
            [group.macro_auroc for _, group in named],
            [group.macro_ci95 for _, group in named],
            [group.whole_macro_auroc for _, group in named],
        ),
        "Macro AUROC of each group with its 95 % interval, over the kinds with enough cases in it; in brackets the "
        "images of the group. The gray bar is the macro AUROC of all images over the same kinds.",
    )
    page.table(GROUP_HEADER, rows)
    page.text(
        "Groups differ in which kinds have at least 10 images with and without them, so each stands beside all images "
        "over the same kinds. The intervals are of the groups alone; no difference here is a test.",
        note=True,
    )


def long_tail(page: Page, figures: Classification) -> None:
    """Means over frequent, middling and rare kinds."""
    tail = figures.long_tail
    if tail is None or not figures.counted:
        return
    page.heading("Do rare findings fare as well?")
    rows = []
    for name, words in BANDS.items():
        band = getattr(tail, name)
        kinds = ", ".join(map(readable, band.kinds)) or "none with enough cases"
        rows.append(
            (f"{words} of the {tail.counted_in} images", number(band.macro_auroc), number(band.macro_auprc), kinds)
        )
    page.table(BAND_HEADER, rows, words=(3,))


def group_rows(figures: Classification) -> list[tuple[str, ...]]:
    """One row per group, in words."""
    return [
        (
            name,
            number(group.macro_auroc),
            span(*group.macro_ci95),
            number(group.whole_macro_auroc),
            "-" if group.gap is None else f"{group.gap:+.3f}",
            str(len(group.kinds)),
            f"{group.images:,}",
            f"{group.patients:,}",
        )
        for name, group in _named(figures)
    ]


def worst_group_words(figures: Classification) -> str:
    """The group that lies furthest below all images over the same kinds; '' where no group could be measured."""
    found = figures.worst_group()
    if found is None:
        return ""
    variable, group = found
    gap = group.gap or 0.0
    if gap >= 0:
        return f"No group lies below all images over the same kinds; the least far above is {variable} {group.value}."
    return (
        f"The worst group is {variable} {group.value} ({group.images:,} images): macro AUROC "
        f"{number(group.macro_auroc)} (95 % interval {span(*group.macro_ci95)}), {-gap:.3f} below that of all images "
        "over the same kinds."
    )


def _named(figures: Classification) -> list[tuple[str, GroupFigures]]:
    return [
        (f"{variable} {group.value}", group)
        for variable, groups in (figures.subgroups or {}).items()
        for group in groups
    ]

"""The page of `xlip probe`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xlip.evaluate.interaction_run import HEADER, table
from xlip.pages.page import Page

SECTIONS = {
    "maps": (
        "Maps and masks",
        "Phantoms with one finding: does the map of the finding's kind fall on it? Enrichment is the share of the "
        "finding that the hottest cells (or a mask drawn for training) hide, divided by the share of all cells that "
        "they are; 1 is chance. Present against absent: AUROC of a map's maximum, over all phantoms.",
    ),
    "reconstruction": (
        "Reconstruction with the right text, a wrong one and none",
        "Squared error of hidden pixels, inside the finding (all of it hidden where the ratio allows) and outside. The "
        "wrong text is the report of a phantom with another finding.",
    ),
    "words": (
        "Hidden words with the right image, another one and none",
        "Top-1 and cross-entropy (nats) of the hidden words: those of the finding, and left or right.",
    ),
}


def write_interaction(figures: Mapping[str, Any], folder: Path) -> Path:
    """Write `interaction.html` into a folder."""
    page = Page("Does the text reach the image, and the image the text?").text(str(figures["notice"]), note=True)
    file = folder / "interaction.html"
    interaction_tables(page, figures).write(file)
    return file


def interaction_tables(page: Page, figures: Mapping[str, Any]) -> Page:
    """A table of each part, below words that say what it means."""
    for name, (title, words) in SECTIONS.items():
        page.subheading(title).text(words, note=True).table(HEADER, list(table(figures[name])))
    page.subheading("Left against right")
    page.text("AUROC of 'left pleural effusion' against 'right pleural effusion', zero-shot, on effusions of one side.")
    sides = {"left against right effusion": figures["left_against_right_effusion"]}
    return page.table(HEADER, list(table(sides)))

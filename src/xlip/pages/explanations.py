"""The page of `xlip explain`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xlip.pages.page import Page

SHOWN = 50
"""Films on a page; the others are in the folder."""
HOW = {
    "response": "The maps are the model's own response: how much each place speaks for the words, by which training "
    "chooses what to hide.",
    "occlusion": "The maps are what the score's logit loses when a part of the film is blurred.",
}
HEADER = ("words", "kind", "score", "threshold", "found", "highest value of the map", "boxes")


def write_explanations(result: Mapping[str, Any], out: Path) -> Path:
    """Write `index.html` beside the pictures of `xlip explain`."""
    scale, films = result["scale"], result["films"]
    page = Page("Where the model sees it").text(result["notice"], note=True)
    page.text(
        f"{HOW[result['how']]} One scale for every film and all words: {scale['low']:g} {scale['unit']} and below have "
        f"no colour, red to yellow goes up to {scale['high']:g}. Where the score is below the threshold the finding "
        "counts as not found, and nothing is coloured."
    )
    page.text(f"Thresholds: {result['abstention']['chosen_on']}.", note=True)
    if len(films) > SHOWN:
        page.text(f"The first {SHOWN} of {len(films)} films; the others are in explanations.json and maps/.", note=True)
    for number, film in enumerate(films[:SHOWN], 1):
        page.heading(f"Film {number}: {film['id']}")
        if film["warning"]:
            page.text(f"Do not trust this: {film['warning']}.")
        page.table(HEADER, [_cells(one) for one in film["explanations"]], words=(0, 1))
        maps = [((out / one["picture"]).read_bytes(), _caption(one)) for one in film["explanations"]]
        page.row([((out / film["picture"]).read_bytes(), "the film as the model sees it"), *maps])
    if result["left_out"]:
        page.heading("Left out")
        page.table(("image", "reason"), result["left_out"], words=(1,))
    page.text(
        f"checkpoint {result['checkpoint']}, preprocessing {result['preprocessing']}, prompts {result['prompts']}",
        note=True,
    )
    file = out / "index.html"
    page.write(file)
    return file


def _caption(one: Mapping[str, Any]) -> str:
    return f"{one['text']}: {'score' if one['found'] else 'not found, score'} {one['score']:.2f}"


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (f"{one[name]:.3f}" for name in ("score", "threshold"))
    found = ("yes" if one["found"] else "no") + (" (denied by the text)" if one["denied"] else "")
    return (one["text"], one["kind"], *numbers, found, f"{one['peak']:.2f}", str(len(one["boxes"])))

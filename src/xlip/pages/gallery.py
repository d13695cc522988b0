"""Best and worst cases of each kind, with the parts that speak for the kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.cases import Case
from xlip.evaluate.measured import arrays_of
from xlip.explain.explanation import SPANS
from xlip.explain.occlusion import occlusion
from xlip.images.any_form import square
from xlip.pages.page import Page
from xlip.pages.plots import Panel, panel_grid, readable
from xlip.results.result import Predictions, Result
from xlip.runtime.encoder import Encoder
from xlip.runtime.scores import prompt_pairs
from xlip.study.prompts import PromptSet

if TYPE_CHECKING:
    from xlip.evaluate.adapter import ImageTextModel

Array = np.ndarray[Any, Any]
LOCAL_SPAN = SPANS["response"]
"""Range of a local map's colours, in logits: one scale for all images and kinds."""


@dataclass(frozen=True)
class Shown:
    """A case that a page shows for a kind."""

    kind: str
    role: str
    """found: highest score of those with the finding; missed: lowest of these; false alarm: highest of the rest."""
    study_id: str
    score: float


OCCLUSION_WORDS = (
    "how much of the cosine to its positive prompts, less that to its negative ones, is lost when a cell of the image "
    "is blurred. Coloured is what is above zero and above the image's median, up to its maximum (yellow); the numbers "
    "are its range, so the colours of two images are not on one scale."
)
LOCAL_WORDS = (
    "the local head's answer to its positive prompts, less that to its negative ones, in logits, by which masks are "
    f"drawn in training too. All images share one scale, from {LOCAL_SPAN[0]:g} (none) to {LOCAL_SPAN[1]:g} (yellow); "
    "the numbers are the range of the image."
)


@dataclass(frozen=True)
class Gallery:
    """Pictures of the cases, ready for a page."""

    rows: tuple[tuple[str, str, bytes], ...]
    """(kind, caption, picture of its cases: image and heat-map side by side)."""
    missing: int = 0
    """Cases whose image was not in the data."""
    local: bool = False
    """Whether the maps are those of a local head, on one scale."""


def choose(predictions: Predictions) -> list[Shown]:
    """For each kind with both classes: its best and its worst case, and its worst false alarm.

    Scores of different kinds are not on one scale, so cases are ranked within a kind. The lowest-scoring image with
    the finding is left out where it is also the highest-scoring (one positive).
    """
    chosen = []
    for index, kind in enumerate(predictions.kinds):
        labels, scores = predictions.labels[:, index], predictions.scores[:, index]
        positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
        if not len(positives) or not len(negatives):
            continue
        best, worst = positives[scores[positives].argmax()], positives[scores[positives].argmin()]
        alarm = negatives[scores[negatives].argmax()]
        roles = {"found": best, **({"missed": worst} if worst != best else {}), "false alarm": alarm}
        chosen += [Shown(kind, role, predictions.study_ids[row], float(scores[row])) for role, row in roles.items()]
    return chosen


def draw(model: ImageTextModel | Encoder, cases: Iterable[Case], shown: Sequence[Shown], prompts: PromptSet) -> Gallery:
    """Read the chosen cases, one pass over the data, and draw each beside its heat-map.

    Raises:
        XLIPError: none of the chosen cases is in the data: it is another set than the one that was evaluated.
    """
    wanted = {one.study_id for one in shown}
    encoder = arrays_of(model)
    pixels = dict(_pixels(cases, wanted, encoder.image_size, encoder.preprocess))
    if shown and not pixels:
        raise XLIPError(
            f"none of the {len(wanted)} cases to show, such as {shown[0].study_id}, is in the data; "
            "name the set that was evaluated with --data"
        )
    kinds = list(dict.fromkeys(one.kind for one in shown))
    maps, local = _maps(encoder, pixels, prompt_pairs(encoder.encode_texts, prompts, kinds)), encoder.has_maps
    rows = []
    for number, kind in enumerate(kinds):
        present = [one for one in shown if one.kind == kind and one.study_id in pixels]
        if present:
            caption = "; ".join(f"{one.role}: {one.study_id}" for one in present)
            heat = {study: of_kinds[number] for study, of_kinds in maps.items()}
            panels = _panels(present, pixels, heat, LOCAL_SPAN if local else None)
            rows.append((kind, caption, panel_grid([panels])))
    return Gallery(tuple(rows), sum(one.study_id not in pixels for one in shown), local)


def section(page: Page, result: Result, gallery: Gallery) -> None:
    """The gallery as a section of a page."""
    if not gallery.rows:
        return
    page.heading("Best and worst cases")
    page.text(
        "For each finding the image with it that scored highest (found) and lowest (missed), and the image without "
        "it that scored highest (false alarm; the label may be at fault). Beside each, what speaks for the "
        f"finding: {LOCAL_WORDS if gallery.local else OCCLUSION_WORDS} No colour: nothing in the image speaks for the "
        "finding."
    )
    page.text("These are images of the evaluated data set; its terms apply to this page.", note=True)
    if result.evaluator != "zeroshot":
        page.text("The scores come from a trained classifier; the maps show the prompts of the model it started from.")
    for kind, caption, picture in gallery.rows:
        page.subheading(readable(kind)).figure(picture, caption)
    if gallery.missing:
        page.text(f"{gallery.missing} cases are not shown, their images were not found.", note=True)


def _pixels(cases: Iterable[Case], wanted: set[str], size: int, preprocess: str) -> Iterator[tuple[str, Array]]:
    """(study id of the scores, uint8 (size, size)) of the wanted cases that can be read."""
    for case in cases:
        # Scores of a study over its views go by the id without the view.
        names = [name for name in (case.study_id, case.study_id.rpartition("/")[0]) if name in wanted]
        if names and case.image is not None:
            try:
                yield names[0], square(case.image, size, preprocess)
            except XLIPError:
                continue  # it is counted as missing


def _maps(encoder: Encoder, pixels: dict[str, Array], pairs: Array) -> dict[str, Array]:
    """The maps of all kinds in each image, (K, rows, columns): an image shown for several kinds is encoded once.

    Those of the local head where the model has one, else by occlusion. `pairs`: (K, 2, E).
    """
    if not pixels:
        return {}
    squares = np.stack(list(pixels.values()))
    if encoder.has_maps:
        return dict(zip(pixels, encoder.maps(squares, pairs[:, 0]), strict=True))

    def cosines(images: Array) -> Array:
        found = encoder.encode_squares(np.rint(images).astype(np.uint8)) @ (pairs[:, 0] - pairs[:, 1]).T
        return np.asarray(found, np.float32)

    return dict(zip(pixels, np.moveaxis(occlusion(cosines, squares.astype(np.float32)), -1, 1), strict=True))


def _panels(
    shown: Sequence[Shown],
    pixels: dict[str, Array],
    maps: dict[str, Array],
    span: tuple[float, float] | None,
) -> list[Panel]:
    panels = []
    for one in shown:
        panels += [
            Panel(pixels[one.study_id], f"{one.role}\nscore {one.score:.3f}"),
            Panel(pixels[one.study_id], "what speaks for it", heat=maps[one.study_id], span=span),
        ]
    return panels

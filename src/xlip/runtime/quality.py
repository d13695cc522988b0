"""Whether a picture can be judged at all: blank, inverted and other than frontal chest films are kept out, by name."""

from __future__ import annotations

from xlip.images.gray import Gray
from xlip.images.plausible import fault, sampled
from xlip.images.view_classifier import view_probabilities

SMALLEST = 32
"""Pixels: nothing can be said of a picture with a shorter side."""
FRONTAL_VIEWS = frozenset({"PA", "AP", "FRONTAL"})
DOUBTFUL, REFUTED = 0.5, 0.05
"""Probability of a frontal view below which a picture is refused: without a word from its header, and against it."""
INVERTED = "picture may be inverted"


def judge(image: Gray, view: str = "") -> str:
    """Why a picture is no frontal chest radiograph that a model can be asked about; '' where nothing speaks against it.

    Rates of both errors on public sets, whole and inverted, stand in `docs/quality.json` (`bench/quality.py`).

    Args:
        image: uint8 (H, W), black is 0.
        view: what header or table say of it (PA, AP, FRONTAL, LATERAL), '' for nothing. A frontal view is believed
            unless the picture contradicts it clearly; a lateral one always.

    Returns:
        One line; the words before the first `: ` name the kind of fault, and hold no number.
    """
    if min(image.shape) < SMALLEST:
        return f"picture is too small: {image.shape[1]} x {image.shape[0]} pixels, {SMALLEST} are the least"
    said = view.strip().upper()
    if said and said not in FRONTAL_VIEWS:
        return f"not a frontal chest film: the view is said to be {said.lower()}"
    reason = fault(sampled(image))
    if reason and not reason.startswith(INVERTED):
        return reason
    least = REFUTED if said else DOUBTFUL
    # An inverted film is one whose negative is a frontal film; anything else that looks inverted is no such film.
    found = view_probabilities(255 - image if reason else image)
    if found["frontal"] < least:
        best = max(found, key=lambda name: found[name])
        taken = f"taken for {best}" if best != "frontal" else "hardly taken for frontal"
        return f"not a frontal chest film: {taken} by the classifier ({found[best]:.0%})"
    return reason

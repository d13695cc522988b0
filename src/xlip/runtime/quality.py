"""Whether a picture can be judged at all: blank, inverted and other than frontal chest films are kept out, by name."""

from __future__ import annotations

from xlip.images.familiar import strangeness
from xlip.images.gray import Gray
from xlip.images.plausible import faults, sampled, samples_of, upright
from xlip.images.view_classifier import view_probabilities

SMALLEST = 32
"""Pixels: nothing can be said of a picture with a shorter side."""
FRONTAL_VIEWS = frozenset({"PA", "AP", "FRONTAL"})
DOUBTFUL, REFUTED = 0.5, 0.05
"""Probabilities of a frontal view below which a picture is refused: where its header does not name the view, and where
it names a frontal one.
"""
STRANGEST = 0.2
"""Share of a picture's variance that may be like no film; chosen, as the others, by `bench/quality.py`."""
UPRIGHT = 1.0
"""Log odds that air is dark and bone bright, which a film of a chest exceeds."""
INVERTED = "picture may be inverted"


def judge(image: Gray, view: str = "") -> str:
    """Why a picture is no frontal chest radiograph that a model can be asked about; '' where nothing speaks against it.

    Rates of both errors on public sets, whole and inverted, stand in `docs/data/quality.json` (`bench/quality.py`).

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
    reason = faults([sampled(image)])[0]
    if reason and not reason.startswith(INVERTED):
        return reason
    # An inverted film is one whose negative is a frontal film; anything else that looks inverted is no such film.
    return _not_frontal(255 - image if reason else image, REFUTED if said else DOUBTFUL) or reason


def _not_frontal(image: Gray, least: float) -> str:
    found = view_probabilities(image)
    if found["frontal"] < least:
        best = max(found, key=lambda name: found[name])
        taken = f"taken for {best}" if best != "frontal" else "hardly taken for frontal"
        return f"not a frontal chest film: {taken} by the classifier ({found[best]:.0%})"
    if (share := strangeness(image)) > STRANGEST:
        return f"not a frontal chest film: {share:.0%} of what it shows is like no film ({STRANGEST:.0%} at most)"
    if float(upright(samples_of([sampled(image)]))[0]) < UPRIGHT:
        return "not a frontal chest film: bright and dark do not lie where a chest has them"
    return ""

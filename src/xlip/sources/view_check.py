"""A look at the picture where no header says which view it shows."""

from __future__ import annotations

from xlip.errors import XLIPError
from xlip.images.files import decode
from xlip.images.view_classifier import view_probabilities
from xlip.notices import notice
from xlip.study.record import Study

CERTAIN = 0.9
"""Probability from which the classifier is believed."""


def only_frontal(study: Study) -> Study:
    """The study, where the classifier takes its picture for a frontal view; it is noticed, for it is a guess.

    Raises:
        XLIPError: it takes it for another, or is not certain.
    """
    if study.image is None:
        return study
    found = view_probabilities(decode(study.image))
    best = max(found, key=lambda name: found[name])
    if best != "frontal" or found[best] < CERTAIN:
        raise XLIPError(
            f"view is {best if found[best] >= CERTAIN else 'unknown'}: by the classifier ({found[best]:.0%})"
        )
    notice("view was classified as frontal: the header does not say it")
    return study

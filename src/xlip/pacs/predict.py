"""From a film to a prediction, by any encoder."""

from __future__ import annotations

from collections.abc import Sequence

from xlip.errors import XLIPError
from xlip.explain.abstention import Rule
from xlip.explain.explanation import explain
from xlip.images.gray import Gray
from xlip.images.square import fit
from xlip.pacs.finding import Prediction
from xlip.runtime.encoder import Encoder
from xlip.study.kinds import NO_FINDING, canonical


def predict(encoder: Encoder, film: Gray, names: Sequence[str], prompts: str, rule: Rule | None = None) -> Prediction:
    """Scores and maps of kinds on one film, as `explain` gives them; the scale is its own.

    Args:
        encoder: any; without maps of its own they come from occlusion.
        film: uint8 (rows, columns).
        names: kinds or aliases.
        prompts: what stands for kinds.
        rule: when something counts as found; default: the shipped one.

    Raises:
        XLIPError: no kinds, an unknown one, No_Finding (which has no place in an image).
    """
    asked = [canonical(name) for name in names]
    if not asked or NO_FINDING in asked:
        raise XLIPError("--kinds: expected kinds of findings that can be somewhere, such as Effusion")
    square = fit(film, encoder.image_size, encoder.preprocess)
    return Prediction(explain(encoder, square, asked, prompts=prompts, rule=rule), encoder.preprocess, encoder.identity)

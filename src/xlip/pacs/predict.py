"""From a film to a prediction, by any encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlip.errors import XLIPError
from xlip.images.gray import Gray
from xlip.images.square import fit
from xlip.pacs.finding import Finding, Prediction
from xlip.runtime.encoder import Encoder
from xlip.runtime.scores import kind_scores, map_answers, prompt_pairs
from xlip.study.kinds import NO_FINDING, canonical, kinds
from xlip.study.prompts import load_prompts

THRESHOLD, SCALE = 0.5, (0.0, 8.0)


def predict(encoder: Encoder, film: Gray, names: Sequence[str], prompts: str) -> Prediction:
    """Scores and maps of kinds on one film.

    Args:
        encoder: with maps.
        film: uint8 (rows, columns).
        names: kinds or aliases.
        prompts: what stands for kinds.

    Raises:
        XLIPError: no kinds, No_Finding (which is nowhere), a model without maps.
    """
    asked = [canonical(name) for name in names]
    if not asked or NO_FINDING in asked:
        raise XLIPError("--kinds: expected kinds of findings that can be somewhere, such as Effusion")
    square = fit(film, encoder.image_size, encoder.preprocess)[None]
    pairs = prompt_pairs(encoder.encode_texts, load_prompts(prompts), asked)
    maps = encoder.maps(square, pairs[:, 0] - pairs[:, 1])
    added = encoder.local_share * map_answers(maps) if encoder.local_share else 0.0
    scores = kind_scores(encoder.encode_squares(square), pairs, encoder.scale, added)[0]
    made = [
        Finding(kinds()[kind].name, kind, float(score), THRESHOLD, np.asarray(heat), *SCALE, bool(score >= THRESHOLD))
        for kind, score, heat in zip(asked, scores, maps[0], strict=True)
    ]
    return Prediction(made, encoder.preprocess, encoder.identity)

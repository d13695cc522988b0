"""What the positive prompt, the negative one and 'no X' are worth alone: does a model understand a denial?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xlip.evaluate.cases import Case
from xlip.evaluate.classification import predictions_of
from xlip.metrics.kinds import kind_table
from xlip.results.figures import Negation, ReadingFigures
from xlip.results.result import Array, Predictions
from xlip.results.typed import Area
from xlip.runtime.encoder import Encoder
from xlip.runtime.scores import READINGS, plain_denials, reading_scores
from xlip.study.prompts import PromptSet

NO_X = "no_x"


def readings(
    model: Encoder,
    prompts: PromptSet,
    cases: Sequence[Case],
    images: Array,
    classifier: Array,
    kinds: Sequence[str],
    added: Array | float = 0.0,
) -> dict[str, Predictions]:
    """The scores of every reading of a prompt set, and of `no_x`: each rises with the presence of a kind.

    Args:
        model: encodes 'no X'.
        prompts: the set.
        cases: n of them.
        images: (n, E), L2-normalised.
        classifier: (K, 2, E), the set's `prompt_pairs`.
        kinds: K canonical names.
        added: (n, K), what the local term adds to the pair's logit.
    """
    scale = model.scale
    found = {
        name: predictions_of(cases, kinds, reading_scores(images, classifier, scale, name, added)) for name in READINGS
    }
    denied = [kind for kind in kinds if prompts.plain_denials(kind)]
    if denied:
        pairs = plain_denials(model.encode_texts, prompts, denied)
        found[NO_X] = predictions_of(cases, denied, reading_scores(images, pairs, scale, "neg"))
    return found


def negation(found: Mapping[str, Predictions], *, replicates: int, seed: int) -> Negation:
    """The figures of `readings`, intervals from the same draws of patients."""
    measured = {name: _figures(one, replicates, seed) for name, one in found.items()}
    return Negation(**measured)


def _figures(predictions: Predictions, replicates: int, seed: int) -> ReadingFigures:
    table = kind_table(predictions.labels, predictions.scores, predictions.patients, replicates=replicates, seed=seed)
    areas = map(Area.model_validate, ({"auroc": one.auroc, "ci95": one.ci95} for one in table.per_kind))
    return ReadingFigures(
        macro_auroc=table.macro_auroc,
        macro_ci95=table.macro_ci95,
        per_kind=dict(zip(predictions.kinds, areas, strict=True)),
    )

"""Zero-shot figures while a model trains, as a function that the training loop may call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xlip.errors import XLIPError
from xlip.evaluate.cases import open_cases
from xlip.evaluate.zeroshot import ZeroShot
from xlip.models.xlip import XLIPModel
from xlip.sources.source import is_table

if TYPE_CHECKING:
    from xlip.train.config import DuringTraining

VALIDATION = "val"


def training_evaluation(config: DuringTraining, prompts: str) -> Callable[[XLIPModel], dict[str, float]] | None:
    """A function from a model to `eval/macro_auroc` and `eval/auroc/KIND`; None where nothing is asked for.

    Figures that cannot be computed are left out. The model is in evaluation mode while it is measured and comes back as
    it was; no random number is drawn from the generators of the training.

    Raises:
        XLIPError: no data named, no such split, or no label in it, before training begins.
    """
    if not config.every:
        return None
    if not config.data:
        raise XLIPError(f"evaluate.every is {config.every}, but evaluate.data names no prepared set")
    split = "" if is_table(config.data) else config.split or VALIDATION
    open_cases(config.data, kinds=config.kinds, split=split)
    evaluator = ZeroShot(prompts=prompts, cache=False, replicates=1)

    def measure(model: XLIPModel) -> dict[str, float]:
        training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        try:
            figures = evaluator.run(model, open_cases(config.data, kinds=config.kinds, split=split)).kinds
        finally:
            model.train(training)
        if figures is None:
            return {}
        found = {"eval/macro_auroc": figures.macro_auroc}
        found |= {f"eval/auroc/{kind}": one.auroc for kind, one in figures.per_kind.items()}
        return {name: value for name, value in found.items() if value is not None}

    return measure

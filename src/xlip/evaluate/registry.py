"""Evaluators by name: what a suite file and `xlip evaluate` may ask for. One line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any, Protocol

from xlip.errors import XLIPError
from xlip.evaluate.cases import Cases
from xlip.models.xlip import XLIPModel
from xlip.results.result import Result

EVALUATORS = {
    "zeroshot": "xlip.evaluate.zeroshot:ZeroShot",
    "query": "xlip.evaluate.query:Query",
    "probe": "xlip.evaluate.probe:LinearProbe",
    "retrieval": "xlip.evaluate.retrieval:Retrieval",
    "grounding": "xlip.evaluate.grounding:Grounding",
    "chance": "xlip.evaluate.baselines:Chance",
    "prior": "xlip.evaluate.baselines:LabelPrior",
    "classify": "xlip.evaluate.classify:Classify",
    "finetune": "xlip.evaluate.finetuning:FineTuning",
}
"""Name -> module:class, a frozen dataclass of options that is an `Evaluator`; imported when it is used."""

NEEDS_WEIGHTS = ("finetune",)
"""Evaluators that train a copy of the model: they take an `XLIPModel`, not any model of images and texts."""


NEEDS_CLASSIFIER = ("classify",)
"""Evaluators of a fine-tuned classifier, which no other model can stand for."""


class Evaluator(Protocol):
    """The one interface: a frozen dataclass of options with a name and `run`."""

    @property
    def name(self) -> str:
        """Name in the registry and in suite files."""

    def run(self, model: XLIPModel, data: Cases) -> Result:
        """Evaluate a model on cases; images stream, memory does not grow with the set.

        Raises:
            XLIPError: nothing readable, no label, or a fault that the caller has to mend; a suite goes on.
        """


def evaluator_class(name: str) -> Any:
    """The class of an evaluator.

    Raises:
        XLIPError: no evaluator has this name.
    """
    if name not in EVALUATORS:
        raise XLIPError(f"unknown evaluator {name!r}; expected one of {', '.join(EVALUATORS)}")
    module, _, cls = EVALUATORS[name].partition(":")
    return getattr(import_module(module), cls)


def build_evaluator(name: str, options: Mapping[str, Any]) -> Evaluator:
    """An evaluator with its options; lists become tuples, as YAML knows no tuples.

    Raises:
        XLIPError: no evaluator has this name, an option that it does not have, or one that is missing.
    """
    cls = evaluator_class(name)
    known = [item.name for item in fields(cls)]
    for option in options:
        if option not in known:
            raise XLIPError(f"{name}: unknown option {option!r}; expected one of {', '.join(known)}")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    try:
        evaluator: Evaluator = cls(**given)
    except TypeError as error:
        raise XLIPError(f"{name}: {error}") from error
    return evaluator

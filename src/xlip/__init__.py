"""XLIP: medical vision-language pre-training from pairs, lone images and lone reports. Research use only."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xlip.models.auto import register_when_needed

__version__ = "0.2.0"
_PUBLIC = {
    "XLIPConfig": "xlip.models.configuration",
    "XLIPModel": "xlip.models.xlip",
    "XLIPProcessor": "xlip.batches.processor",
    "XLIPError": "xlip.errors",
    "Study": "xlip.study.record",
    "pretrain": "xlip.train.loop",
    "prepare": "xlip.preparation.run",
    "evaluate_zero_shot": "xlip.evaluate.zeroshot",
    "XLIPClassifier": "xlip.finetune.classifier",
    "ExportedModel": "xlip.runtime.exported",
}
__all__ = [
    "ExportedModel",
    "Study",
    "XLIPClassifier",
    "XLIPConfig",
    "XLIPError",
    "XLIPModel",
    "XLIPProcessor",
    "evaluate_zero_shot",
    "prepare",
    "pretrain",
]

if TYPE_CHECKING:
    from xlip.batches.processor import XLIPProcessor
    from xlip.errors import XLIPError
    from xlip.evaluate.zeroshot import evaluate_zero_shot
    from xlip.finetune.classifier import XLIPClassifier
    from xlip.models.configuration import XLIPConfig
    from xlip.models.xlip import XLIPModel
    from xlip.preparation.run import prepare
    from xlip.runtime.exported import ExportedModel
    from xlip.study.record import Study
    from xlip.train.loop import pretrain


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import: public names load when they are first used (PEP 562).
    if name not in _PUBLIC:
        raise AttributeError(f"module 'xlip' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


register_when_needed()

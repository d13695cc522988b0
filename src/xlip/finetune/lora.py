"""Low-rank adapters in the attention of the image tower, by way of peft (extra `lora`)."""

from __future__ import annotations

from typing import Any

from xlip.errors import XLIPError
from xlip.finetune.classifier import XLIPClassifier
from xlip.models.adapters import TARGETS
from xlip.models.towers import ImageTower


def add_adapters(classifier: XLIPClassifier, rank: int, alpha: int) -> None:
    """Put adapters into the tower, in place; they start at zero, so nothing changes until training does.

    Raises:
        XLIPError: peft is not installed, or the tower has none of the target layers.
    """
    peft = _peft()
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS)
    try:
        classifier.image_tower = peft.get_peft_model(classifier.image_tower, config)
    except ValueError as error:
        raise XLIPError(f"lora: no layer to adapt in this image tower ({error}); take --recipe.mode full") from error


def merge_adapters(classifier: XLIPClassifier) -> None:
    """Add the adapters to the weights that they adapt and remove them, in place: a plain tower, as fast as before."""
    wrapped: Any = classifier.image_tower
    merged = wrapped.merge_and_unload()
    assert isinstance(merged, ImageTower)
    classifier.image_tower = merged


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise XLIPError("lora: needs the package peft; install it with `pip install 'xlip[lora]'`") from error
    return peft

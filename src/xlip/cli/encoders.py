"""From what a user names to an encoder; torch is imported only where the model needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.runtime.encoder import Encoder


NUMBERS = ("auto", "fp32", "bf16")


def open_encoder(spec: str, precision: str = "fp32") -> Encoder:
    """The model of a run's folder, a saved model, a folder of `xlip export` (without torch), a hub id,
    `hf:NAME`, or `phantom`, the checkpoint of the package.

    Args:
        spec: which.
        precision: the numbers that images are encoded in, one of `NUMBERS`; `auto`: what this machine multiplies faster
            (for our own checkpoints; others are computed as they come).

    Raises:
        XLIPError: nothing usable there, or a precision that it cannot be computed in.
    """
    from xlip.runtime.export_facts import is_exported
    from xlip.shipped import encoder_place

    if precision not in NUMBERS:
        raise XLIPError(f"precision: expected one of {', '.join(NUMBERS)}; got {precision!r}")
    if is_exported(spec := encoder_place(spec)):
        from xlip.runtime.exported import ExportedModel

        if precision == "bf16":
            raise XLIPError(f"{spec}: an exported model computes in the numbers of its export; leave out bf16")
        return ExportedModel.open(spec)
    from xlip.evaluate.adapter import XLIPAdapter, load_model
    from xlip.evaluate.encoder import TorchEncoder
    from xlip.models.fast import fast_encoder

    model = load_model(spec)
    if precision != "fp32" and isinstance(model, XLIPAdapter):
        return TorchEncoder(model, fast_encoder(model.model, precision))
    if precision == "bf16":
        raise XLIPError(f"{spec}: bf16 is for checkpoints of xlip; leave it out")
    return TorchEncoder(model)

"""From what a user names to an encoder; torch is imported only where the model needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlip.runtime.encoder import Encoder


def open_encoder(spec: str) -> Encoder:
    """The model of a run's folder, a saved model, a folder of `xlip export` (without torch), a hub id,
    `hf:NAME`, or `phantom`, the checkpoint of the package.

    Raises:
        XLIPError: nothing usable there.
    """
    from xlip.runtime.export_facts import is_exported
    from xlip.shipped import encoder_place

    if is_exported(spec := encoder_place(spec)):
        from xlip.runtime.exported import ExportedModel

        return ExportedModel.open(spec)
    from xlip.evaluate.adapter import load_model
    from xlip.evaluate.encoder import TorchEncoder

    return TorchEncoder(load_model(spec))

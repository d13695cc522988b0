"""A checkpoint as a model, refused where its faults would only show in its scores."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from xlip.checksums import check_sums
from xlip.errors import XLIPError
from xlip.models.towers import folder_config
from xlip.models.xlip import XLIPModel
from xlip.shipped import model_place


def load_checked(path: str) -> XLIPModel:
    """The model of a folder, a hub id or `phantom`, all of whose weights are there and finite.

    Raises:
        XLIPError: nothing there, another architecture, weights that do not fit the config, are missing, not finite, or
            not those that were written.
    """
    path = model_place(path)
    _refuse_other_types(path)
    try:
        model = XLIPModel.from_pretrained(path)
    except XLIPError:
        raise
    except SafetensorError as error:
        raise XLIPError(f"{path}: the checkpoint's weights are damaged ({error}); train or fetch it again") from error
    except Exception as error:  # libraries share no base class of their faults; each is one of these files
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise XLIPError(
            f"{path}: the checkpoint cannot be loaded, the weights do not fit the architecture in its config.json "
            f"({reason}); copy or train it again"
        ) from error
    _refuse_missing_weights(path, model)
    _refuse_infinite_weights(path, model)
    check_sums(Path(path))
    return model


def _refuse_other_types(path: str) -> None:
    config = folder_config(path)
    if config is None:
        if Path(path).is_dir() and (Path(path) / "model.safetensors").exists():
            # The library would build a model of the default sizes.
            raise XLIPError(
                f"{path}: expected the config.json of a model beside its weights, found none; copy it again"
            )
        return  # a hub id, or nothing: loading says what is wrong
    found = config.get("model_type")
    if found != XLIPModel.config_class.model_type:
        raise XLIPError(
            f"{path}: a checkpoint of the architecture {found!r}, expected 'xlip'; "
            f"a CLIP or SigLIP checkpoint is named hf:{path}"
        )


def _refuse_missing_weights(path: str, model: XLIPModel) -> None:
    """Loading would draw missing weights at random, and only log it."""
    file = Path(path) / "model.safetensors"
    if not file.is_file():
        return
    with safe_open(str(file), framework="pt") as stored:
        found = sum(math.prod(stored.get_slice(name).get_shape()) for name in stored.keys())  # noqa: SIM118
    needed = sum(parameter.numel() for parameter in model.parameters())
    if found < needed:
        raise XLIPError(
            f"{path}: the checkpoint holds {found} weights, the architecture of its config.json needs {needed}; "
            "it is a checkpoint of another architecture"
        )


def _refuse_infinite_weights(path: str, model: XLIPModel) -> None:
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise XLIPError(f"{path}: the weights {name} hold NaN or infinite numbers; train it again")

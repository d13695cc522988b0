"""Any checkpoint of images and texts in one space of `transformers`, as evaluators see a model: `hf:NAME_OR_PATH`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.errors import XLIPError
from xlip.identity import checkpoint_id

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Where the checkpoint does not say."""


@dataclass(frozen=True)
class HuggingFaceModel:
    """A model with `get_image_features`, `get_text_features` and `logit_scale` (ALIGN: `temperature`), its tokenizer
    and its pixel scale.

    Images are made square by our own `preprocess` (clip where the checkpoint's processor crops the centre, else squash)
    and repeated over three channels; a softmax of two cosines needs no logit bias, so SigLIP's is left out.
    """

    model: Any
    tokenizer: Any
    identity: str
    image_size: int
    preprocess: str
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    padding: bool | str = True

    @classmethod
    def load(cls, name: str) -> HuggingFaceModel:
        """From a folder or a hub id.

        Raises:
            XLIPError: nothing there, or no model of images and texts in one space.
        """
        from transformers import AutoModel, AutoTokenizer

        _refuse_other_formats(name)
        try:
            model = AutoModel.from_pretrained(name).eval()
            tokenizer = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise XLIPError(f"hf:{name}: cannot be loaded by transformers ({reason})") from error
        for needed in ("get_image_features", "get_text_features"):
            if not hasattr(model, needed):
                raise _other(name, model, needed)
        if _scale_of(model) is None:
            raise _other(name, model, "logit_scale")
        vision = getattr(model.config, "vision_config", None)
        if vision is None or not isinstance(getattr(vision, "image_size", None), int):
            raise _other(name, model, "vision_config.image_size, one side of a square image")
        settings = _image_settings(name)
        # SigLIP was trained on texts padded to their full length, without a mask.
        padding: bool | str = "max_length" if "siglip" in model.config.model_type else True
        return cls(
            model,
            tokenizer,
            _identity(name, model),
            int(vision.image_size),
            "clip" if settings.get("do_center_crop") else "squash",
            tuple(settings.get("image_mean") or MEAN),
            tuple(settings.get("image_std") or STD),
            padding,
        )

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1] -> (n, E)."""
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        normal = (pixels.repeat(1, len(self.mean), 1, 1) - mean) / std
        return _unit(self.model.get_image_features(pixel_values=normal.to(self.model.device)))

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """These models have no patches in the joint space.

        Raises:
            XLIPError: always.
        """
        raise XLIPError(f"{type(self.model).__name__}: no patch embeddings in the joint space; grounding needs them")

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (n, E); cut at the length that the model takes."""
        length = _longest(self.model.config.text_config, self.tokenizer)
        encoded = self.tokenizer(
            list(texts), padding=self.padding, truncation=True, max_length=length, return_tensors="pt"
        )
        inputs = {"input_ids": encoded["input_ids"].to(self.model.device)}
        if self.padding is True:
            inputs["attention_mask"] = encoded["attention_mask"].to(self.model.device)
        return _unit(self.model.get_text_features(**inputs))

    @torch.no_grad()
    def scale(self) -> float:
        """exp(logit_scale)."""
        found = _scale_of(self.model)
        assert found is not None
        return found

    def with_preprocess(self, preprocess: str) -> HuggingFaceModel:
        """The same model on images that were made square in another way."""
        return replace(self, preprocess=preprocess)


OFFSET_POSITIONS = ("roberta", "xlm", "camembert", "altclip", "mpnet")
"""Text models whose positions begin after the index of padding, so that as many fewer tokens fit."""


def _longest(config: Any, tokenizer: Any) -> int:
    """How many tokens a text may have."""
    most = int(getattr(config, "max_position_embeddings", 0) or 512)
    name = str(getattr(config, "model_type", ""))
    if any(word in name for word in OFFSET_POSITIONS):
        most -= int(getattr(config, "pad_token_id", 0) or 0) + 1
    said = int(getattr(tokenizer, "model_max_length", 0) or 0)
    return min(most, said) if said else most


def _scale_of(model: Any) -> float | None:
    """What cosines are multiplied by: exp(logit_scale), or 1 / temperature (ALIGN); None where a model has neither."""
    if hasattr(model, "logit_scale"):
        return float(model.logit_scale.detach().exp().reshape(-1)[0])
    if hasattr(model, "temperature"):
        return float(1 / model.temperature.detach())
    return None


def _other(name: str, model: Any, needed: str) -> XLIPError:
    return XLIPError(
        f"hf:{name}: expected a model of images and texts in one space (CLIP, SigLIP, ALIGN, AltCLIP, Chinese-CLIP, a "
        f"vision-text dual encoder); {type(model).__name__} has no {needed}"
    )


def _refuse_other_formats(name: str) -> None:
    """Folders of open_clip (BiomedCLIP's form) hold no model of transformers, however alike the architecture.

    Raises:
        XLIPError: such a folder.
    """
    if (Path(name) / "open_clip_config.json").is_file() and not (Path(name) / "config.json").is_file():
        raise XLIPError(
            f"hf:{name}: a checkpoint of open_clip (open_clip_config.json), which transformers cannot load; convert it "
            "to a VisionTextDualEncoderModel or CLIPModel folder with config.json and model.safetensors"
        )


def _unit(features: Any) -> Tensor:
    """(n, E) L2-normalised, of a tensor or of an output that holds the pooled one."""
    tensor = features if isinstance(features, Tensor) else features.pooler_output
    return F.normalize(tensor.float(), dim=-1).cpu()


def _image_settings(name: str) -> dict[str, Any]:
    """What the checkpoint says of its pixels; nothing where it says nothing."""
    from transformers import BaseImageProcessor

    try:
        settings: dict[str, Any] = BaseImageProcessor.get_image_processor_dict(name)[0]
    except (OSError, ValueError):
        return {}
    return settings


def _identity(name: str, model: Any) -> str:
    if Path(name).is_dir():
        return f"hf:{checkpoint_id(name)}"
    commit = getattr(model.config, "_commit_hash", None)
    return f"hf:{name}@{commit[:12]}" if commit else f"hf:{name}"

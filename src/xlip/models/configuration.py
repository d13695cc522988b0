"""The shape of a model, as saved beside its weights (`config.json`)."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from xlip.errors import XLIPError

STEMS = ("patch", "conv", "curved")
POOLS = ("max", "mean", "cls")
TEXT_POOLS = ("mean", "cls", "polarity")


class XLIPConfig(PretrainedConfig):
    """Towers as `transformers` config dictionaries (with `model_type`), plus heads and decoders."""

    model_type = "xlip"

    def __init__(
        self,
        image: dict[str, Any] | None = None,
        text: dict[str, Any] | None = None,
        embed_dim: int = 128,
        stem: str = "patch",
        pool: str = "max",
        text_pool: str = "mean",
        decoder_width: int = 128,
        decoder_heads: int = 4,
        image_decoder_layers: int = 2,
        text_decoder_layers: int = 2,
        local_stages: int = 0,
        local_share: float = 0.0,
        pixel_mean: float = 0.5,
        pixel_std: float = 0.25,
        **kwargs: Any,
    ) -> None:
        choices = (("stem", stem, STEMS), ("pool", pool, POOLS), ("text_pool", text_pool, TEXT_POOLS))
        for name, value, known in choices:
            if value not in known:
                raise XLIPError(f"model.{name}: expected one of {', '.join(known)}, got {value!r}")
        self.image = {"model_type": "vit", "num_channels": 1, **(image or {})}
        self.text = {"model_type": "bert", **(text or {})}
        self.embed_dim, self.stem, self.pool, self.text_pool = embed_dim, stem, pool, text_pool
        self.decoder_width, self.decoder_heads = decoder_width, decoder_heads
        self.image_decoder_layers, self.text_decoder_layers = image_decoder_layers, text_decoder_layers
        self.local_stages, self.local_share = local_stages, local_share
        self.pixel_mean, self.pixel_std = pixel_mean, pixel_std
        super().__init__(**kwargs)

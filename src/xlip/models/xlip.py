"""The model: two towers into one space, and the two decoders that training uses (docs/method.md, the model)."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from xlip.batches.processor import XLIPProcessor
from xlip.batches.text_batch import TextBatch
from xlip.checksums import write_sums
from xlip.files import obey_umask
from xlip.images.any_form import ImageLike
from xlip.models.adapters import plain_weights
from xlip.models.configuration import XLIPConfig
from xlip.models.decoders import ImageDecoder, TextDecoder
from xlip.models.local import LocalHead
from xlip.models.towers import Encoded, ImageTower, TextTower
from xlip.shipped import WARNING, knows_phantoms_only, model_place

FILES = ("*.safetensors", "config.json", "*.index.json", "tokenizer*.json", "special_tokens_map.json", "xlip_*.json")
"""What `save_pretrained` writes; a run's folder holds others too."""
MAX_LOGIT_SCALE = 100.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encodings:
    """A tower's output and its place in the joint space."""

    tokens: Tensor
    """(B, N or T, D)."""
    embedding: Tensor
    """(B, E), L2-normalised, fp32."""
    mask: Tensor
    """(B, N or T), True = real token; all True for images."""
    places: Tensor | None = None
    """(B, h, w, E), L2-normalised, fp32: images' shallow features in the joint space, see `LocalHead`; None for texts
    and where the model has no such head."""

    def __getitem__(self, rows: slice | Tensor) -> Encodings:
        places = None if self.places is None else self.places[rows]
        return Encodings(self.tokens[rows], self.embedding[rows], self.mask[rows], places)


@dataclass
class XLIPOutput(ModelOutput):
    """What `XLIPModel.forward` returns; None where its input was not given."""

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    """(n, m)."""
    logits_per_text: Tensor | None = None
    """(m, n)."""
    image_embeds: Tensor | None = None
    """(n, E), L2-normalised."""
    text_embeds: Tensor | None = None
    """(m, E), L2-normalised."""


class XLIPModel(PreTrainedModel):
    """Chest X-rays and reports in one space.

    >>> model = XLIPModel.from_pretrained("runs/mini")
    >>> image, text = model.encode_image("chest.png"), model.encode_text("pleural effusion")
    >>> float(image @ text.T)
    """

    config_class = XLIPConfig
    base_model_prefix = "xlip"
    main_input_name = "pixel_values"
    _supports_sdpa = True
    config: XLIPConfig

    def __init__(self, config: XLIPConfig) -> None:
        super().__init__(config)
        self.image_tower = ImageTower(
            config.image,
            stem=config.stem,
            pool=config.pool,
            mean=config.pixel_mean,
            std=config.pixel_std,
        )
        self.text_tower = TextTower(config.text, pool=config.text_pool)
        widths = {"image_width": self.image_tower.width, "text_width": self.text_tower.width}
        self.image_head = nn.Linear(widths["image_width"], config.embed_dim, bias=False)
        self.text_head = nn.Linear(widths["text_width"], config.embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        shape = {"embed_dim": config.embed_dim, "width": config.decoder_width, "heads": config.decoder_heads, **widths}
        self.image_decoder = ImageDecoder(
            **shape,
            layers=config.image_decoder_layers,
            patches=self.image_tower.grid**2,
            patch_pixels=self.image_tower.patch_size**2,
        )
        self.text_decoder = TextDecoder(
            **shape,
            layers=config.text_decoder_layers,
            vocab_size=config.text["vocab_size"],
            patches=self.image_tower.grid**2,
            local_width=config.embed_dim if config.local_stages else 0,
        )
        self.local: LocalHead | None = None
        if config.local_stages:
            self.local = LocalHead(config.embed_dim, config.local_stages)
        self.processor: XLIPProcessor | None = None
        self.post_init()  # type: ignore[no-untyped-call]
        self.image_tower.reset_stem()
        self.text_tower.reset_polarity()
        for decoder in (self.image_decoder, self.text_decoder):
            decoder.told.reset_parameters()
        if self.local is not None:
            self.local.reset_parameters()

    def logit_scale_exp(self) -> Tensor:
        """exp(logit_scale), clamped to at most 100 (docs/method.md, the model)."""
        return self.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE).reshape(())

    @property
    def mask_token_id(self) -> int:
        """Id of [MASK] in the tokenizer."""
        token: int = self._processor().tokenizer.mask_token_id
        return token

    def images(self, pixels: Tensor, *, places: bool = True) -> Encodings:
        """Whole images (B, 1, H, W) in [0, 1] through the tower and the head; with `places`, through the local head.

        B may be 0.
        """
        encoded = self.image_tower(pixels)
        mask = torch.ones(encoded.tokens.shape[:2], dtype=torch.bool, device=encoded.tokens.device)
        made = self._encodings(encoded, self.image_head, mask)
        return replace(made, places=self.places(pixels) if places else None)

    def texts(self, batch: TextBatch) -> Encodings:
        """Whole texts through the tower and the head."""
        full = bool(len(batch)) and min(batch.lengths.tolist()) == batch.ids.shape[1]
        return self._encodings(self.text_tower(batch.ids, batch.mask, full=full), self.text_head, batch.mask)

    def places(self, pixels: Tensor) -> Tensor | None:
        """What `Encodings.places` holds, without the tower."""
        if self.local is None:
            return None
        found: Tensor = self.local(self.image_tower.normalised(pixels))
        return found

    @staticmethod
    def _encodings(encoded: Encoded, head: nn.Module, mask: Tensor) -> Encodings:
        embedding = F.normalize(head(encoded.pooled).float(), dim=-1)
        return Encodings(encoded.tokens, embedding, mask.to(embedding.device))

    @torch.no_grad()
    def encode_image(self, images: ImageLike | Iterable[ImageLike]) -> Tensor:
        """Path, PIL image or array (H, W); or several of them in a list, generator, column or array (n, H, W) ->
        (n, E), L2-normalised.
        """
        return self.encode_pixels(self._processor().pixels(images).to(self.device))

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Preprocessed pixels (n, 1, H, W) in [0, 1] -> (n, E), L2-normalised."""
        return self.images(pixels, places=False).embedding

    @torch.no_grad()
    def encode_text(self, texts: str | Iterable[str]) -> Tensor:
        """One text or several -> (n, E), L2-normalised.

        Raises:
            XLIPError: a text that the model's vocabulary cannot represent.
        """
        return self.texts(self._processor().queries(texts).to(self.device)).embedding

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Pixels (n, 1, H, W) in [0, 1] -> (n, E), L2-normalised; with gradient, unlike `encode_pixels`."""
        return self.images(pixel_values, places=False).embedding

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Ids (n, T) and their mask -> (n, E), L2-normalised; with gradient."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return self._encodings(self.text_tower(input_ids, mask.bool()), self.text_head, mask.bool()).embedding

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_loss: bool = False,
    ) -> XLIPOutput:
        """What CLIP models of `transformers` return: embeddings, and their scaled cosines where there are both.

        Args:
            pixel_values: (n, 1, H, W) in [0, 1].
            input_ids: (m, T).
            attention_mask: (m, T), 1 = real token.
            return_loss: the symmetric InfoNCE of rows that belong together; n = m.
        """
        images = None if pixel_values is None else self.get_image_features(pixel_values)
        texts = None if input_ids is None else self.get_text_features(input_ids, attention_mask)
        if images is None or texts is None:
            return XLIPOutput(image_embeds=images, text_embeds=texts)
        logits = self.logit_scale_exp().float() * images @ texts.T
        own = torch.arange(len(logits), device=logits.device)
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 if return_loss else None
        return XLIPOutput(loss, logits, logits.T, images, texts)

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Weights (safetensors), config and processor (JSON) into one folder, with `checksums.json` over them.

        Adapters are added to the weights that they adapt: what is saved is a plain model.
        """
        if not kwargs.get("state_dict") and (plain := plain_weights(self)) is not None:
            kwargs["state_dict"] = plain
        super().save_pretrained(save_directory, *args, **kwargs)
        self._processor().save_pretrained(save_directory)
        write_sums(Path(save_directory), FILES)
        obey_umask(Path(save_directory))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> XLIPModel:
        """Load a folder that `save_pretrained` wrote, a hub id, or `phantom`, the package's; in evaluation mode.

        Raises:
            XLIPError: there is no XLIP model at that place.
        """
        if knows_phantoms_only(pretrained_model_name_or_path):
            logger.warning(WARNING)
        place = model_place(pretrained_model_name_or_path)
        processor = XLIPProcessor.from_pretrained(place)
        model = super().from_pretrained(place, *args, **kwargs)
        assert isinstance(model, XLIPModel)
        model.processor = processor
        model.eval()  # type: ignore[no-untyped-call]
        return model

    def _processor(self) -> XLIPProcessor:
        if self.processor is None:
            raise ValueError("this model has no processor: set `model.processor`, or load it by from_pretrained")
        return self.processor

    def _init_weights(self, module: nn.Module) -> None:
        # The towers initialise their own parts; this reaches what is ours.
        if isinstance(module, nn.Linear):
            # Not BERT's 0.02, which is meant for 768 features: the outputs of narrow layers would stay too small for
            # hundreds of steps.
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

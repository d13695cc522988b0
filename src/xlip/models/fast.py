"""The image tower for inference alone: in the number format and with the attention kernel that are faster here."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xlip.models.machine import attention_choice, attention_kernel, mixed_precision
from xlip.models.towers import ImageTower
from xlip.models.xlip import XLIPModel


@dataclass(frozen=True)
class FastEncoder:
    """Images to embeddings, with a copy of the tower in the format that this machine multiplies fastest.

    In bf16 a cosine with the fp32 embedding is 0.99 or more (a test holds it); no layer is left out.
    """

    tower: ImageTower
    head: nn.Linear
    kernel: str

    @property
    def format(self) -> str:
        """`bf16` or `fp32`."""
        return "bf16" if self.tower.encoder.dtype == torch.bfloat16 else "fp32"

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels (n, 1, H, W) in [0, 1] -> (n, E), L2-normalised, fp32."""
        with attention_kernel(self.kernel):
            pooled = self.tower(pixels.to(self.head.weight.device)).pooled
        return F.normalize(self.head(pooled.float()), dim=-1)


def fast_encoder(model: XLIPModel, precision: str = "auto") -> FastEncoder:
    """The image tower for inference on the model's device: a copy in bf16, or in fp32 the model's own, which has to be
    in evaluation mode.

    Raises:
        XLIPError: an unknown precision.
    """
    device = model.device
    chosen = mixed_precision(precision, device)
    tower = model.image_tower
    if chosen == "bf16":
        tower = copy.deepcopy(tower).eval().requires_grad_(False).to(torch.bfloat16)
    return FastEncoder(tower, model.image_head, attention_choice(device, tower.attention_shape, chosen))

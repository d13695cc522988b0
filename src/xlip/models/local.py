"""Where in the image a text is answered: features shallow enough to stand for their place."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xlip.models.stem import ConvStem

HIDDEN = 96


class LocalHead(nn.Module):
    """Shallow features to unit vectors of the joint space, one for each place, and a scale of their own.

    Patch tokens do not point: blocks mix places, group norm carries statistics of the whole image to each of them, and
    the receptive field of a deep stem is most of the image (`docs/log.md`). A stem's first halvings see 19 x 19 pixels
    (two of them) or 43 x 43 (three). They are those of the image tower where it has a conv stem, else a small stem of
    their own. Not in the paper, whose figure asks for masks on what the text names.

    Input (B, C, h, w), or normalised pixels (B, 1, H, W) with an own stem; output (B, h, w, E), L2-normalised, fp32.
    """

    def __init__(self, features: int, embed_dim: int, own_stages: int = 0) -> None:
        super().__init__()
        self.stem: ConvStem | None = None
        if own_stages:
            self.stem = ConvStem(1, features, 2**own_stages, own_stages)
        self.head = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, embed_dim)
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) or (B, 1, H, W) -> (B, h, w, E)."""
        if self.stem is not None:
            features = self.stem(features)
        return F.normalize(self.head(features.permute(0, 2, 3, 1)).float(), dim=-1)

    def answers(self, places: Tensor, directions: Tensor) -> Tensor:
        """Scale x product of each place with each direction.

        Args:
            places: (B, h, w, E).
            directions: (K, E), a kind's positive less its negative prompt embedding, say.

        Returns:
            (B, K, h, w) fp32.
        """
        return torch.einsum("bhwe,ke->bkhw", places, directions.float() * self.log_scale.exp())


def whole(answers: Tensor) -> Tensor:
    """Log-mean-exp over places, (B, K, h, w) -> (B, K): high where any place answers."""
    return answers.flatten(2).logsumexp(-1) - math.log(answers[0, 0].numel())


def cells(answers: Tensor, grid: int) -> Tensor:
    """Log-mean-exp inside each cell of a grid, (B, K, h, w) -> (B, K, grid, grid).

    Places that do not divide into the grid are first resized to the next multiple of it.
    """
    rows = answers.shape[-1]
    if rows % grid:
        answers = F.interpolate(answers, (-(-rows // grid) * grid,) * 2, mode="bilinear", align_corners=False)
    side = answers.shape[-1] // grid
    tiles: Tensor = answers.unflatten(-1, (grid, side)).unflatten(-3, (grid, side))
    return tiles.logsumexp((-3, -1)) - 2 * math.log(side)


def pooled_places(places: Tensor, grid: int) -> Tensor:
    """Mean feature of each cell of a grid, (B, h, w, E) -> (B, grid * grid, E)."""
    return F.adaptive_avg_pool2d(places.permute(0, 3, 1, 2), grid).flatten(2).transpose(1, 2)

"""Where in the image a text is answered: features shallow enough to stand for their place."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xlip.models.smoothing import smooth
from xlip.models.stem import ConvStem

FEATURES, HIDDEN = 48, 96
START_SCALE = 14.0
BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)
LEAST = 1e-30
"""Share of the highest answer below which a place counts as giving no answer."""


class LocalHead(nn.Module):
    """Pixels to unit vectors, one for each place, that texts are compared with: a shallow stem beside the tower.

    Patch tokens do not point: blocks mix places, group norm carries statistics of the whole image to each of them, and
    the receptive field of a deep stem is most of the image (`docs/log.md`). Two halvings see 19 x 19 pixels, three
    43 x 43. Sharing the first stages of the tower's stem costs the tower 0.04 of its zero-shot AUROC, since their norm
    must be that of each place. Not in the paper, whose figure asks for masks on what the text names.

    Input: normalised pixels (B, 1, H, W); output (B, h, w, E), L2-normalised, fp32.
    """

    def __init__(self, embed_dim: int, stages: int) -> None:
        super().__init__()
        self.stem = ConvStem(FEATURES, 2**stages, local=True)
        self.head = nn.Sequential(
            nn.LayerNorm(FEATURES), nn.Linear(FEATURES, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, embed_dim)
        )
        self.query = nn.Linear(embed_dim, embed_dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))
        self.bias = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Kernels drawn anew, as `ConvStem` wants them; queries begin as the texts themselves."""
        self.stem.reset_parameters()
        nn.init.eye_(self.query.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, h, w, E)."""
        return F.normalize(self.head(self.stem(pixels).permute(0, 2, 3, 1)).float(), dim=-1)

    def answers(self, places: Tensor, queries: Tensor) -> Tensor:
        """Scale x cosine of each place with each text, plus a bias: above 0, the place speaks for what the text names.

        The text is a finding's own ('pleural effusion'), not its difference from a denial: bags of words of a young
        text tower differ from their denials in 'no' alone, so that for hundreds of steps all differences are one
        direction and no place learns which kind it shows. A matrix of its own lets the places' space differ from the
        joint one, which several losses shape (`docs/log.md`).

        Args:
            places: (B, h, w, E).
            queries: (K, E), text embeddings of the joint space: positive prompts, say.

        Returns:
            (B, K, h, w) fp32, logits.
        """
        asked = F.normalize(self.query(queries).float(), dim=-1)
        return torch.einsum("bhwe,ke->bkhw", places, asked * self.log_scale.exp()) + self.bias

    def maps(self, places: Tensor, queries: Tensor) -> Tensor:
        """`answers`, spread over the neighbourhood, see `spread`: what is looked at, masked by and measured."""
        return spread(self.answers(places, queries))


def spread(answers: Tensor) -> Tensor:
    """Each place's answer shared with its neighbours: the log of a binomial mean, 5 x 5, of exp d, (B, K, h, w).

    A finding is often answered by its border, one place beside its middle. The log-mean-exp of a map, which training
    goes by, stays what it was but for the map's own border. On phantoms, the AUROC of cells rises from 0.82 and 0.76 to
    0.89 (`docs/log.md`).
    """
    top = answers.amax((-2, -1), keepdim=True)
    made: Tensor = smooth((answers - top).exp(), BINOMIAL).clamp(min=LEAST).log() + top
    return made


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

"""How the image curves at each place: what tells a round spot from a line before anything is learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.models.full_precision import full_precision
from xlip.models.smoothing import smooth

SCALES = (0.75, 1.25)
"""Standard deviations of the smoothing, in pixels of the halved image: 1.5 and 2.5 pixels of the whole one."""
CHANNELS = 2 * len(SCALES)
UNIT = 0.08
"""Curvature of normalised pixels, a squared standard deviation, that counts as 1; about its deviation over films."""


def curvature(pixels: Tensor) -> Tensor:
    """Eigenvalues of the Hessian of the smoothed image, the basis of dot and line enhancement filters.

    A bright spot curves down in every direction, a rib or a vessel across its length alone (Li, Sone & Doi 2003,
    doi:10.1118/1.1581411; Frangi et al. 1998). The larger eigenvalue is therefore strongly negative in nodules only;
    convolutions from scratch need thousands of labelled nodules to find that out (`docs/log.md`).

    Args:
        pixels: (B, 1, H, W), normalised; H and W even.

    Returns:
        (B, 4, H, W) fp32: the larger and the smaller eigenvalue at each of `SCALES`, times the scale squared. No
        gradient flows to the pixels.
    """
    with torch.no_grad(), full_precision(pixels.device):
        halved = F.avg_pool2d(pixels.float(), 2)
        found = torch.cat([_eigenvalues(smooth(halved, _gaussian(scale))) * (scale**2 / UNIT) for scale in SCALES], 1)
        return F.interpolate(found, scale_factor=2.0, mode="nearest")


def _gaussian(scale: float) -> list[float]:
    reach = math.ceil(3 * scale)
    return [math.exp(-(place**2) / (2 * scale**2)) for place in range(-reach, reach + 1)]


def _eigenvalues(x: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B, 2, H, W), the larger first."""
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    middle = 2 * x
    xx = p[..., 1:-1, 2:] + p[..., 1:-1, :-2] - middle
    yy = p[..., 2:, 1:-1] + p[..., :-2, 1:-1] - middle
    xy = (p[..., 2:, 2:] + p[..., :-2, :-2] - p[..., 2:, :-2] - p[..., :-2, 2:]) / 4
    mean, half = (xx + yy) / 2, (xx - yy) / 2
    spread = (half.square() + xy.square()).sqrt()
    return torch.cat([mean + spread, mean - spread], 1)

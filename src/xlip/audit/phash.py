"""Perceptual hashes of radiographs that find resized, re-compressed and slightly rotated copies, and no other chest.

Chest radiographs look alike: a hash of 64 bits that is blind to compression takes many unrelated films for copies. So
there are two steps. `signature` is a real-valued hash (weighted low-frequency cosine coefficients of a small image, of
unit length): copies have a cosine near 1, and one matrix product compares everything with everything. `same_picture`
then looks at each candidate closely: the correlation of its fine structure (ribs, vessels, marks) under the best small
shift, turn and scale, which is high for copies only. Rotation is met by hashing one side at several angles.

Own method; the idea of hashing by low cosine frequencies is the usual 'pHash'. Figures:
docs/measurements/data_audit.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from xlip.images.gray import Gray

Floats = np.ndarray[Any, np.dtype[np.float32]]
Whole = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
Spectra = np.ndarray[Any, np.dtype[np.complexfloating[Any, Any]]]

SMALL = 96
"""Longer side of the small image that is turned and hashed, pixels."""
GRID = 48
"""Side of the square that is transformed."""
FREQUENCIES = (2.0, 14.0)
"""Radial frequencies of the hash, half cycles per image: below, exposure; above, noise and compression."""
ANGLES = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)
"""Degrees at which a test image is hashed, on its own canvas."""
GROWING_ANGLES = (-4.0, 4.0)
"""Degrees at which it is hashed as if a canvas had grown with the rotation, and as if it had to shrink back."""
CANDIDATE = 0.90
"""Least cosine of two signatures that is looked at closely."""
PROMISING = 0.55
"""Least correlation of the fine structure, as first seen, that makes a search for a better pose worth its time."""
SAME = 0.87
"""Least correlation of the fine structure of a copy."""
ALIKE = 0.75
"""From here on two pictures are worth a look: often another radiograph of the same patient."""
FLAT = 6
"""A border row or column whose grays differ by no more is padding."""

_FINE, _SHIFT, _BAND = 96, 5, (6.0, 30.0)
_FAINT = 1.0
"""Energy (gray levels) below which a spectrum is rounding; a thousandth of what noise of half a level has."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a small image is turned before it is compared."""

    angle: float = 0.0
    """Degrees, counter-clockwise."""
    scale: float = 1.0
    """Size of the picture on its canvas after the turn: below 1 a canvas that grew, above 1 one that shrinks back."""
    trimmed: bool = False
    """Whether its flat border is cut off first."""


def _growth(angle: float) -> float:
    """How much longer a square canvas gets when it grows with a rotation."""
    turn = np.deg2rad(abs(angle))
    return float(np.cos(turn) + np.sin(turn))


POSES = (
    *(Pose(angle) for angle in ANGLES),
    *(Pose(angle, _growth(angle)) for angle in GROWING_ANGLES),
    *(Pose(angle, 1 / _growth(angle)) for angle in GROWING_ANGLES),
    Pose(trimmed=True),
)
"""How a test image is hashed; the first side of a comparison is hashed upright, with and without its flat border."""


def pixel_digest(image: Gray) -> int:
    """64 bits of the decoded pixels (H, W) and their shape: equal for the same picture in another lossless file."""
    digest = hashlib.sha256(repr(image.shape).encode())  # processors have it built in
    digest.update(np.ascontiguousarray(image).tobytes())
    return int.from_bytes(digest.digest()[:8], "big")


def small(image: Gray) -> Image.Image:
    """The image (H, W) with a longer side of `SMALL` pixels, its aspect kept."""
    scale = SMALL / max(image.shape)
    size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
    return Image.fromarray(image).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)


def trimmed(image: Gray) -> Gray | None:
    """The image without its flat borders; None where it has none, or is flat nearly everywhere."""
    rows = np.flatnonzero(np.ptp(image, axis=1) > FLAT)
    if not len(rows):
        return None
    inside = image[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(np.ptp(inside, axis=0) > FLAT)
    cut = inside[:, columns[0] : columns[-1] + 1]
    return cut if 0.2 * image.size < cut.size < 0.97 * image.size else None


def signature(*pictures: Image.Image) -> Floats:
    """The hashes of small images: (n, SIZE) float32 of unit length; zeros for a flat one."""
    resized = [np.asarray(one.resize((GRID, GRID), Image.Resampling.BILINEAR), np.float32) for one in pictures]
    grids = np.stack(resized)
    flat = (grids - (grids * _DISC).sum((1, 2), keepdims=True) / _DISC.sum()) * _DISC
    coefficients = (_COSINES @ flat @ _COSINES.T)[:, _KEPT] * _WEIGHTS
    length = np.linalg.norm(coefficients, axis=1, keepdims=True)
    made: Floats = np.where(length > 1e-3, coefficients / np.maximum(length, 1e-3), 0).astype(np.float32)
    return made


def _is_upright(pose: Pose) -> bool:
    return not pose.angle and pose.scale == 1


def turned(picture: Image.Image, pose: Pose) -> Image.Image:
    """A small image in a pose, on a canvas of its own size."""
    if _is_upright(pose):
        return picture
    turn = np.deg2rad(pose.angle)
    cos, sin = np.cos(turn) / pose.scale, np.sin(turn) / pose.scale
    x, y = (picture.width - 1) / 2, (picture.height - 1) / 2
    matrix = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def upright_signatures(versions: tuple[Gray, ...]) -> Floats:
    """Hashes of an image (its `thumbs`) as the first side of a comparison has them: (1 or 2, SIZE)."""
    return signature(*map(Image.fromarray, versions))


def signatures(versions: tuple[Gray, ...]) -> Floats:
    """Hashes of an image (its `thumbs`) in every one of `POSES`: (poses, SIZE)."""
    picture, inside = Image.fromarray(versions[0]), Image.fromarray(versions[-1])
    # Half the size is turned at a quarter of the cost, and the hash sees nothing of the other half.
    half = picture.resize((-(-picture.width // 2), -(-picture.height // 2)), Image.Resampling.BOX)
    upright = {False: picture, True: inside}
    return signature(*(upright[pose.trimmed] if _is_upright(pose) else turned(half, pose) for pose in POSES))


def thumbs(image: Gray) -> tuple[Gray, ...]:
    """The small image, and the small image without the flat border where there is one: (h, w) uint8 each."""
    cut = trimmed(image)
    return tuple(np.asarray(small(version)) for version in (image, *(() if cut is None else (cut,))))


def same_picture(first: Gray, second: Gray, pose: Pose) -> float:
    """`correlation` of two images (H, W)."""
    return correlation(fine_spectra(thumbs(first)), thumbs(second), pose)


def correlation(first: Spectra, second: tuple[Gray, ...], pose: Pose) -> float:
    """Correlation of the fine structure of two images, `second` turned about `pose`; 1 when equal.

    The maximum over shifts of up to 5 %, and over turns of up to 1 degree and scales of up to 4 % around the pose;
    frequencies from 6 to 30 cycles an image. Pictures that differ at first sight are not searched.

    Args:
        first: `fine_spectra` of the `thumbs` of an image.
        second: `thumbs` of the other.
        pose: of the second, as the signatures found it.
    """
    picture = Image.fromarray(second[-1 if pose.trimmed else 0])
    best, here = _peak(first, _spectra([turned(picture, pose)])), pose
    if best < PROMISING:
        return best
    for turn_step, scale_step in ((1.0, 0.025), (0.5, 0.0125)):
        for step in ((turn_step, 0.0), (-turn_step, 0.0), (0.0, scale_step), (0.0, -scale_step)):
            if best > SAME + 0.06:
                return best
            near = Pose(here.angle + step[0], here.scale + step[1], pose.trimmed)
            value = _peak(first, _spectra([turned(picture, near)]))
            if value > best:
                best, here = value, near
    return best


def fine_spectra(versions: tuple[Gray, ...]) -> Spectra:
    """What `correlation` compares of the `thumbs` of an image: (versions, 59, 30) complex64."""
    return _spectra([Image.fromarray(version) for version in versions])


def _peak(targets: Spectra, spectrum: Spectra) -> float:
    """Highest correlation of any target with the spectrum over small shifts."""
    # The inverse transform at the shifts that count, 121 of 9,216. A real image's spectrum is symmetric: every column
    # of the half stands for two, but the first for itself alone.
    shifted = _DOWN_SHIFTS @ (targets * np.conj(spectrum) * _TWICE) @ _ACROSS_SHIFTS
    return float(shifted.real.max())


def _spectra(pictures: list[Image.Image]) -> Spectra:
    """Spectra of small images inside a disc, band-passed, of unit energy: (n, 59, 30), without what is not passed."""
    resized = [picture.resize((_FINE, _FINE), Image.Resampling.BILINEAR) for picture in pictures]
    fine = np.stack([np.asarray(picture, np.float32) for picture in resized])
    flat = (fine - (fine * _FINE_DISC).sum((1, 2), keepdims=True) / _FINE_DISC.sum()) * _FINE_DISC
    spectra = _DOWN @ (flat @ _ACROSS).view(np.complex64) * _PASSED
    energy = np.sqrt(((spectra.real**2 + spectra.imag**2) * _TWICE).sum((1, 2), keepdims=True))
    made: Spectra = np.where(energy > _FAINT, spectra / np.maximum(energy, _FAINT), 0)
    return made


def _disc(side: int, inner: float, outer: float) -> Floats:
    """1 inside a disc (radii as shares of half the side), 0 outside, linear between: corners turn out of the image."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(y, x) / (side / 2)
    disc: Floats = np.clip((outer - radius) / (outer - inner), 0, 1).astype(np.float32)
    return disc


def _cosines(count: int) -> Floats:
    place, frequency = np.arange(GRID), np.arange(count)[:, None]
    waves: Floats = (np.cos(np.pi * (2 * place + 1) * frequency / (2 * GRID)) * np.sqrt(2 / GRID)).astype(np.float32)
    return waves


def _waves(frequencies: Whole, places: Whole) -> Spectra:
    """exp(2 pi i f p / side): (frequencies, places) complex64."""
    waves: Spectra = np.exp(2j * np.pi * np.outer(frequencies, places) / _FINE).astype(np.complex64)
    return waves


_COUNT = int(FREQUENCIES[1])
_COSINES = _cosines(_COUNT)
_RADIAL = np.hypot(*np.mgrid[:_COUNT, :_COUNT])
_KEPT = (FREQUENCIES[0] <= _RADIAL) & (FREQUENCIES[1] > _RADIAL)
_WEIGHTS = _RADIAL[_KEPT].astype(np.float32)  # flattens the falling spectrum of radiographs
_DISC, _FINE_DISC = _disc(GRID, 0.85, 1.0), _disc(_FINE, 0.80, 0.95)
_LAST = int(_BAND[1]) - 1
_Y, _X = np.arange(-_LAST, _LAST + 1), np.arange(_LAST + 1)
_CYCLES = np.hypot(_Y[:, None], _X[None])
_PASSED = ((_BAND[0] < _CYCLES) & (_BAND[1] > _CYCLES)).astype(np.float32)
_TWICE = np.where(_X == 0, 1, 2).astype(np.float32)
_DOWN = _waves(-_Y, np.arange(_FINE))
_ACROSS = np.ascontiguousarray(_waves(-_X, np.arange(_FINE)).T).view(np.float32)
"""(96, 60): real and imaginary parts side by side, so that the first product is one of real numbers."""
_DOWN_SHIFTS = _waves(_Y, np.arange(-_SHIFT, _SHIFT + 1)).T.copy()
_ACROSS_SHIFTS = _waves(_X, np.arange(-_SHIFT, _SHIFT + 1))
SIZE = int(_KEPT.sum())
"""Numbers of a signature."""

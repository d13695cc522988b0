"""From the values of a DICOM image to shares of its display range: VOI LUT, window, or the range of the values itself.

What a header asks for is checked by its result. A table that cannot be read, or a window that leaves no picture (made
for 8 bits, on pixels of 12), is left aside with a notice, and the next is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.images.gray import OUTLIERS, central_range, stretch
from xlip.notices import notice

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CLIPPED_WHITE, CLIPPED_BLACK, BETWEEN = 0.75, 0.92, 0.15
"""Shares of the pixels from which a picture is taken for lost (a border is black in many a good one, never white), and
of those between black and white under which it is."""
FLAT = 0.06
"""Range of display (98 % of the pixels) under which nothing is seen."""
ENOUGH = 100_000
"""Pixels that are looked at for that, at least."""
Values = np.ndarray[Any, np.dtype[Any]]


def display_shares(dataset: Dataset, values: Values, real: Values) -> Values:
    """Shares in [0, 1], 0 for the least value of interest, of an image (H, W).

    Args:
        dataset: the header.
        values: after the modality LUT.
        real: which pixels are no padding, (H, W).
    """
    shown = ... if real.all() else real  # an index that copies nothing
    inside = values[shown]
    varied = bool(inside.size and inside.max() > inside.min())
    if dataset.get("VOILUTSequence"):
        share = _by_table(dataset, values)
        if share is not None and (not varied or _shows(share[shown])):
            return share
        notice("VOI LUT is broken: the window, or the range of the pixels, was taken")
    windows = list(_windows(dataset))
    for number, window in enumerate(windows):
        share = _windowed(values, *window)
        if not varied or _shows(share[shown]):
            if number:
                notice(f"window does not fit the pixels: the {number + 1}. was taken")
            return share
    if windows:
        notice("window does not fit the pixels: their range was taken")
    elif dataset.BitsStored == 8 and values.dtype == np.uint8:
        return values / 255  # as a PNG of the same image would come out
    if not inside.size:
        return np.zeros(values.shape)
    low, high = central_range(inside)
    if (low, high) != (inside.min(), inside.max()):
        notice(OUTLIERS)
    return stretch(values, low, high)


def _shows(share: Values) -> bool:
    """Whether a picture is left, by its shares; of a large one, by some of its pixels."""
    share = share.ravel()[:: max(share.size // ENOUGH, 1)]
    low, high = np.percentile(share, (1, 99))
    white, black = np.mean(share >= 1), np.mean(share <= 0)
    lost = white > CLIPPED_WHITE or black > CLIPPED_BLACK or 1 - white - black < BETWEEN
    return bool(high - low >= FLAT and not lost)


def _by_table(dataset: Dataset, values: Values) -> Values | None:
    """By the first VOI LUT (PS3.3 C.11.2.1.1); None where it cannot be applied."""
    from pydicom.pixels import apply_voi

    try:
        item = dataset.VOILUTSequence[0]
        entries, first, _ = (int(number) for number in item.LUTDescriptor)
        table = apply_voi(np.arange(first, first + (entries or 65536)), dataset)  # 0 stands for 65536
        return stretch(apply_voi(values, dataset), float(table.min()), float(table.max()))
    except Exception:  # pydicom raises errors of a dozen types on a damaged table
        return None


def _windows(dataset: Dataset) -> Iterator[tuple[float, float, str]]:
    """Centre, width and function of each usable window."""
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    smallest = 0 if function in ("SIGMOID", "LINEAR_EXACT") else 1
    for centre, width in zip(_numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth"), strict=False):
        if width > smallest:
            yield centre, width, function


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    value = dataset.get(keyword)
    several = value if hasattr(value, "__getitem__") and not isinstance(value, str) else [value]
    try:
        return [float(one) for one in several]
    except (TypeError, ValueError):
        return []


def _windowed(values: Values, centre: float, width: float, function: str) -> Values:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, with an output range of [0, 1]."""
    values = values.astype(np.float64)
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -500, 500))))
    if function != "LINEAR_EXACT":
        centre, width = centre - 0.5, width - 1
    values -= centre
    values /= width
    values += 0.5
    return np.clip(values, 0, 1, out=values)

"""Seeded parts of the training data by patient: label shares, a validation part, folds.

Patients are sorted by their rarest positive kind, in random order within each, and taken at a fixed distance
(systematic sampling): every kind keeps its share to within one patient, in O(n log n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Patients:
    """The patients of some images, with what their images show together."""

    def __init__(self, ids: Array, targets: Array) -> None:
        """From the patient (n,) and the targets (n, K) of 1, 0, -1 of every image."""
        _, self.of_image = np.unique(ids, return_inverse=True)
        count = int(self.of_image.max(initial=-1)) + 1
        self.sizes = np.bincount(self.of_image, minlength=count)
        self.shows = np.zeros((count, 2 * targets.shape[1]), bool)
        """(patients, 2 K): some image has kind k present (column k), absent (column K + k)."""
        np.logical_or.at(self.shows, self.of_image, np.concatenate([targets == 1, targets == 0], 1))

    def order(self, rng: np.random.Generator) -> Array:
        """All patients: those of the rarest kind first, those without a positive last, at random within."""
        kinds = self.shows.shape[1] // 2
        positive = self.shows[:, :kinds]
        rank = np.argsort(np.argsort(positive.sum(0), kind="stable"))
        stratum = np.where(positive, rank, kinds).min(1, initial=kinds)
        return np.lexsort([rng.random(len(stratum)), stratum])

    def images(self, chosen: Array) -> Array:
        """(n,) bool: the images of the chosen patients (patients,) bool."""
        return chosen[self.of_image]


def share_of_patients(ids: Array, targets: Array, share: float, seed: int) -> Array:
    """A stratified share of the patients.

    Args:
        ids: (n,) patient of each image.
        targets: (n, K) of 1, 0, -1.
        share: of the patients, in [0, 1].
        seed: of the draw.

    Returns:
        (n,) bool, True for the images of the share.
    """
    patients, rng = Patients(ids, targets), np.random.default_rng(seed)
    order = patients.order(rng)
    chosen = np.zeros(len(order), bool)
    chosen[order[_systematic(len(order), share * len(order), rng)]] = True
    return patients.images(chosen)


def label_share(ids: Array, targets: Array, share: float, seed: int) -> Array:
    """A share of the images in whole patients, with a positive and a negative of every kind where they fit.

    First come patients that show what is not shown yet, the rarest kind first; the rest is a stratified draw. A share
    of a few images cannot hold every kind: then the patients that show most are preferred.

    Args and result as `share_of_patients`, the share of the images; at least two images.
    """
    if share >= 1:
        return np.ones(len(ids), bool)
    patients, rng = Patients(ids, targets), np.random.default_rng(seed)
    budget = max(2, round(share * len(ids)))
    chosen = _covering(patients, budget, rng)
    order = patients.order(rng)
    order = order[~chosen[order]]
    left = budget - int(patients.sizes[chosen].sum())
    if left and len(order):
        drawn = order[_systematic(len(order), left / patients.sizes[order].mean(), rng)]
        candidates = np.concatenate([rng.permutation(drawn), rng.permutation(order)])
        _fill(chosen, patients.sizes, candidates, left)
    return patients.images(chosen)


def folds(ids: Array, targets: Array, count: int, seed: int) -> Array:
    """(n,) int: the fold of each image, 0 to count - 1; stratified, whole patients."""
    patients = Patients(ids, targets)
    order = patients.order(np.random.default_rng(seed))
    fold = np.empty(len(order), np.int64)
    fold[order] = np.arange(len(order)) % count
    of_image: Array = fold[patients.of_image]
    return of_image


def _covering(patients: Patients, budget: int, rng: np.random.Generator) -> Array:
    chosen = np.zeros(len(patients.sizes), bool)
    missing: Array = np.asarray(patients.shows.any(0))
    while missing.any():
        left = budget - int(patients.sizes[chosen].sum())
        rarest = np.flatnonzero(missing)[patients.shows[:, missing].sum(0).argmin()]
        fitting = patients.shows[:, rarest] & ~chosen & (patients.sizes <= left)
        if fitting.any():
            gain = (patients.shows[:, missing] & fitting[:, None]).sum(1) + fitting
            # With room to spare any patient of the kind will do: the most diseased ones would bias the share.
            best = fitting if left >= 2 * int(missing.sum()) else gain == gain.max()
            chosen[rng.choice(np.flatnonzero(best))] = True
            missing &= ~patients.shows[chosen].any(0)
        missing[rarest] = False
    return chosen


def _fill(chosen: Array, sizes: Array, candidates: Array, left: int) -> None:
    """Choose patients in their order, in place, as long as images are left; one that does not fit is passed over."""
    for patient in candidates:
        if not left:
            return
        if not chosen[patient] and sizes[patient] <= left:
            chosen[patient] = True
            left -= int(sizes[patient])


def _systematic(count: int, wanted: float, rng: np.random.Generator) -> Array:
    """About `wanted` of `count` positions, at a fixed distance from a random start."""
    if wanted <= 0 or not count:
        return np.zeros(0, np.int64)
    step = max(count / wanted, 1.0)
    return np.unique(np.arange(rng.random() * step, count, step).astype(np.int64))

"""From (index, seed, size) to a radiograph, its report and its truth: a pure function, the same bytes everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.phantom.anatomy import Map, Scene, attenuation, draw_patient, draw_scene, edge, grid
from xlip.phantom.findings import CLASHES, PHANTOM_KINDS, RULES, Plan, plan
from xlip.phantom.sentences import write_report
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Entity

PHANTOM_NOTICE = "Computer-made phantom with a known truth, for testing software. Not clinical data."
SIZES = (64, 512)
NORMAL_SHARE = 0.3
"""Share of phantoms without any finding."""


@dataclass(frozen=True)
class Finding:
    """One finding of a phantom."""

    kind: str
    side: str
    place: str
    severity: str
    mask: np.ndarray[Any, Any]
    """(size, size) bool: the pixels that it changes."""


@dataclass(frozen=True)
class Phantom:
    """A radiograph, its report and its truth."""

    pixels: np.ndarray[Any, Any]
    """(size, size) uint8, bright = dense."""
    report: str
    labels: dict[str, int]
    """Every phantom kind and No_Finding, present or absent."""
    findings: tuple[Finding, ...]
    entities: tuple[Entity, ...]
    patient_id: str


def generate(index: int, *, seed: int = 0, size: int = 128) -> Phantom:
    """Phantom number `index` of the series `seed`, drawn at size x size pixels.

    Patient, findings and report do not depend on the size; the grain does.

    Raises:
        XLIPError: the size is not in [64, 512].
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise XLIPError(f"phantom size: expected {SIZES[0]} to {SIZES[1]} pixels, got {size}")
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    patient, plans = draw_patient(rng), _plans(rng)
    report, entities = write_report(plans, rng)
    camera = rng.uniform(-1, 1, 24)
    for item in plans:
        reshape = RULES[item.kind].reshape
        if reshape:
            reshape(patient, item)
    scene = draw_scene(patient, size)
    masks = [RULES[item.kind].draw(patient, scene, item) > 0.5 for item in plans]
    _devices(scene, camera)
    grain = np.random.default_rng(np.random.SeedSequence([seed, index, size]))
    pixels, frame = _expose(attenuation(patient, scene), camera, grain)
    findings = tuple(
        Finding(p.kind, p.side, p.place, p.severity, mask & frame) for p, mask in zip(plans, masks, strict=True)
    )
    present = {item.kind for item in plans}
    labels: dict[str, int] = {kind: PRESENT if kind in present else ABSENT for kind in PHANTOM_KINDS}
    labels[NO_FINDING] = ABSENT if present else PRESENT
    return Phantom(pixels, report, labels, findings, entities, f"phantom/{seed}/{index}")


def _plans(rng: np.random.Generator) -> list[Plan]:
    count = 0 if rng.random() < NORMAL_SHARE else int(rng.choice(3, p=(0.35, 0.4, 0.25))) + 1
    chosen: list[str] = []
    for kind in rng.permutation(PHANTOM_KINDS):
        clash = any(kind in group and group & set(chosen) for group in CLASHES)
        if len(chosen) < count and not clash:
            chosen.append(str(kind))
    return [plan(kind, rng) for kind in chosen]


def _devices(scene: Scene, camera: np.ndarray[Any, Any]) -> None:
    """Tubes, leads and text marks, independent of every finding: distractors."""
    x, y = scene.x, scene.y
    if camera[0] > 0.3:  # a tube or central line
        line = np.abs(x - np.float32(0.25 * camera[1]) * np.exp(-((y + 1) ** 2)) - np.float32(0.05 * camera[2]))
        scene.extra += 0.5 * edge(0.011 - line, 0.004) * edge(np.float32(0.3 * camera[3]) - y, 0.01)
    if camera[4] > 0.5:  # a lead across the chest
        lead = np.abs(
            y - np.float32(0.5 * camera[5]) - np.float32(camera[6]) * 0.6 * x - 0.1 * np.sin(3 * x + camera[7])
        )
        scene.extra += 0.4 * edge(0.008 - lead, 0.004)
    if camera[8] > 0.6:  # an electrode
        ring = np.abs(np.hypot(x - np.float32(0.6 * camera[9]), y - np.float32(0.6 * camera[10])) - 0.04)
        scene.extra += 0.9 * edge(0.012 - ring, 0.006)


def _expose(exponent: Map, camera: np.ndarray[Any, Any], grain: np.random.Generator) -> tuple[Any, Any]:
    """Beer-Lambert, scatter, Poisson noise, film curve, collimation, side mark -> uint8 and the open field (bool)."""
    size = len(exponent)
    primary = np.exp(-(exponent - np.float32(exponent.min())))
    block = size // 8
    coarse = primary[: block * 8, : block * 8].reshape(8, block, 8, block).mean((1, 3))
    signal = primary + np.float32(0.06 + 0.03 * camera[11]) * np.float32(coarse.mean())
    photons = np.float32(20000 * 1.6 ** camera[12])
    counted = grain.poisson(signal * photons).astype(np.float32)
    film = -np.log(np.maximum(counted, 1) / photons)
    low, high = np.percentile(film[size // 8 : -size // 8 : 2, size // 8 : -size // 8 : 2], (2, 98))
    level = (film - low) / max(high - low, 1e-3) * (0.80 + 0.08 * camera[13]) + 0.06 + 0.04 * camera[14]
    image = np.clip(level, 0, 1) ** np.float32(1.0 + 0.2 * camera[15])
    x, y = grid(size)
    frame = np.ones((size, size), bool)
    if camera[16] > 0.4:  # collimated: black outside
        frame = (np.abs(x) < 0.95 + 0.04 * camera[17]) & (np.abs(y) < 0.95 + 0.04 * camera[18])
        image = image * frame
    _mark(image, x, y, camera)
    return np.round(image * 255).astype(np.uint8), frame


def _mark(image: Map, x: Map, y: Map, camera: np.ndarray[Any, Any]) -> None:
    """The letter L at the patient's left shoulder, in most images."""
    if camera[19] < -0.5:
        return
    u, v = x - np.float32(0.84 + 0.04 * camera[20]), y + np.float32(0.82 + 0.05 * camera[21])
    stem = (np.abs(u + 0.02) < 0.013) & (np.abs(v) < 0.05)
    foot = (np.abs(v - 0.04) < 0.013) & (u > -0.03) & (u < 0.035)
    image[stem | foot] = 0.97

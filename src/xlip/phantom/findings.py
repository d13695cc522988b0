"""Findings drawn from physics: each changes the thorax's shape, its air, or the tissue on the rays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xlip.phantom.anatomy import SIDES, Map, Patient, Scene, diaphragm_line, edge, ellipse, lung_centre

SEVERITIES = ("mild", "moderate", "severe")
ZONES = {"upper": -0.42, "mid": -0.08, "lower": 0.22}


@dataclass(frozen=True)
class Plan:
    """One finding before it is drawn."""

    kind: str
    side: str
    """left, right, or empty where the kind has no side."""
    place: str
    """upper, mid, lower, or empty."""
    severity: str
    grade: float
    """0.5 (mild) to 1 (severe): scales size and density."""
    shift: tuple[float, float]
    """Random offsets in [-1, 1]."""


@dataclass(frozen=True)
class Rule:
    """How a kind changes the patient (before drawing) and the scene (after); `draw` returns where, 0 to 1."""

    has_side: bool
    places: tuple[str, ...]
    reshape: Callable[[Patient, Plan], None] | None
    draw: Callable[[Patient, Scene, Plan], Map]


def plan(kind: str, rng: np.random.Generator) -> Plan:
    """Draw side, place and severity of a finding; always the same count of random numbers."""
    rule = RULES[kind]
    level, side, place = (int(rng.integers(n)) for n in (3, 2, max(len(rule.places), 1)))
    shift = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1)))
    grade = 0.55 + 0.2 * level + 0.05 * float(rng.uniform(-1, 1))
    chosen_side = ("left", "right")[side] if rule.has_side else ""
    return Plan(kind, chosen_side, rule.places[place] if rule.places else "", SEVERITIES[level], grade, shift)


def _lung_of(scene: Scene, side: str) -> Map:
    """0 to 1: where the lung of a side (or of both) is."""
    lungs = scene.lungs[side] if side else scene.lungs["left"] + scene.lungs["right"]
    return np.clip(lungs / 5, 0, 1)


def _spot(patient: Patient, plan: Plan, reach: float = 0.12) -> tuple[float, float]:
    x = lung_centre(patient, plan.side) + reach * plan.shift[0]
    return x, ZONES[plan.place or "mid"] + 0.09 * plan.shift[1]


def _effusion(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # A meniscus: fluid climbs along the lateral wall and blunts the costophrenic angle.
    sign = SIDES[plan.side]
    lateral = np.clip((scene.x * sign - 0.15) / 0.6, 0, 1)
    level = patient.diaphragm[plan.side] - 0.03 - 0.26 * (plan.grade - 0.4) * 1.6 - 0.26 * plan.grade * lateral**2
    wall = edge(scene.x * sign - 0.1, 0.02) * edge(0.78 - scene.x * sign, 0.02)
    fluid: Map = edge(scene.y - level, 0.02) * wall * edge(patient.diaphragm[plan.side] + 0.12 - scene.y, 0.03)
    scene.extra += 0.13 * scene.lungs[plan.side] * fluid + 0.35 * fluid
    return fluid


def _big_heart(patient: Patient, plan: Plan) -> None:
    patient.heart_half_width = 0.37 + 0.12 * plan.grade
    patient.heart_half_height *= 1.08 + 0.12 * plan.grade


def _heart_region(patient: Patient, scene: Scene, plan: Plan) -> Map:
    tilt = scene.x - np.float32(0.25) * (scene.y - 0.2)
    heart = ellipse(tilt, scene.y, patient.heart_x, 0.25, patient.heart_half_width, patient.heart_half_height)
    return edge(heart, 0.09) * edge(patient.diaphragm["left"] - scene.y)


def _pneumothorax(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # Free air at the apex and the lateral wall; the collapsed lung's pleura is a thin line, the lung itself is denser.
    sign = SIDES[plan.side]
    centre, depth = lung_centre(patient, plan.side), 0.10 + 0.22 * plan.grade
    kept = ellipse(
        scene.x, scene.y, centre - sign * depth * 0.8, 0.28, patient.lung_width * 1.12 - depth * 0.4, 0.98 - depth
    )
    inside = _lung_of(scene, plan.side)
    air = edge(-kept, 0.02) * inside * edge(0.42 - scene.y, 0.05)
    line = np.exp(-((kept / 0.035) ** 2)) * inside * edge(0.42 - scene.y, 0.05)
    scene.extra += -0.075 * scene.lungs[plan.side] * air + 0.38 * line + 0.3 * (inside - air).clip(0) * plan.grade
    scene.texture *= 1 - air
    scene.patchy = np.where(air > 0.5, np.float32(3), scene.patchy)  # no vessel reaches beyond the pleura
    return air


def _consolidation(patient: Patient, scene: Scene, plan: Plan) -> Map:
    x0, y0 = _spot(patient, plan)
    blob = ellipse(scene.x, scene.y, x0, y0, 0.17 + 0.12 * plan.grade, 0.13 + 0.11 * plan.grade) + 0.22 * scene.patchy
    region = edge(blob - 0.15, 0.22) * _lung_of(scene, plan.side)
    bronchi = np.exp(-((scene.texture / 0.12) ** 2))
    scene.extra += (0.55 + 0.5 * plan.grade) * region * (1 - 0.45 * bronchi)
    return region


def _edema(patient: Patient, scene: Scene, plan: Plan) -> Map:
    region = np.zeros_like(scene.x)
    for sign in SIDES.values():
        region += np.exp(-(((scene.x - 0.24 * sign) / 0.24) ** 2) - ((scene.y - 0.06) / 0.34) ** 2)
    region = np.clip(region, 0, 1) * _lung_of(scene, "")
    lines = 0.5 + 0.5 * np.sin(scene.y * 75 + 2 * scene.patchy)
    kerley = lines * edge(np.abs(scene.x) - 0.5, 0.04) * edge(scene.y - 0.1, 0.05) * _lung_of(scene, "")
    scene.extra += plan.grade * (0.62 * region * (1 + 0.3 * scene.texture) + 0.16 * kerley)
    patient.vessels *= 1.6
    return edge(region - 0.3, 0.1)


def _lose_volume(patient: Patient, plan: Plan) -> None:
    sign = SIDES[plan.side]
    patient.diaphragm[plan.side] -= 0.07 + 0.10 * plan.grade
    patient.mediastinum_x += sign * 0.05 * plan.grade
    patient.heart_x += sign * 0.05 * plan.grade


def _atelectasis(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # Plates above a raised dome.
    base = diaphragm_line(patient, plan.side, scene.x) - 0.05
    region = np.zeros_like(scene.x)
    slope = 0.25 * plan.shift[0]
    for number in range(3):
        centre = base - 0.09 * number + slope * (scene.x - lung_centre(patient, plan.side))
        region += np.exp(-(((scene.y - centre) / (0.016 + 0.012 * plan.grade)) ** 2))
    within = np.abs(scene.x - lung_centre(patient, plan.side)) < 0.8 * patient.lung_width
    region = np.clip(region, 0, 1) * _lung_of(scene, plan.side) * within
    scene.extra += (0.5 + 0.45 * plan.grade) * region
    return region.astype(np.float32)


def _nodule(patient: Patient, scene: Scene, plan: Plan) -> Map:
    return _sphere(patient, scene, plan, radius=0.048 + 0.028 * plan.grade, density=1.25, lobes=0.0)


def _mass(patient: Patient, scene: Scene, plan: Plan) -> Map:
    return _sphere(patient, scene, plan, radius=0.12 + 0.07 * plan.grade, density=1.15, lobes=0.25)


def _sphere(patient: Patient, scene: Scene, plan: Plan, *, radius: float, density: float, lobes: float) -> Map:
    x0, y0 = _spot(patient, plan, 0.14)
    inside = ellipse(scene.x, scene.y, x0, y0, radius, radius) + lobes * scene.patchy
    thickness = np.sqrt(np.clip(inside, 0, 1))
    scene.extra += density * thickness
    return edge(inside, 0.1)


def _overinflate(patient: Patient, plan: Plan) -> None:
    patient.dome *= 0.4 - 0.3 * plan.grade
    for side in SIDES:
        patient.diaphragm[side] += 0.04 + 0.06 * plan.grade
        patient.air[side] *= 0.75 - 0.35 * plan.grade
    patient.heart_half_width *= 0.95 - 0.12 * plan.grade
    patient.vessels *= 0.5
    patient.lung_width += 0.015


def _whole_lungs(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # Bullae: round spots without tissue.
    bullae = edge(scene.patchy - 1.0, 0.15) * _lung_of(scene, "")
    scene.extra += -0.25 * plan.grade * bullae
    return edge(_lung_of(scene, "") - 0.5, 0.1)


def _fracture(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # A gap in the rib between two displaced ends with callus.
    sign = SIDES[plan.side]
    x0, y0 = sign * (0.60 + 0.06 * plan.shift[0]), ZONES[plan.place] + 0.1 * plan.shift[1]
    u, v = (scene.x - x0) * sign, scene.y - y0
    step = 0.03 + 0.03 * plan.grade
    inner = edge(0.028 - np.abs(v - 0.5 * u), 0.008) * edge(-u, 0.01) * edge(u + 0.15, 0.02)
    outer = edge(0.028 - np.abs(v - 0.5 * u - step), 0.008) * edge(u - 0.015, 0.01) * edge(0.15 - u, 0.02)
    callus = np.exp(-((u / 0.035) ** 2) - (v / 0.06) ** 2)
    scene.extra += (0.75 + 0.4 * plan.grade) * (inner + outer) + 0.9 * callus
    region: Map = np.clip(inner + outer + edge(callus - 0.3, 0.1), 0, 1)
    return region


def _hernia(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # Stomach behind the heart: a round wall with air above a fluid level.
    x0, y0, radius = 0.06 + 0.05 * plan.shift[0], 0.33 + 0.03 * plan.shift[1], 0.14 + 0.07 * plan.grade
    inside = ellipse(scene.x, scene.y, x0, y0, radius, radius * 0.95)
    sac, wall = edge(inside, 0.06), np.exp(-((inside / 0.16) ** 2))
    level = edge(scene.y - (y0 + 0.02), 0.008)
    scene.extra += 0.55 * wall + sac * (0.55 * level - 1.0 * (1 - level))
    return sac


def _fibrosis(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # A basal net of lines and small cysts, and less volume.
    net = np.maximum(
        np.abs(np.sin(scene.x * 48 + 2.5 * scene.patchy)), np.abs(np.sin(scene.y * 48 + 2.5 * scene.texture))
    )
    basal = edge(scene.y - 0.02, 0.12) * edge(np.abs(scene.x) - 0.2, 0.08) * _lung_of(scene, "")
    scene.extra += (0.45 + 0.5 * plan.grade) * (net**6 - 0.25) * basal
    return edge(basal - 0.4, 0.1)


def _shrink(patient: Patient, plan: Plan) -> None:
    for side in SIDES:
        patient.diaphragm[side] -= 0.05 * plan.grade


def _thickening(patient: Patient, scene: Scene, plan: Plan) -> Map:
    # A rind along the lateral wall and the apex.
    sign = SIDES[plan.side]
    depth = 0.05 + 0.07 * plan.grade
    lung = scene.lungs[plan.side]
    shallow = edge(lung - 0.5, 0.6) * edge((7.5 + 22 * depth) - lung, 1.2)
    band = (
        shallow
        * edge(sign * scene.x - lung_centre(patient, plan.side) * sign - 0.06, 0.04)
        * edge(0.35 - scene.y, 0.06)
    )
    scene.extra += (0.8 + 0.6 * plan.grade) * band * (1 + 0.2 * scene.texture)
    return band


ALL_ZONES = tuple(ZONES)
RULES: dict[str, Rule] = {
    "Effusion": Rule(True, (), None, _effusion),
    "Cardiomegaly": Rule(False, (), _big_heart, _heart_region),
    "Pneumothorax": Rule(True, (), None, _pneumothorax),
    "Consolidation": Rule(True, ALL_ZONES, None, _consolidation),
    "Edema": Rule(False, (), None, _edema),
    "Atelectasis": Rule(True, (), _lose_volume, _atelectasis),
    "Nodule": Rule(True, ALL_ZONES, None, _nodule),
    "Mass": Rule(True, ALL_ZONES, None, _mass),
    "Emphysema": Rule(False, (), _overinflate, _whole_lungs),
    "Fracture": Rule(True, ALL_ZONES, None, _fracture),
    "Hernia": Rule(False, (), None, _hernia),
    "Fibrosis": Rule(False, (), _shrink, _fibrosis),
    "Pleural_Thickening": Rule(True, (), None, _thickening),
}
PHANTOM_KINDS = tuple(RULES)
CLASHES = (
    {"Emphysema", "Fibrosis"},
    {"Emphysema", "Edema"},
    {"Effusion", "Atelectasis"},
    {"Pneumothorax", "Pleural_Thickening"},
)
"""Kinds that would hide each other; an image has at most one of each set."""

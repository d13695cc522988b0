"""A simple three-dimensional thorax: for each pixel the centimetres of tissue, lung and bone on the ray.

Coordinates: x from -1 (image left = the patient's right) to 1, y from -1 (top) to 1. Random numbers come before the
image size matters, so the same patient can be drawn at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

Map = np.ndarray[Any, np.dtype[Any]]
"""A float map over the image, (size, size)."""
SIDES = {"right": -1.0, "left": 1.0}
SPINE_HALF_WIDTH = 0.075


@dataclass
class Patient:
    """Shape of one thorax; findings change some of these before anything is drawn."""

    habitus: float
    """Centimetres of soft tissue at the middle."""
    lung_width: float
    lung_top: float
    diaphragm: dict[str, float]
    """Height of each dome's base, y."""
    dome: float
    """How much each dome rises."""
    heart_x: float
    heart_half_width: float
    heart_half_height: float
    mediastinum_x: float
    mediastinum_half_width: float
    rotation: float
    rib_phase: float
    rib_spacing: float
    rib_slope: float
    bone: float
    vessels: float
    """Strength of the lung's vascular markings."""
    air: dict[str, float]
    """Attenuation of each lung, 1/cm."""
    coarse: Map
    """(24, 24) and (48, 48) noise that vessels and textures are made of."""
    fine: Map


def draw_patient(rng: np.random.Generator) -> Patient:
    """A healthy adult."""

    def vary(middle: float, spread: float) -> float:
        return float(middle + spread * rng.uniform(-1, 1))

    base = vary(0.50, 0.07)
    return Patient(
        habitus=vary(20, 4),
        lung_width=vary(0.30, 0.025),
        lung_top=vary(-0.78, 0.05),
        diaphragm={"right": base - 0.04, "left": base + vary(0.0, 0.02)},
        dome=vary(0.12, 0.03),
        heart_x=vary(0.10, 0.03),
        heart_half_width=vary(0.315, 0.03),
        heart_half_height=vary(0.28, 0.03),
        mediastinum_x=vary(0.0, 0.015),
        mediastinum_half_width=vary(0.115, 0.015),
        rotation=vary(0.0, 0.03),
        rib_phase=float(rng.uniform(0, 1)),
        rib_spacing=vary(0.15, 0.012),
        rib_slope=vary(0.28, 0.06),
        bone=vary(1.0, 0.2),
        vessels=vary(1.0, 0.3),
        air={"right": vary(0.055, 0.006), "left": vary(0.055, 0.006)},
        coarse=rng.standard_normal((24, 24), np.float32),
        fine=rng.standard_normal((48, 48), np.float32),
    )


@dataclass
class Scene:
    """Maps of one patient at one size; findings add to them."""

    x: Map
    y: Map
    body: Map
    """Centimetres of body on the ray."""
    lungs: dict[str, Map]
    """Centimetres of lung of each side."""
    heart: Map
    """Share of the ray's lung that the heart and the mediastinum displace, 0 to 1."""
    bone: Map
    """Attenuation that bone adds."""
    extra: Map
    """Attenuation that findings and devices add."""
    texture: Map
    """Fine noise, about -2 to 2."""
    patchy: Map
    """Coarse noise, about -2 to 2."""


def draw_scene(patient: Patient, size: int) -> Scene:
    """Everything but findings and devices."""
    x, y = grid(size)
    x = x - np.float32(patient.rotation) * (y + 0.2) * 0.3
    width = np.where(y < -0.75, 1.15, 0.96 - 0.06 * np.cos(2 * y))
    body = np.float32(patient.habitus) * np.sqrt(np.clip(1 - (x / width) ** 2, 0, None))
    heart = _heart(patient, x, y)
    lungs = {side: _lung(patient, side, x, y) * (1 - heart) for side in SIDES}
    patchy, texture = upsample(patient.coarse, size), upsample(patient.fine, size)
    return Scene(x, y, body, lungs, heart, _bones(patient, x, y), np.zeros_like(x), texture, patchy)


def attenuation(patient: Patient, scene: Scene) -> Map:
    """Beer-Lambert exponent of every ray: sum of attenuation (1/cm) x centimetres."""
    soft = 0.19
    exponent = soft * scene.body + scene.bone + scene.extra
    for side, sign in SIDES.items():
        lung = scene.lungs[side]
        exponent = exponent - np.float32(soft - patient.air[side]) * lung
        exponent = exponent + np.float32(0.026 * patient.vessels) * lung * vessel_map(scene, sign)
    return exponent.astype(np.float32)


def vessel_map(scene: Scene, sign: float) -> Map:
    """Ridges of smooth noise as vessels, dense near the hilum and thin towards the edge."""
    distance = np.hypot(scene.x - np.float32(0.2 * sign), (scene.y - 0.02) * 0.8)
    ridges = np.exp(-((scene.patchy + 0.4 * scene.texture) ** 2) * 9)
    vessels: Map = ridges * np.exp(-(distance**2) * 7) * 1.5 + 0.25 * np.exp(-(distance**2) * 40)
    return vessels


@cache
def grid(size: int) -> tuple[Map, Map]:
    """X and y of the pixel centres, (size, size) each."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def upsample(noise: Map, size: int) -> Map:
    """Smooth enlargement of a small noise map."""
    return np.array(Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC))


def edge(distance: Map, softness: float = 0.012) -> Map:
    """0 where distance is negative, 1 where it is positive, a soft step between."""
    return (0.5 + 0.5 * np.tanh(distance / np.float32(softness))).astype(np.float32)


def ellipse(x: Map, y: Map, x0: float, y0: float, a: float, b: float) -> Map:
    """1 at the centre, 0 at the border, negative outside."""
    return 1 - ((x - np.float32(x0)) / np.float32(a)) ** 2 - ((y - np.float32(y0)) / np.float32(b)) ** 2


def lung_centre(patient: Patient, side: str) -> float:
    """X of the middle of a lung."""
    return SIDES[side] * (patient.lung_width + 0.13)


def diaphragm_line(patient: Patient, side: str, x: Map) -> Map:
    """Y of the dome at each x."""
    offset = (x - np.float32(lung_centre(patient, side))) / np.float32(patient.lung_width)
    line: Map = patient.diaphragm[side] - np.float32(patient.dome) * (1 - np.clip(offset**2, 0, 1.6))
    return line


def _lung(patient: Patient, side: str, x: Map, y: Map) -> Map:
    bottom = patient.diaphragm[side] + 0.25
    middle, half = (patient.lung_top + bottom) / 2, (bottom - patient.lung_top) / 2
    # Narrow at the apex, wide at the base.
    width = np.float32(patient.lung_width) * (1.06 + 0.16 * (y - 0.2))
    inside = 1 - np.abs((x - lung_centre(patient, side)) / width) ** 2.4 - np.abs((y - middle) / half) ** 2.4
    thickness = 15 * np.sqrt(np.clip(inside, 0, None))
    return (thickness * edge(diaphragm_line(patient, side, x) - y)).astype(np.float32)


def _heart(patient: Patient, x: Map, y: Map) -> Map:
    tilt = x - np.float32(0.25) * (y - 0.2)
    heart = ellipse(tilt, y, patient.heart_x, 0.25, patient.heart_half_width, patient.heart_half_height)
    knob = ellipse(x, y, patient.mediastinum_x + 0.11, -0.3, 0.07, 0.08)
    column = np.float32(patient.mediastinum_half_width) * (1 + 0.25 * np.clip(-y - 0.4, 0, 1)) - np.abs(
        x - np.float32(patient.mediastinum_x)
    )
    solid = np.maximum(np.maximum(edge(heart, 0.09), edge(knob, 0.3)), edge(column, 0.015))
    airway = 0.45 * edge(0.03 - np.abs(x - np.float32(patient.mediastinum_x)), 0.01) * edge(-0.2 - y, 0.03)
    return np.clip(0.93 * solid - airway, 0, 1)


def _bones(patient: Patient, x: Map, y: Map) -> Map:
    inside = edge(0.80 - np.abs(x) + 0.05 * y, 0.02) * edge(0.62 - y, 0.03) * edge(np.abs(x) - 0.1, 0.02)
    posterior = _band((y - patient.rib_slope * np.abs(x) ** 1.6) / patient.rib_spacing + patient.rib_phase, 0.2)
    anterior = _band((y + 0.9 * (np.abs(x) - 0.7) ** 2 - 0.1) / (patient.rib_spacing * 1.15) + patient.rib_phase, 0.22)
    ribs = (0.30 * posterior + 0.14 * anterior * edge(np.abs(x) - 0.3, 0.05)) * inside
    level = 0.75 + 0.25 * _band(y / 0.105 + patient.rib_phase, 0.55)
    spine = 0.5 * edge(SPINE_HALF_WIDTH - np.abs(x - np.float32(patient.mediastinum_x)), 0.012) * level
    line = np.abs(y + 0.66 + 0.16 * (np.abs(x) - 0.1) - 0.12 * np.sin(np.abs(x) * 4))
    clavicles = 0.38 * edge(0.03 - line, 0.008) * edge(np.abs(x) - 0.1, 0.02)
    bones: Map = np.float32(patient.bone) * (ribs + spine + clavicles)
    return bones.astype(np.float32)


def _band(phase: Map, share: float) -> Map:
    """Bright bands with a dense rim, once a unit of phase; `share` of the unit is bone."""
    distance = np.abs(phase - np.round(phase)) / np.float32(share)
    return edge(1 - distance, 0.12) * (0.7 + 0.5 * distance**2 * (distance < 1.1))

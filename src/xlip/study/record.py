"""The one record: a study, its entities and its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

ENTITY_TYPES = ("finding", "anatomy", "location", "severity", "device", "procedure")
ASSERTIONS = ("present", "absent", "uncertain", "historical", "hypothetical")
SIDES = ("", "left", "right", "bilateral")
VIEWS = ("PA", "AP", "LATERAL", "")
SEXES = ("F", "M", "")


@dataclass(frozen=True, slots=True)
class Entity:
    """A medical entity in a report: characters `start` to `end` (exclusive) of `Study.report`."""

    start: int
    end: int
    type: str
    """One of ENTITY_TYPES."""
    assertion: str
    """One of ASSERTIONS: what the report says of the entity, or of `kind` where an anatomy bears one ('heart size is
    normal': cardiomegaly is absent)."""
    kind: str | None = None
    locations: tuple[int, ...] = ()
    """Of a finding or device: where it is, as indices of entities of the same report (anatomy and location words)."""
    severities: tuple[int, ...] = ()
    """The severity and descriptor words about it, as indices."""
    side: str = ""
    """One of SIDES, as the linked location words say."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a finding of a kind is: the left upper corner and the size, as shares of the image's width and height."""

    kind: str
    x: float
    y: float
    width: float
    height: float


_NOTHING: Mapping[str, Any] = {}
"""Shared by all studies that lack a mapping; it is never written to."""


class Study(NamedTuple):
    """One image, one report, or both, of one patient, with what is known of its disease kinds.

    A tuple, because every study is made three times on its way to disk: a frozen dataclass costs four times as much to
    make, to copy (`study._replace(...)`) and to send to another process.
    """

    study_id: str
    patient_id: str
    source: str
    image: bytes | None = None
    """Encoded 8-bit grayscale image (PNG or JPEG), or None for a report alone."""
    image_path: str = ""
    """Where the image came from, relative to the root of its source."""
    report: str | None = None
    labels: Mapping[str, int] = _NOTHING
    """Canonical kind -> PRESENT, ABSENT or UNCERTAIN of `xlip.study.labels`; a missing kind is unknown."""
    entities: tuple[Entity, ...] = ()
    view: str = ""
    split: str = "train"
    tagger: str = ""
    """What found the entities, as `id@version`; empty where no tagger ran, or where the source brought them."""
    sections: Mapping[str, str] = _NOTHING
    """Cleaned report sections by name (`xlip.reports.sections.SECTIONS`); `report` is composed of some of them."""
    width: int = 0
    height: int = 0
    """Pixels of the original image, before `prepare` shrank it; 0 where unknown."""
    pixel_spacing: tuple[float, float] | None = None
    """Millimetres between rows and between columns of the original image."""
    sex: str = ""
    age: float | None = None
    """Years."""
    boxes: tuple[Box, ...] = ()
    masks: Mapping[str, bytes] = _NOTHING
    """Kind -> PNG whose white pixels are the finding; the shape of the stored image."""
    tags: tuple[str, ...] = ()
    """The data set's own words for labels, localisations or MeSH terms, as given."""
    report_kinds: Mapping[str, int] | None = None
    """What the report says of kinds, as `xlip.reports.entities.kinds_of` reads it; None where it has not been read."""
    language: str = ""
    """ISO 639 code of the report's language; empty where it was not determined, or where its words do not tell."""

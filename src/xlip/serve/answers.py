"""What the service answers: the types that its OpenAPI description is made from."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

NOTICE = "Research use only; not a medical device."


class ModelInfo(BaseModel):
    """What every answer is printed with."""

    checkpoint: str
    prompts: str
    preprocessing: str
    warning: str = ""
    """What the model is not fit for, where the package knows it: its own checkpoint has seen phantoms only."""


class Population(BaseModel):
    """Where a score lies among those of other films."""

    source: str
    films: int
    percentile: float
    """Share of these films with a lower score, in per cent."""
    quantiles: list[float]
    """Their scores at 5, 25, 50, 75 and 95 per cent."""


class Score(BaseModel):
    """One finding on one film."""

    finding: str
    """A kind's id, or the sentence."""
    name: str
    score: float
    """In [0, 1]; of use for ranking, no probability."""
    probability: float | None
    """By the calibration file; null where it does not know the finding."""
    population: Population | None


class FilmScores(BaseModel):
    """All findings of one film."""

    input: str
    """SHA-256 of its bytes."""
    warning: str
    """Why it is perhaps no frontal chest film, or empty."""
    scores: list[Score]


class ZeroShotAnswer(BaseModel):
    """Of /v1/zeroshot."""

    notice: str = NOTICE
    model: ModelInfo
    films: list[FilmScores]


class Vector(BaseModel):
    """One embedding, of length 1."""

    input: str
    vector: list[float]


class EmbedAnswer(BaseModel):
    """Of /v1/embed: vectors of one checkpoint alone may be compared."""

    notice: str = NOTICE
    model: ModelInfo
    images: list[Vector]
    texts: list[list[float]]


class Box(BaseModel):
    """A place, in shares of the square's sides."""

    x: float
    y: float
    width: float
    height: float


class FindingMap(BaseModel):
    """Where the model sees one finding."""

    finding: str
    name: str
    map: list[list[float]]
    """Rows of values, from the top left of the square."""
    low: float
    high: float
    """The fixed scale of the values: up to low nothing is coloured."""
    score: float
    threshold: float
    """Of the score, from which on the finding counts as found."""
    found: bool
    """Whether the model says that the finding is there at all; where not, nothing is to be coloured."""
    boxes: list[Box]
    overlay: str | None
    """PNG in base64, where asked for."""


class ExplainAnswer(BaseModel):
    """Of /v1/explain."""

    notice: str = NOTICE
    model: ModelInfo
    input: str
    how: str
    warning: str
    maps: list[FindingMap]


class Case(BaseModel):
    """A case of the index."""

    id: str
    similarity: float
    """Cosine."""
    columns: dict[str, Any]
    report: str | None
    thumbnail: str | None
    """JPEG or PNG in base64."""


class SearchAnswer(BaseModel):
    """Of /v1/search."""

    notice: str = NOTICE
    model: ModelInfo
    input: str
    cases: list[Case]


class KindInfo(BaseModel):
    """A kind that may be asked for."""

    id: str
    name: str
    aliases: list[str]
    default: bool
    calibrated: bool
    population: int
    """Films that its scores are shown beside."""


class KindsAnswer(BaseModel):
    """Of /v1/kinds: what this service can do."""

    notice: str = NOTICE
    model: ModelInfo
    kinds: list[KindInfo]
    neutral: str
    maps: list[str]
    """Ways to say where: response, occlusion."""
    index: int | None
    """Cases that can be searched; null without an index."""
    index_compares: bool
    """Whether scores of kinds stand beside those of the index's films: not where a map has a share in them."""
    columns: list[str]
    """Columns of the index that a search may be narrowed by."""
    dicom: bool
    """Whether results can be had as DICOM objects, of films that came as DICOM."""
    no_dicom: str
    """Why they cannot; empty where they can."""
    max_films: int
    max_mb: float


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class State(BaseModel):
    """Of /health and /ready."""

    status: str

"""What typed figures are made of: numbers, shares, intervals; and how a file that breaks their types is refused."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError

from xlip.errors import XLIPError

AGAIN = "evaluate again with this version of xlip"


def finite(value: Any) -> Any:
    """None for NaN and infinity, which JSON does not know; anything else as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ordered(bounds: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    low, high = bounds
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise ValueError("expected [low, high] with low <= high, or two nulls")
    return bounds


Number = Annotated[Annotated[float, Strict()] | None, BeforeValidator(finite)]
"""None, null in JSON: it could not be computed."""
Share = Annotated[Annotated[float, Strict(), Field(ge=0, le=1)] | None, BeforeValidator(finite)]
Span = Annotated[tuple[Number, Number], AfterValidator(_ordered)]
"""Bounds of a 95 % interval."""
Interval = Annotated[tuple[Share, Share], AfterValidator(_ordered)]
"""The same, of a share."""
Count = Annotated[int, Strict(), Field(ge=0)]
Truth = Annotated[bool, Strict()]
NONE: tuple[None, None] = (None, None)
Headline = tuple[str, float | None, tuple[float | None, float | None]]
"""Name, value and interval of a figure that stands for an evaluation in a table."""


class Part(BaseModel):
    """Any piece of the figures: frozen, without unknown fields; made from the dataclass of `xlip.metrics` too."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a file: what was not measured is missing, what cannot be computed is null."""
        return self.model_dump(mode="json", exclude_unset=True)


class Mean(Part):
    """A mean over cases with its interval over patients."""

    mean: Number
    ci95: Span


class Area(Part):
    """An AUROC with its interval."""

    auroc: Share
    ci95: Interval


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], value: Any, where: str) -> Model:
    """A typed piece from JSON values.

    Raises:
        XLIPError: a field is missing, unknown, of another type or out of range; one line that names it.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise XLIPError(_words(error, where)) from error


def _words(error: ValidationError, where: str) -> str:
    """The first fault as one line."""
    first = error.errors(include_url=False)[0]
    *parents, name = first["loc"] or ("",)
    place = where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in parents)
    if first["type"] == "missing":
        return f"{place}: the field {name!r} is missing; {AGAIN}"
    if first["type"] == "extra_forbidden":
        return f"{place}: the field {name!r} is unknown here; {AGAIN}"
    if name != "":
        place += f"[{name}]" if isinstance(name, int) else f".{name}"
    shown = repr(first["input"])
    said = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{place}: {said}, got {shown if len(shown) < 60 else shown[:57] + '...'}; {AGAIN}"

"""What a request may ask for, beside its images; checked before anything is computed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from xlip.errors import XLIPError
from xlip.runtime.scores import NEUTRAL
from xlip.serve.problems import RequestError
from xlip.study.kinds import canonical

MOST_TEXTS, LONGEST_TEXT, LONGEST_FILTER, MOST_HITS = 32, 500, 2000, 100

A = TypeVar("A", bound="Ask")


def _split(value: Any) -> Any:
    """Forms and queries give lists, of which each text may hold several kinds separated by commas."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return items
    return [part.strip() for item in items for part in item.split(",") if part.strip()]


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, list) and value else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _known(kinds: list[str]) -> list[str]:
    try:
        return list(dict.fromkeys(canonical(kind) for kind in kinds))
    except XLIPError as error:
        raise ValueError(str(error)) from error


def _words(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise ValueError("expected a sentence, got an empty text")
    return text


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_words)]
Texts = Annotated[list[Text], BeforeValidator(_listed), Field(max_length=MOST_TEXTS)]
Kinds = Annotated[list[str], BeforeValidator(_split), Field(max_length=MOST_TEXTS * 4), AfterValidator(_known)]


class Ask(BaseModel):
    """Fields of a request; one that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def of(cls: type[A], fields: dict[str, Any]) -> A:
        """Checked fields.

        Raises:
            RequestError: a field is unknown or cannot be; the detail names it.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the request"
            known = ", ".join(cls.model_fields) or "none"
            more = f"; known fields: {known}" if first["type"] == "extra_forbidden" else ""
            raise RequestError("invalid", f"{where}: {first['msg'].removeprefix('Value error, ')}{more}") from None


class ZeroShotAsk(Ask):
    """Kinds by the prompt set, and sentences of the client's own; neither: the service's kinds."""

    kinds: Kinds = []
    texts: Texts = []
    neutral: Annotated[Text, BeforeValidator(_last)] = NEUTRAL


class EmbedAsk(Ask):
    """Sentences to embed beside the images, or alone."""

    texts: Texts = []


class ExplainAsk(Ask):
    """Where the model sees what: by the map of its own response, or by occlusion (slower, for every model)."""

    kinds: Kinds = []
    texts: Texts = []
    neutral: Annotated[Text, BeforeValidator(_last)] = NEUTRAL
    how: Annotated[Literal["", "response", "occlusion"], BeforeValidator(_last)] = ""
    """Empty: the model's own response where it has one, else occlusion."""
    overlay: Annotated[bool, BeforeValidator(_last)] = False
    """Also the film with the map over it, as PNG in base64."""


class DicomAsk(Ask):
    """One prediction as DICOM objects of the film's study; neither kinds nor texts: the service's kinds."""

    kinds: Kinds = []
    texts: Texts = []
    neutral: Annotated[Text, BeforeValidator(_last)] = NEUTRAL
    how: Annotated[Literal["", "response", "occlusion"], BeforeValidator(_last)] = ""
    """Empty: the model's own response where it has one, else occlusion."""
    objects: Annotated[list[Literal["sc", "pm", "seg", "sr"]], BeforeValidator(_split), Field(max_length=4)] = []
    """Secondary Capture, Parametric Map, Segmentation, Structured Report; none named: all of them."""


class FilmAsk(Ask):
    """Nothing but the image."""


class SearchAsk(Ask):
    """Cases like the image, or like a sentence."""

    text: Annotated[Text | None, BeforeValidator(_last)] = None
    top: Annotated[int, BeforeValidator(_last), Field(ge=1, le=MOST_HITS)] = 12
    where: Annotated[str, BeforeValidator(_last), Field(max_length=LONGEST_FILTER)] = ""
    """One condition over the columns of the index, as for `xlip search`."""

"""Bodies of requests: raw images, multipart forms and JSON, in memory alone and within bounds."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from xlip.serve.admission import Place
from xlip.serve.problems import RequestError

MOST_FIELDS = 200
MOST_FIELD_BYTES = 64 << 10
SWALLOWED = 4
"""A body of so many times the limit is cut off; a smaller one is read to its end and refused."""


@dataclass(frozen=True)
class Limits:
    """What a body may hold."""

    most_bytes: int
    most_films: int


@dataclass(frozen=True)
class Body:
    """What a request holds."""

    images: list[bytes] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    """From the query, the form or the JSON object: lists of texts from the first two."""


class _InMemory(MultiPartParser):
    """Starlette's parser writes parts of more than a megabyte to a temporary file: films never touch a disk here."""

    spool_max_size: ClassVar[int] = 1 << 40  # type: ignore[misc]


async def read_body(request: Request, limits: Limits, place: Place) -> Body:
    """Read and take apart a body.

    Raises:
        RequestError: too large, cut short, or not what its media type says.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    fields = _query(request)
    stream = _bounded(request, limits.most_bytes, place)
    if media == "multipart/form-data":
        images, more = await _form(request, stream, limits)
        return Body(images, fields | more)
    whole = b"".join([chunk async for chunk in stream])
    if media == "application/json":
        return Body([], fields | _json_object(whole))
    return Body([whole] if whole else [], fields)


async def _bounded(request: Request, most: int, place: Place) -> AsyncGenerator[bytes, None]:
    """The chunks of a body; nothing of one that says it is too large."""
    said = request.headers.get("content-length", "0")
    refused = said.isdigit() and int(said) > most
    count = 0
    try:
        if refused and int(said) > SWALLOWED * most:
            raise _too_large(most)
        async for chunk in request.stream():
            count += len(chunk)
            refused = refused or count > most
            # What comes after the limit is thrown away: a client that reads once all is sent gets an answer too.
            if count > SWALLOWED * most:
                break
            if not refused:
                place.hold(len(chunk))
                yield chunk
        if refused:
            raise _too_large(most)
    except ClientDisconnect:
        raise RequestError("bad-request", "the body ended early") from None


def _too_large(most: int) -> RequestError:
    return RequestError("too-large", f"expected a body of at most {most / (1 << 20):g} MiB", {"Connection": "close"})


async def _form(request: Request, stream: AsyncIterator[bytes], limits: Limits) -> tuple[list[bytes], dict[str, Any]]:
    images: list[bytes] = []
    fields: dict[str, Any] = {}
    parser = _InMemory(
        request.headers,
        stream,  # type: ignore[arg-type]
        max_files=limits.most_films,
        max_fields=MOST_FIELDS,
        max_part_size=MOST_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError, UnicodeDecodeError, KeyError, LookupError) as error:
        said = getattr(error, "message", "") or "this is no multipart form"
        raise RequestError(
            "bad-request", f"{said}; expected up to {limits.most_films} images and text fields"
        ) from None
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):  # whatever its name and its file's name are
                images.append(await value.read())
            else:
                fields.setdefault(name, []).append(value)
    finally:
        await form.close()
    return images, fields


def _query(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in request.query_params.multi_items()[:MOST_FIELDS]:
        fields.setdefault(name, []).append(value)
    return fields


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise RequestError("bad-request", "the body is no JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise RequestError("bad-request", f"expected a JSON object, got {type(found).__name__}")
    return found

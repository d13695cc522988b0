"""What every question passes on its way in and out: token, place in the queue, time, body, audit log."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.requests import Request

from xlip.serve.admission import Admission
from xlip.serve.asks import Ask
from xlip.serve.audit_log import AuditLog
from xlip.serve.bodies import Limits, read_body
from xlip.serve.films import Film
from xlip.serve.measures import Measures
from xlip.serve.problems import RequestError
from xlip.serve.service import Service
from xlip.serve.tokens import Tokens

A = TypeVar("A", bound=Ask)


class Door:
    """The checks that every request of a service passes, on its way in and out."""

    def __init__(self, service: Service, tokens: Tokens, audit: AuditLog) -> None:
        config = service.config
        self.service, self._tokens, self._audit = service, tokens, audit
        self.admission = Admission(config.queue, int(config.memory_mb * (1 << 20)))
        self.limits = Limits(int(config.max_mb * (1 << 20)), config.max_films)
        self.measures = Measures(self.admission, config.batch)
        service.on_batch = self.measures.batches.observe

    def key(self, request: Request) -> str:
        """The id of the caller's key.

        Raises:
            RequestError: none that is known.
        """
        return self._tokens.key_id(request.headers.get("authorization"))

    @asynccontextmanager
    async def passed(self, request: Request, kind: type[A]) -> AsyncIterator[tuple[A, list[Film]]]:
        """A checked question and its decoded films; the block, which answers it, has the same place and time.

        Raises:
            RequestError: whatever is wrong with the request.
        """
        self.key(request)  # before anything of the body is read
        if not self.service.ready:
            raise RequestError("not-ready", "the model is being loaded; /ready says when", {"Retry-After": "1"})
        seconds, reading = self.service.config.timeout, True
        try:
            async with asyncio.timeout(seconds):
                with self.admission.place() as place:
                    body = await read_body(request, self.limits, place)
                    reading = False
                    if len(body.images) > self.limits.most_films:
                        raise RequestError("too-large", f"expected at most {self.limits.most_films} images")
                    ask = kind.of(body.fields)
                    # One after the other: no request takes more than one of the threads that decode.
                    yield ask, [await self.service.film(data) for data in body.images]
        except TimeoutError:
            if reading:
                said = f"the body was not there within {seconds:g} s"
                raise RequestError("too-slow", said, {"Connection": "close"}) from None
            raise RequestError("timeout", f"no answer within {seconds:g} s", {"Retry-After": "5"}) from None

    def record(self, request: Request, films: Sequence[Film], texts: Sequence[str] = ()) -> None:
        """A line of the audit log for each film; for a question without one, a line of its texts.

        Raises:
            RequestError: it cannot be written: then the answer must not go out.
        """
        hashes = [film.sha256 for film in films] or [hashlib.sha256("\n".join(texts).encode()).hexdigest()]
        for one in hashes:
            self._audit.prediction(
                route=request.url.path,
                key=self.key(request),
                request=request.scope["state"]["request"],
                input_hash=one,
                model=self.service.info.model_dump(),
            )
        self.measures.predictions.labels(request.url.path).inc(len(films))


def one_film(films: Sequence[Film]) -> Film:
    """The only film of a question.

    Raises:
        RequestError: none, or several.
    """
    if len(films) != 1:
        kind = "invalid" if films else "no-image"
        raise RequestError(kind, f"expected one PNG, JPEG or DICOM image as the body or in a form, got {len(films)}")
    return films[0]

"""The service as an ASGI application: questions, states, the page, and the faults of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from xlip.serve.answers import State
from xlip.serve.audit_log import AuditLog
from xlip.serve.description import ABOUT
from xlip.serve.door import Door
from xlip.serve.guard import Guard
from xlip.serve.measures import CONTENT_TYPE
from xlip.serve.problems import RequestError
from xlip.serve.routes import question_routes
from xlip.serve.service import Service
from xlip.serve.tokens import Tokens

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def make_app(
    service: Service, tokens: Tokens, audit: AuditLog, on_started: Callable[[], None] = lambda: None
) -> ASGIApp:
    """Of a service that is not running yet: the application starts and stops it.

    `on_started` is called once the service is ready, or has failed to become so.
    """

    def started(task: asyncio.Task[None]) -> None:
        door.measures.ready.set(float(service.ready))
        on_started()

    door = Door(service, tokens, audit)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(service.start())
        starting.add_done_callback(started)
        try:
            yield
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await service.stop()
            audit.close()

    # Without FastAPI's pages of documentation: they load their scripts from another site.
    app = FastAPI(**ABOUT, lifespan=life, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_exception_handler(Exception, _fault)
    app.add_exception_handler(RequestError, _fault)
    app.add_exception_handler(HTTPException, _fault)
    app.include_router(question_routes(door))
    _add_states(app, door)
    routes = {"/openapi.json", *(str(getattr(route, "path", "")) for route in app.routes), *_add_page(app)}
    routes |= set(app.openapi()["paths"])
    return Guard(app, service.config.allowed_hosts, frozenset(routes), door.measures.request)


async def _fault(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestError):
        return error.response()
    if isinstance(error, HTTPException):
        known = {404: "not-found", 405: "wrong-method"}
        return RequestError(known.get(error.status_code, "bad-request"), "see /openapi.json", error.headers).response()
    number = request.scope.get("state", {}).get("request", "")
    return RequestError("fault", f"the operator finds it in the log as {number}").response()


def _add_states(app: FastAPI, door: Door) -> None:
    @app.get("/health")
    async def health() -> State:
        """Whether the process answers."""
        return State(status="ok")

    @app.get("/ready", responses={503: {"description": "not yet"}})
    async def ready() -> State:
        """Whether the model answers."""
        if not door.service.ready:
            raise RequestError("not-ready", "the model is being loaded", {"Retry-After": "1"})
        return State(status="ready")

    @app.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        """For Prometheus; needs a token where questions do."""
        door.key(request)
        return Response(door.measures.text(), media_type=CONTENT_TYPE)


def _add_page(app: FastAPI) -> list[str]:
    """The files of the page, read once: no path of a request ever names a file on the disk."""
    paths = []
    for file in files("xlip.serve").joinpath("static").iterdir():
        ending = file.name.rpartition(".")[2]
        if ending in TYPES:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            app.get(path, include_in_schema=False)(_served(file.read_bytes(), f"{TYPES[ending]}; charset=utf-8"))
            paths.append(path)
    return paths


def _served(content: bytes, media_type: str) -> Callable[[], Coroutine[Any, Any, Response]]:
    async def answer() -> Response:
        return Response(content, media_type=media_type)

    return answer

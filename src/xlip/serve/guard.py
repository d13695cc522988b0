"""What surrounds every request: host and origin, headers of safety, one log line, and no fault that escapes."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xlip.serve.problems import RequestError

log = logging.getLogger("xlip.serve")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "cache-control": "no-store",
    }.items()
)


class Guard:
    """The outermost layer of the service.

    A log line holds the request's number, its route (from a fixed list), status, and time. A fault of our own is
    logged by its type and the places it passed through: its message might quote the input.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str], routes: frozenset[str], count: Callable[[str, int, float], None]
    ) -> None:
        self.app, self._hosts, self._routes, self._count = app, hosts, routes, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the service."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None  # no web sockets here: uvicorn answers 403
        start, request = perf_counter(), uuid4().hex
        scope.setdefault("state", {})["request"] = request
        status: list[int] = []

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
                own = [(b"x-request-id", request.encode()), *HEADERS]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, receive, guarded)
        except RequestError as problem:
            await problem.response()(scope, receive, guarded)
        except Exception as error:
            log.error("request=%s fault=%s at=%s", request, type(error).__name__, places(error))
            if not status:
                await RequestError("fault", f"the operator finds it in the log as {request}").response()(
                    scope, receive, guarded
                )
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            seconds, code = perf_counter() - start, status[0] if status else 499
            self._count(route, code, seconds)
            log.info("request=%s route=%s status=%d ms=%.1f", request, route, code, 1000 * seconds)
        return None

    def _check(self, scope: Scope) -> None:
        """Refuse what a page of another site may send by way of its reader's browser.

        Raises:
            RequestError: a Host header that this service is not known by (DNS rebinding), or an Origin of another.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self._hosts and name not in self._hosts:
            raise RequestError(
                "wrong-host", "the Host header names another service; the operator can add it by --hosts"
            )
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        site = headers.get(b"sec-fetch-site", b"same-origin")
        if (origin and origin.partition("://")[2] != host) or (site == b"cross-site" and scope["method"] != "GET"):
            raise RequestError("foreign-origin", "expected a request of this service's own page, or of no page at all")


def places(error: BaseException) -> str:
    """Where a fault passed through, without what it says."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))

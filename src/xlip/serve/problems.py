"""Faults of a request as RFC 9457 problem details: one type, status and title each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:xlip:problem:"

KINDS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be understood"),
    "no-image": (400, "The request holds no image"),
    "unauthorized": (401, "A valid token is needed"),
    "foreign-origin": (403, "Pages of other sites may not ask"),
    "not-found": (404, "There is nothing here"),
    "wrong-method": (405, "This address knows other methods"),
    "too-slow": (408, "The body took too long to arrive"),
    "too-large": (413, "The request is larger than this service accepts"),
    "unsupported-image": (415, "Expected PNG, JPEG or DICOM"),
    "wrong-host": (421, "This service is not known by that name"),
    "unreadable-image": (422, "The image cannot be read"),
    "invalid": (422, "The request asks for what cannot be"),
    "no-index": (422, "This service has no index of cases"),
    "no-dicom": (422, "DICOM objects cannot be made of this"),
    "busy": (429, "Too many requests at once"),
    "fault": (500, "The service failed"),
    "not-ready": (503, "The model is not ready yet"),
    "no-audit": (503, "The prediction could not be recorded"),
    "timeout": (503, "The answer took too long"),
}
"""Every kind of fault: its status and title. docs/howto/serve.md lists them."""


class RequestError(Exception):
    """A request that is answered by a fault."""

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(kind)  # never the detail: what is raised may be logged, and the detail may quote the request
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """As it goes over the wire."""
        body: dict[str, Any] = {
            "type": PREFIX + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return JSONResponse(body, self.status, self.headers, MEDIA_TYPE)

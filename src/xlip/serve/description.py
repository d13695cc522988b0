"""What the OpenAPI description says of bodies and faults, which the service reads and raises by itself."""

from __future__ import annotations

from typing import Any

from xlip.serve.answers import NOTICE, ProblemDetails
from xlip.serve.asks import Ask
from xlip.serve.problems import KINDS, MEDIA_TYPE

ABOUT: dict[str, Any] = {
    "title": "XLIP",
    "description": f"Chest radiographs and sentences in one space. {NOTICE}",
    "version": "1",
}
IMAGE_TYPES = ("image/png", "image/jpeg", "application/dicom")


def body_of(ask: type[Ask], *forms: str) -> dict[str, Any]:
    """The request body of a route whose fields are those of `ask`.

    Args:
        ask: its fields go into the query of a raw image, beside the images of a form, or into a JSON object.
        forms: `image`, `json`.
    """
    schema = ask.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    fields = schema.get("properties", {})
    content: dict[str, Any] = {}
    if "image" in forms:
        binary = {"type": "string", "format": "binary"}
        content |= {name: {"schema": binary} for name in IMAGE_TYPES}
        images = {"type": "array", "items": binary, "description": "PNG, JPEG or DICOM files; names are ignored"}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": {"image": images, **fields}}}
    if "json" in forms:
        content["application/json"] = {"schema": schema}
    query = [{"name": name, "in": "query", "required": False, "schema": one} for name, one in fields.items()]
    return {"requestBody": {"required": True, "content": content}, "parameters": query}


def problems() -> dict[int | str, dict[str, Any]]:
    """Every status of a fault, for the description of a route."""
    named: dict[int | str, dict[str, Any]] = {}
    for kind, (status, title) in KINDS.items():
        entry = named.setdefault(
            status, {"description": "", "content": {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}}
        )
        entry["description"] = (entry["description"] + f"; {kind}: {title}").removeprefix("; ")
    return named

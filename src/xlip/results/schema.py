"""The JSON schemas of our files of figures, made from the typed figures and kept beside this file."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from xlip.results.compare import Comparison
from xlip.results.figures import FIGURES
from xlip.results.folder import IDENTITY, SCHEMA_VERSION
from xlip.results.leaderboard import Leaderboard
from xlip.results.transport import Transport

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT = {"type": "string", "minLength": 1}


def metrics_schema() -> dict[str, Any]:
    """Of `metrics.json`: one form per evaluator, told apart by the field `evaluator`.

    Beside the figures stand the identity (checkpoint, split, preprocessing, and further texts) and the seconds.
    """
    classes = list(dict.fromkeys(FIGURES.values()))
    _, schema = models_json_schema([(one, "validation") for one in classes], ref_template="#/$defs/{model}")
    version = {"type": "integer", "minimum": 1, "maximum": SCHEMA_VERSION}
    shared = {
        "schema_version": version,
        "xlip": TEXT,
        "seconds": {"type": "number", "minimum": 0},
        **dict.fromkeys(IDENTITY, TEXT),
    }
    forms = []
    for one in classes:
        names = [name for name, other in FIGURES.items() if other is one]
        own = schema["$defs"].pop(one.__name__) if one.__name__ in schema["$defs"] else {}
        forms.append({
            "title": one.__name__,
            "type": "object",
            "properties": {"evaluator": {"enum": names}, **shared, **own.get("properties", {})},
            "required": ["evaluator", *(name for name in IDENTITY if name != "prompts"), *own.get("required", [])],
            "additionalProperties": TEXT,
        })  # fmt: skip
    return {"$schema": DIALECT, "title": "metrics.json", "oneOf": forms, "$defs": schema["$defs"]}


def comparison_schema() -> dict[str, Any]:
    """Of `comparison.json`."""
    return {"$schema": DIALECT, **Comparison.model_json_schema()}


def transport_schema() -> dict[str, Any]:
    """Of `transport.json`."""
    return {"$schema": DIALECT, **Transport.model_json_schema()}


def leaderboard_schema() -> dict[str, Any]:
    """Of `leaderboard.json`."""
    return {"$schema": DIALECT, **Leaderboard.model_json_schema()}


SCHEMAS = {
    "metrics.schema.json": metrics_schema,
    "comparison.schema.json": comparison_schema,
    "transport.schema.json": transport_schema,
    "leaderboard.schema.json": leaderboard_schema,
}
"""File beside this one -> what makes it (`make schema`)."""

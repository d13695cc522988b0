"""Report text: de-identification marks out, sections apart, an empty report is no report."""

from __future__ import annotations

import re

_MARKS = re.compile(r"\bX{4,}\b|_{3,}")
_HEADER = re.compile(
    r"(?im)^\s*(findings|impression|conclusion|indication|reason for exam(?:ination)?|comparison|history|"
    r"clinical (?:history|information)|technique|examination)\s*:"
)
_NAMES = {"conclusion": "impression", "reason for exam": "indication", "reason for examination": "indication"}


def clean(text: object) -> str | None:
    """Text without de-identification marks (`XXXX`, `___`) and with single spaces; None where nothing is left."""
    if not isinstance(text, str):
        return None
    joined = re.sub(r"\s+", " ", _MARKS.sub(" ", text)).strip()
    joined = re.sub(r"\s+([.,;:])", r"\1", joined)
    return joined if re.search(r"\w", joined) else None


def compose(findings: object, impression: object) -> str | None:
    """Findings, then impression, cleaned; None where both are empty."""
    parts = [part for part in (clean(findings), clean(impression)) if part]
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts) or None


def sections(text: str) -> dict[str, str]:
    """Sections by lower-case name; text before the first header is `preamble`."""
    found: dict[str, str] = {}
    headers = list(_HEADER.finditer(text))
    first = clean(text[: headers[0].start()] if headers else text)
    if first:
        found["preamble"] = first
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        name = header.group(1).lower()
        body = clean(text[header.end() : following.start() if following else len(text)])
        if body:
            found[_NAMES.get(name, name)] = body
    return found

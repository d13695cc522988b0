"""Report text: de-identification marks out, sections apart, an empty report is no report."""

from __future__ import annotations

import re

_MARKS = re.compile(r"X{4,}|_{3,}")  # Open-i glues some to a word: no word boundary
_HEADERS = (
    "findings|impression|conclusion|indication|reason for exam(?:ination)?|comparison|history|"
    "clinical (?:history|information)|technique|examination"
)
# Inside a line only capitals make a header: 'no significant findings: ...' is a sentence.
_HEADER = re.compile(rf"(?m)(?:^\s*(?i:({_HEADERS}))|(?<=\s)({_HEADERS.upper()}))\s*:")
_NAMES = {
    "conclusion": "impression",
    "reason for exam": "indication",
    "reason for examination": "indication",
    "clinical history": "history",
    "clinical information": "history",
}


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
    ends = [*(header.start() for header in headers[1:]), len(text)]
    for header, end in zip(headers, ends, strict=False):
        name = (header.group(1) or header.group(2)).lower()
        body = clean(text[header.end() : end])
        if body:
            found[_NAMES.get(name, name)] = body
    return found

"""Report text: de-identification marks out, sections apart; an empty report is no report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from xlip.errors import XLIPError
from xlip.reports.headers import ADMINISTRATIVE, EXAM_TITLE, PART, find_headers, may_hold_headers

SECTIONS = (
    *("findings", "impression", "indication", "history", "comparison", "technique", "examination"),
    *("recommendation", "addendum", "wet_read", "notification", "preamble", "last_paragraph", ADMINISTRATIVE, "whole"),
)
"""Names that `sections` gives, in the order of a report."""
DEFAULT_PRIORITY = "findings,impression"
"""Which sections make up a report; see `compose_sections`."""

_MARKS = re.compile(r"X{4,}|_{3,}|\[\*\*.*?\*\*\]")  # Open-i glues some to a word: no word boundary
_LETTER = re.compile(r"\w")
_NO_PARAGRAPH = re.compile(r"(?im)^\s*(?:final report|final|_+)\s*$")
_READ = ("findings", "impression", "addendum", "wet_read", EXAM_TITLE)
_ABBREVIATIONS = frozenset(
    {"dr", "dra", "mr", "mrs", "ms", "vs", "approx", "e.g", "i.e", "fig", "etc", "resp", "st", "ca", "cf", "prof"}
)
_ABBREVIATED = re.compile(rf"(?i)(?:^|[\s.])(?:[^\W\d_]|{'|'.join(_ABBREVIATIONS)}|med|sra?|mme?|no|nr)$")
_SEPARATORS = re.compile(r"\s*[|;]\s*$")
_END = re.compile(r"[.!?]+(?=[\s\"')\]]|$)[\"')\]]*|\n\s*\n|\n(?=\s*(?:\d+[.)]|[-*])\s)")


def clean(text: object) -> str | None:
    """Text without de-identification marks (`XXXX`, `___`, `[** **]`), single-spaced; None where nothing is left."""
    if not isinstance(text, str):
        return None
    if "XXXX" in text or "___" in text or "[**" in text:
        text = _MARKS.sub(" ", text)
    joined = " ".join(text.split())
    for mark in ".,;:":
        joined = joined.replace(f" {mark}", mark)
    return joined if _LETTER.search(joined) else None


def compose_sections(found: Mapping[str, str], priority: str = DEFAULT_PRIORITY) -> str | None:
    """The report that a priority makes of sections; None where none of them is there.

    Commas join sections, bars choose the first that is there: `findings,impression` is both, as far as they exist;
    `impression|findings` is the impression, or else the findings; `findings|last_paragraph,impression` joins a choice
    and the impression.

    Raises:
        XLIPError: a name that is none of `SECTIONS`.
    """
    parts = []
    for choice in priority.split(","):
        names = [name.strip() for name in choice.split("|")]
        for name in names:
            if name not in SECTIONS:
                raise XLIPError(f"report sections: expected names of {', '.join(SECTIONS)}; got {name!r}")
        parts.append(next((found[name] for name in names if found.get(name)), ""))
    return _joined(part for part in parts if part)


def sections(text: str) -> dict[str, str]:
    """Sections of a report by name, cleaned; empty ones are left out.

    Text before the first header is `preamble`. A header that only names the examination ('CHEST, PA AND LATERAL:')
    opens the findings where the report has no findings of its own. A name that comes twice (addenda) is joined. What
    follows the line, or the sentence, of an administrative header ('MRN: 123', 'Dictated by ...') belongs to the
    section before it. A report without findings and impression also gets `last_paragraph`.
    """
    if not may_hold_headers(text):  # most reports of some archives, and a third of the cost
        whole = clean(text)
        return {"preamble": whole, "last_paragraph": whole} if whole else {}
    parts, last_header = _parts(text)
    named = {name for name, body in parts if clean(body)}
    found: dict[str, str] = {}
    for name, body in parts:
        wanted = ("examination" if "findings" in named else "findings") if name == EXAM_TITLE else name
        cleaned = clean(_SEPARATORS.sub("", _NO_PARAGRAPH.sub(" ", body)))
        if cleaned:
            found[wanted] = " ".join(part for part in (found.get(wanted), cleaned) if part)
    if not {"findings", "impression"} & found.keys():
        last = _last_paragraph(text, last_header)
        if last:
            found["last_paragraph"] = last
    return found


def sentences(text: str) -> list[str]:
    """The sentences of what a report says of this image: its findings and impression, or a text without headers."""
    found = sections(text)
    body = compose_sections(found) or compose_sections(found, "preamble|last_paragraph") or ""
    made, start = [], 0
    for match in _END.finditer(body):
        if not _ABBREVIATED.search(body[start : match.start()]):
            made.append(body[start : match.end()].strip())
            start = match.end()
    return [sentence for sentence in (*made, body[start:].strip()) if re.search(r"\w", sentence)]


def _parts(text: str) -> tuple[list[tuple[str, str]], int]:
    """(section, raw text) in order, and where the text after the last header that is not administrative begins."""
    headers = find_headers(text)
    parts = [("preamble", text[: headers[0].start] if headers else text)]
    last_header = 0
    ends = [*(header.start for header in headers[1:]), len(text)]
    for header, end in zip(headers, ends, strict=False):
        body = text[header.end : end]
        if header.section == PART:
            before = _before(parts)
            parts.append((before if before in _READ else "findings", body))
            continue
        if header.section != ADMINISTRATIVE:
            parts.append((header.section, body))
            last_header = header.end
            continue
        cut = _administrative_end(body)
        parts += [(ADMINISTRATIVE, body[:cut]), (_before(parts), body[cut:])]
    return parts, last_header


def _before(parts: list[tuple[str, str]]) -> str:
    """The section that what is not named goes on with."""
    return next(name for name, _ in reversed(parts) if name != ADMINISTRATIVE)


def _administrative_end(body: str) -> int:
    """The end of the line or the first sentence after an administrative header; its words may stand a line below."""
    start = len(body) - len(body.lstrip())
    line = body.find("\n", start)
    for match in _END.finditer(body, start):
        if not _ABBREVIATED.search(body[start : match.start()]):
            return match.end() if line < 0 else min(match.end(), line)
    return len(body) if line < 0 else line


def _last_paragraph(text: str, start: int) -> str | None:
    paragraphs = [clean(_NO_PARAGRAPH.sub(" ", part)) for part in re.split(r"\n\s*\n", text[start:])]
    return next((part for part in reversed(paragraphs) if part), None)


def _joined(parts: Iterable[str]) -> str | None:
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts) or None

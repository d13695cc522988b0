"""Report text: de-identification marks out, sections apart, sentences apart; an empty report is no report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from xlip.errors import XLIPError

SECTIONS = (
    *("findings", "impression", "indication", "history", "comparison", "technique", "examination"),
    *("recommendation", "addendum", "wet_read", "notification", "preamble", "last_paragraph"),
)
"""Names that `sections` gives, in the order of a report."""
DEFAULT_PRIORITY = "findings,impression"
"""Which sections make up a report; see `compose_sections`."""

_MARKS = re.compile(r"X{4,}|_{3,}|\[\*\*.*?\*\*\]")  # Open-i glues some to a word: no word boundary
_NAMES = {
    "preamble": "final report",
    "findings": "findings|finding|findings and impression|findings/impression|report|observations?|body",
    "impression": "impressions?|conclusions?|opinion|summary|impression and findings|impression/findings|"
    "provisional findings impression|impression and plan|assessment|interpretation|diagnosis",
    "indication": "indications?|reason for (?:the )?(?:exam|examination|study|this examination)|clinical indications?|"
    "indication for study|reason|clinical question|diagnosis/indication",
    "history": "history|clinical history|patient history|medical history|clinical information|clinical data|"
    "clinical background|clinical presentation|clinical context|clinical note",
    "comparison": "comparisons?|comparison studies|comparison studys?|compared to|prior studies|prior study",
    "technique": "techniques?|procedure|procedure comments|procedural details|protocol|views?|technical factors",
    "examination": "examinations?|exams?|exam type|type of (?:exam|examination|study)|study|studies|procedure name",
    "recommendation": "recommendations?|recommendation\\(s\\)|advice|plan",
    "addendum": "addendum|addenda|addendum \\d+|report addendum",
    "wet_read": "wet read|preliminary report|preliminary read|wetread",
    "notification": "notifications?|critical results|communication",
}
_KNOWN = {name: re.compile(pattern) for name, pattern in _NAMES.items()}
# A line that starts with capitals and a colon is a header even where we do not know it ('PORTABLE AP CHEST:'); known
# ones may stand in any case, and inside a line in capitals: 'no significant findings: ...' is a sentence.
_WORDS = "|".join(_NAMES.values())
_INSIDE = (
    "FINDINGS?|IMPRESSIONS?|CONCLUSIONS?|INDICATIONS?|CLINICAL HISTORY|CLINICAL INFORMATION|HISTORY|COMPARISONS?|"
    + ("TECHNIQUE|EXAMINATION|REASON FOR EXAM(?:INATION)?|RECOMMENDATIONS?|ADDENDUM|NOTIFICATION")
)
_HEADER = re.compile(
    rf"(?m)^[ \t]*(?:(?P<known>(?i:{_WORDS}))[ \t]*:|"
    rf"(?P<bare>ADDENDUM|ADDENDA|WET READ|FINAL REPORT)[^\n:]{{0,40}}(?::(?!\d)|$)|"
    rf"(?P<capitals>[A-Z][A-Z0-9 ,/()&.\-]{{2,70}}):(?!\d))"
    rf"|(?<=\s)(?P<inside>{_INSIDE})[ \t]*:"
)
_EXAM_WORDS = re.compile(r"CHEST|RADIOGRAPH|X-?RAY|PORTABLE|FRONTAL|LATERAL|\bPA\b|\bAP\b|CXR|VIEWS?")
_NO_PARAGRAPH = re.compile(r"(?im)^\s*(?:final report|final|_+)\s*$")
_ABBREVIATIONS = frozenset(
    {"dr", "mr", "mrs", "ms", "vs", "approx", "e.g", "i.e", "fig", "etc", "resp", "st", "ca", "cf", "prof"}
)
_END = re.compile(r"[.!?]+(?=[\s\"')\]]|$)[\"')\]]*|\n\s*\n|\n(?=\s*(?:\d+[.)]|[-*])\s)")


def clean(text: object) -> str | None:
    """Text without de-identification marks (`XXXX`, `___`, `[** **]`), single-spaced; None where nothing is left."""
    if not isinstance(text, str):
        return None
    joined = re.sub(r"\s+", " ", _MARKS.sub(" ", text)).strip()
    joined = re.sub(r"\s+([.,;:])", r"\1", joined)
    return joined if re.search(r"\w", joined) else None


def compose(findings: object, impression: object) -> str | None:
    """Findings, then impression, cleaned; None where both are empty."""
    return _joined(part for part in (clean(findings), clean(impression)) if part)


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
    opens the findings where the report has no findings of its own. A name that comes twice (addenda) is joined. A
    report without findings and impression also gets `last_paragraph`.
    """
    parts: list[tuple[str, str]] = []
    headers = list(_HEADER.finditer(text))
    parts.append(("preamble", text[: headers[0].start()] if headers else text))
    ends = [*(header.start() for header in headers[1:]), len(text)]
    for header, end in zip(headers, ends, strict=False):
        parts.append((_section_name(header), text[header.end() : end]))
    named = {name for name, body in parts if clean(body)}
    found: dict[str, str] = {}
    for name, body in parts:
        wanted = ("examination" if "findings" in named else "findings") if name == "exam_title" else name
        cleaned = clean(_NO_PARAGRAPH.sub(" ", body))
        if cleaned:
            found[wanted] = " ".join(part for part in (found.get(wanted), cleaned) if part)
    if not {"findings", "impression"} & found.keys():
        last = _last_paragraph(text, headers[-1].end() if headers else 0)
        if last:
            found["last_paragraph"] = last
    return found


def sentences(text: str) -> list[tuple[int, int]]:
    """Character spans [start, end) of the sentences, without the spaces around them.

    A full stop inside a number ('1.5 cm'), after an abbreviation ('Dr.') or after a list number ('1. Effusion') does
    not end a sentence; an empty line and a new list item do.
    """
    spans = []
    start = 0
    for match in _END.finditer(text):
        if match.group().startswith(".") and _goes_on(text[start : match.start()]):
            continue
        spans.append((start, match.end()))
        start = match.end()
    spans.append((start, len(text)))
    return [stripped for span in spans if (stripped := _stripped(text, *span))]


def _section_name(header: re.Match[str]) -> str:
    words = header.group("known") or header.group("inside") or header.group("bare") or header.group("capitals")
    key = " ".join(words.lower().split())
    for name, pattern in _KNOWN.items():
        if pattern.fullmatch(key):
            return name
    return "exam_title" if _EXAM_WORDS.search(words) else "examination"


def _last_paragraph(text: str, start: int) -> str | None:
    paragraphs = [clean(_NO_PARAGRAPH.sub(" ", part)) for part in re.split(r"\n\s*\n", text[start:])]
    return next((part for part in reversed(paragraphs) if part), None)


def _joined(parts: Iterable[str]) -> str | None:
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts) or None


def _goes_on(before: str) -> bool:
    """Whether a full stop after these words does not end the sentence."""
    word = before.split()[-1].lstrip("(\"'").lower() if before.split() else ""
    return word in _ABBREVIATIONS or (word.isdigit() and len(before.split()) == 1) or not re.search(r"\w", before)


def _stripped(text: str, start: int, end: int) -> tuple[int, int] | None:
    body = text[start:end]
    left, right = len(body) - len(body.lstrip()), len(body.rstrip())
    return (start + left, start + right) if re.search(r"\w", body) else None

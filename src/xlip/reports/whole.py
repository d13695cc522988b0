"""A report as its archive wrote it: markup and identifiers out, language found, sections apart, some of them chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from xlip.notices import notice
from xlip.reports.deidentify import MARKS, deidentify
from xlip.reports.headers import ADMINISTRATIVE
from xlip.reports.language import language_of
from xlip.reports.markup import plain_text
from xlip.reports.sections import DEFAULT_PRIORITY, clean, compose_sections, sections
from xlip.study.record import Study

WHOLE = "whole"
"""The section of a report without headers."""
_NO_HEADERS = {"preamble", "last_paragraph", ADMINISTRATIVE}


def read_whole_report(study: Study, priority: str = DEFAULT_PRIORITY, *, deidentified: bool = False) -> Study:
    """The study with `report`, `sections` and `language` read from the whole text that stands in `report`.

    Where the text has no header, it is the report as a whole, without what names people and numbers, and the section
    `whole` says so. Notices: no section found, none of the chosen ones found, and how much was de-identified.

    Args:
        study: its `report` is the text as it was written.
        priority: which sections make the report, see `compose_sections`.
        deidentified: whether names, dates, numbers and addresses become typed marks.
    """
    text = plain_text(study.report or "")
    if deidentified:
        text = _without_identifiers([text])[0]
    found = sections(text)
    if not found:
        return study._replace(report=None, sections={})
    language = language_of(text)
    if found.keys() <= _NO_HEADERS:
        whole = found.get("preamble")
        notice("no section found in the report; its whole text is kept")
        return study._replace(report=whole, sections={WHOLE: whole} if whole else {}, language=language)
    report = compose_sections(found, priority)
    if report is None:
        notice(f"none of the chosen sections is in the report, which has others: {', '.join(found)}")
    return study._replace(report=report, sections=found, language=language)


def without_identifiers(study: Study) -> Study:
    """The study with identifiers replaced in its report and in its sections; entities go where the report changed."""
    names = list(study.sections)
    report, *texts = _without_identifiers([study.report or "", *study.sections.values()])
    if report == (study.report or "") and texts == list(study.sections.values()):
        return study
    parts: Mapping[str, str] = dict(zip(names, texts, strict=True))
    entities = study.entities if report == (study.report or "") else ()
    return study._replace(report=clean(report), sections=parts, entities=entities)


def _without_identifiers(texts: list[str]) -> list[str]:
    counts: Counter[str] = Counter()
    done = []
    for text in texts:
        replaced, marks = deidentify(text)
        counts += marks
        done.append(replaced)
    if counts:
        notice("de-identified: " + ", ".join(f"{counts[mark]} [{mark}]" for mark in MARKS if counts[mark]))
    return done

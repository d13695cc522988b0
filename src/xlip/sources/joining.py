"""Images and reports of an archive brought together by accession, study, or patient and day; what does not fit is said.

Nothing is guessed: where a key leads to two studies, or to two reports of which none is an addendum, no image gets a
report. Every such case is a notice or a drop whose kind stands in `CONFLICTS`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xlip.sources.source import Dropped, Noticed
from xlip.sources.views import FRONTAL

JOINS = ("accession", "study_uid", "patient+date")
CONFLICTS = {
    "accession with two studies": "No image got the report. Was the accession given twice? Try --join study_uid",
    "two studies of a patient on one day": "No image got the report. Join by accession or study_uid",
    "two reports under one key": "No image got either. Say which is valid, or mark the addendum with the word ADDENDUM",
    "addendum joined to its report": "Read both: the addendum may revoke the report",
    "addendum without its report": "No image got it. Export the report that it amends",
    "report repeated": "The same text came twice and was taken once",
    "report of another patient": "No image got it. The patient of the report is not that of the images: check the key",
    "report without image": "The report was left out. Was its study exported, and is it a radiograph?",
    "image without report": "The image was kept alone. Is its report missing in the table?",
    "several frontal images of one report": "Each image got the report. Leave out repeats and rejected images",
    "image without a key": "The image was kept alone: its header lacks what the reports are joined by",
    "report without a key": "The report was left out: its row lacks what it is joined by",
}
"""Kind of conflict -> what was done, and what a data manager can do."""
_ADDENDUM = re.compile(r"(?i)^\W*(?:addend\w+|nachtrag|erg[aä]nzung|adenda|ad[eé]ndum|compl[eé]ment|correction)\b")


@dataclass(frozen=True, slots=True)
class Image:
    """What the join needs of an image; all ids are pseudonyms."""

    row: str
    key: str
    """What the reports are joined by; '' where the header lacks it."""
    study: str
    patient: str
    projection: str
    kept: bool = True
    """Whether it is used: a lateral one may not be."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report before it is joined."""

    row: str
    key: str
    text: str
    patient: str = ""
    """Pseudonym; '' where its table does not say."""
    identifiers: tuple[str, ...] = ()
    """Words of its row that name the patient and must not stay in the text."""


@dataclass(slots=True)
class Joined:
    """What became of all images and reports."""

    reports: dict[str, Report]
    """Row of an image -> its report."""
    conflicts: list[Noticed | Dropped]


def joined(images: Iterable[Image], reports: Iterable[Report], join: str) -> Joined:
    """Give each image the report of its key, where there is exactly one of each; all else is a conflict."""
    texts: dict[str, list[Report]] = defaultdict(list)
    groups: dict[str, list[Image]] = defaultdict(list)
    made = Joined({}, [])
    for report in reports:
        if report.key:
            texts[report.key].append(report)
        else:
            made.conflicts.append(Dropped(report.row, f"report without a key: expected {join}"))
    for image in images:
        if image.key:
            groups[image.key].append(image)
        elif image.kept:
            made.conflicts.append(Noticed(image.row, f"image without a key: expected {join}"))
    for key, group in groups.items():
        _join_group(group, texts.pop(key, []), join, made)
    for left in texts.values():
        made.conflicts += [Dropped(report.row, "report without image: no radiograph has its key") for report in left]
    return made


def _join_group(group: list[Image], texts: list[Report], join: str, made: Joined) -> None:
    kept = [image for image in group if image.kept]
    studies = {image.study for image in group}
    if not kept:
        reason = "report without image: its images were left out, see the other rows"
        made.conflicts += [Dropped(report.row, reason) for report in texts]
        return
    if len(studies) > 1 and join != "study_uid":
        kind = "accession with two studies" if join == "accession" else "two studies of a patient on one day"
        made.conflicts += _on_all(kept, texts, f"{kind}: {len(studies)} studies, {len(texts)} reports")
        return
    fitting = [report for report in texts if not report.patient or report.patient == group[0].patient]
    if len(fitting) < len(texts):
        made.conflicts += [Dropped(r.row, "report of another patient: left out") for r in texts if r not in fitting]
    report = _one(fitting, kept, made)
    if report is None:
        if not fitting:
            why = "that of its key is another patient's" if texts else "kept alone"
            made.conflicts += [Noticed(image.row, f"image without report: {why}") for image in kept]
        return
    made.reports.update({image.row: report for image in kept})
    frontal = [image for image in kept if image.projection in FRONTAL]
    if len(frontal) > 1:
        reason = f"several frontal images of one report: {len(frontal)} of {report.row}"
        made.conflicts += [Noticed(image.row, reason) for image in frontal]


def _one(texts: list[Report], kept: list[Image], made: Joined) -> Report | None:
    """The one report of a key: repeats taken once, addenda put behind it; None where there is none, or two."""
    distinct: dict[str, Report] = {}
    for report in texts:
        words = " ".join(report.text.split())
        if words in distinct:
            made.conflicts.append(Noticed(report.row, f"report repeated: as {distinct[words].row}"))
        distinct.setdefault(words, report)
    addenda = [report for report in distinct.values() if _ADDENDUM.match(report.text)]
    main = [report for report in distinct.values() if report not in addenda]
    if len(main) > 1:
        made.conflicts += _on_all(kept, texts, f"two reports under one key: {len(main)} texts differ")
        return None
    if not main:
        made.conflicts += _on_all(kept, addenda, "addendum without its report: left out") if addenda else ()
        return None
    if addenda:
        made.conflicts += [Noticed(report.row, f"addendum joined to its report: {main[0].row}") for report in addenda]
    whole = "\n\n".join(report.text for report in (*main, *addenda))
    words_ = dict.fromkeys(word for report in (*main, *addenda) for word in report.identifiers)
    return Report(main[0].row, main[0].key, whole, main[0].patient, tuple(words_))


def _on_all(kept: list[Image], texts: list[Report], reason: str) -> Iterator[Noticed | Dropped]:
    """Of a conflict in which no image gets a report: the images stay, the reports go."""
    yield from (Noticed(image.row, reason) for image in kept)
    yield from (Dropped(report.row, reason) for report in texts)

"""The end of a preparation: tables of drops and warnings, statistics and card, computed from the Parquet files."""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import compress
from operator import and_, or_
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.markdown import markdown_table
from xlip.notices import ROUTINE
from xlip.preparation.card_pictures import contact_sheet, histograms
from xlip.preparation.croissant import CROISSANT, croissant
from xlip.preparation.part import write_final
from xlip.preparation.plan import Plan, id_digest
from xlip.preparation.target import STATS, Target
from xlip.reports.whole import WHOLE
from xlip.sources.joining import CONFLICTS
from xlip.study.labels import STATED, from_file

EXAMPLES = 3
REASONS = (
    ("killed the process", "killed the process that read it"),
    ("took more than", "took too long to read"),
    ("bomb", "too large: a decompression bomb?"),
    ("multi-frame", "multi-frame DICOM"),
    ("neither an image nor DICOM", "neither an image nor DICOM"),
    ("holds no image", "DICOM without an image"),
    ("not a readable", "not a readable image"),
    (" not found", "image file not found"),
    ("cannot read", "cannot read"),
    ("is empty (0 bytes)", "empty file"),
    ("duplicate study id", "duplicate study id"),
    ("another image of the report", "another image of the report"),
    ("cells as in the header", "a row with more or fewer cells than the header"),
    ("a stray quotation mark", "a stray quotation mark"),
    ("not readable as JSON", "a line that is no JSON object"),
    ("expected 1 (present)", "a label that is not understood"),
    ("expected train, val or test", "a split that is not understood"),
    ("a spreadsheet rounded", "an id that a spreadsheet rounded"),
    ("modality", "modality is not X-ray"),
)
"""Words of a reason -> its class, so that equal reasons count together."""


@dataclass
class Summary:
    """What `prepare` kept, dropped or repaired, and why; written as `stats.json`."""

    source: str
    settings: dict[str, Any]
    parts: int = 0
    parts_done: int = 0
    kept: int = 0
    images: int = 0
    reports: int = 0
    pairs: int = 0
    patients: int = 0
    split_name: str = ""
    split_checksum: str = ""
    splits: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    sexes: Counter[str] = field(default_factory=Counter)
    sections: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    """Short side of the originals, pixels: least, median, greatest."""
    report_words: dict[str, float] = field(default_factory=dict)
    texts: int = 0
    """Studies with any report text."""
    unsectioned: int = 0
    """Those of them in whose text no section was found."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Class of reason -> rows."""
    examples: dict[str, list[list[str]]] = field(default_factory=dict)
    """Class of reason -> the first rows and their reasons."""
    noticed: Counter[str] = field(default_factory=Counter)
    """Kind of warning -> rows."""
    noticed_examples: dict[str, list[list[str]]] = field(default_factory=dict)
    """Kind of warning -> the first rows, their files and warnings."""

    @property
    def complete(self) -> bool:
        """Whether every part is there (`--shard` runs end before that)."""
        return self.parts_done == self.parts

    @property
    def without_sections(self) -> str:
        """How many reports have no sections, in words; '' where there is no report."""
        if not self.texts:
            return ""
        share = 100 * self.unsectioned / self.texts
        return f"{self.unsectioned} of {self.texts} reports ({share:.1f} %) have no section that was found"

    def count(self, columns: Mapping[str, list[Any]]) -> None:
        """Add kept studies, as `light_columns` yields them."""
        has_report = [report is not None for report in columns["report"]]
        self.kept += len(has_report)
        self.images += sum(columns["has_image"])
        self.reports += sum(has_report)
        self.pairs += sum(map(and_, columns["has_image"], has_report))
        self.splits.update(columns["split"])
        self.views.update(view or "unknown" for view in columns["view"])
        self.sexes.update(sex or "unknown" for sex in columns["sex"])
        self.sections.update(columns["section"])
        bare = [not count for count in columns["sections"]]
        self.texts += sum(map(or_, has_report, (not none for none in bare)))
        self.unsectioned += sum(map(and_, has_report, bare)) + columns["section"].count(WHOLE)
        self.boxes.update(columns["box"])
        labels = Counter(zip(columns["label_kind"], columns["label_state"], strict=True))
        for (kind, state), number in labels.items():
            self.kinds.setdefault(kind, Counter())[from_file(state).word] += number


@dataclass
class Measures:
    """Numbers of every study that the histograms show: 4 bytes each."""

    short_sides: array[int] = field(default_factory=lambda: array("i"))
    words: array[int] = field(default_factory=lambda: array("i"))
    ages: array[float] = field(default_factory=lambda: array("f"))
    patients: array[int] = field(default_factory=lambda: array("Q"))

    def count(self, columns: Mapping[str, list[Any]]) -> None:
        """Add studies."""
        self.patients.extend(map(id_digest, columns["patient_id"]))
        short_sides = map(min, columns["width"], columns["height"])
        self.short_sides.extend(compress(short_sides, columns["has_image"]))
        self.words.extend(len(report.split()) for report in columns["report"] if report is not None)
        self.ages.extend(age for age in columns["age"] if age is not None)


def finish(
    target: Target, plan: Plan, keys: Mapping[str, str], source: str, settings: dict[str, Any], *, strict: bool = False
) -> Summary:
    """Write the card when every part is there, and put the set in its place.

    Args:
        target: where the parts are.
        plan: of the run.
        keys: name of each part -> digest of what goes into it; a part of another state of the source does not count.
        source: the source's name.
        settings: of the run, as the card shows them.
        strict: take warnings for errors.

    Raises:
        XLIPError: nothing usable was found; or, where `strict`, something was guessed, repaired or lost.
    """
    done = sum(target.finished_kept(name, key) is not None for name, key in keys.items())
    summary = Summary(source, settings, parts=plan.parts, parts_done=done)
    if plan.split:
        summary.split_name, summary.split_checksum = plan.split.name, plan.split.checksum
    if target.direct and (target.out / STATS).exists():
        return _written(target)
    if not summary.complete:
        return summary
    with target.alone() as alone:
        if not alone:
            return _written(target)
        _finish(target, plan, summary, strict)
    return summary


def _written(target: Target) -> Summary:
    """The summary of a shared set that another machine has finished."""
    stats = json.loads((target.out / STATS).read_bytes())
    counted = {item.name for item in fields(Summary) if item.default_factory is Counter}
    found: dict[str, Any] = {name: Counter(value) if name in counted else value for name, value in stats.items()}
    found["kinds"] = {kind: Counter(states) for kind, states in stats["kinds"].items()}
    return Summary(**found)


def _finish(target: Target, plan: Plan, summary: Summary, strict: bool) -> None:
    settings = summary.settings
    entries = [json.loads(journal.read_bytes()) for journal in target.journals()]
    write_final(target.work / "quarantine.csv", _quarantine(entries, summary))
    write_final(target.work / "warnings.csv", _warnings(entries, summary))
    if conflicts := _conflicts(entries):
        write_final(target.work / "conflicts.csv", conflicts)
    measures = Measures()
    files = [target.work / f"{plan.name(part)}.parquet" for part in range(plan.parts)]
    for file in files:
        with reading(file, "remove this file and run the same command again: only this part is made anew"):
            for columns in light_columns([file]):
                summary.count(columns)
                measures.count(columns)
    if not summary.kept:
        target.discard()
        worst = summary.dropped.most_common(1)
        said = f"; {worst[0][1]} rows: {worst[0][0]} ({summary.examples[worst[0][0]][0][1]})" if worst else ""
        raise XLIPError(f"{settings['root']}: no usable study{said}; is it the whole data set, and its right folder?")
    faults = Counter({kind: count for kind, count in summary.noticed.items() if not kind.startswith(ROUTINE)})
    if strict and faults:
        kinds = "; ".join(f"{count} x {reason}" for reason, count in faults.most_common())
        raise XLIPError(
            f"{settings['root']}: strict: expected no warnings, got {faults.total()} ({kinds}); all are in "
            f"{target.work / 'warnings.csv'}; mend them, or run the same command without --strict"
        )
    summary.patients = len(np.unique(np.frombuffer(measures.patients, np.uint64)))
    summary.sizes, summary.report_words = _spread(measures.short_sides), _spread(measures.words)
    write_final(target.work / "contact_sheet.png", contact_sheet(files))
    write_final(target.work / "histograms.png", histograms(summary.kinds, vars(measures)))
    write_final(target.work / "README.md", readme(summary).encode())
    write_final(target.work / CROISSANT, _metadata(summary))
    # Last: its presence says that everything else is there.
    write_final(target.work / STATS, (json.dumps(vars(summary), indent=2, sort_keys=True, default=str) + "\n").encode())
    target.finish()


def _metadata(summary: Summary) -> bytes:
    from xlip.study.parquet import schema

    counts = {name: getattr(summary, name) for name in ("kept", "images", "reports", "pairs", "patients")}
    about = f"{summary.kept} studies of chest radiographs of {summary.patients} patients, prepared by xlip."
    split = f"{summary.split_name}:{summary.split_checksum}" if summary.split_name else ""
    return croissant(name=summary.source, about=about, schema=schema(), checksum=split, counts=counts)


def light_columns(files: Iterable[Path]) -> Iterator[dict[str, list[Any]]]:
    """Columns of Parquet files without image and mask bytes, 1024 studies at a time.

    `has_image` beside the columns of one value a study; `section`, `box`, `label_kind` and `label_state` one after
    another, without saying whose they are.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    plain = ["patient_id", "split", "view", "sex", "age", "report", "width", "height"]
    nested = ["labels", "sections.list.element.name", "boxes.list.element.kind", "image.path"]
    for file in files:
        with file.open("rb") as stream:
            for batch in pq.ParquetFile(stream).iter_batches(1024, columns=plain + nested):
                columns = {name: batch[name].to_pylist() for name in plain}
                columns["has_image"] = batch["image"].is_valid().to_pylist()
                columns["sections"] = pc.list_value_length(batch["sections"]).to_pylist()
                labels, sections, boxes = (pc.list_flatten(batch[name]) for name in ("labels", "sections", "boxes"))
                flat = {"label_kind": labels, "label_state": labels, "section": sections, "box": boxes}
                fields = {"label_kind": "kind", "label_state": "state", "section": "name", "box": "kind"}
                yield columns | {name: pc.struct_field(flat[name], fields[name]).to_pylist() for name in flat}


def _quarantine(entries: list[dict[str, Any]], summary: Summary) -> bytes:
    rows = [row for entry in entries for row in entry["dropped"]]
    _add(rows, reason_class, summary.dropped, summary.examples)
    return _csv(("row", "reason"), rows)


def _warnings(entries: list[dict[str, Any]], summary: Summary) -> bytes:
    rows = [row for entry in entries for row in entry["noticed"]]
    _add(rows, lambda reason: reason.partition(": ")[0], summary.noticed, summary.noticed_examples)
    return _csv(("row", "file", "reason"), rows)


def _conflicts(entries: list[dict[str, Any]]) -> bytes:
    """Images and reports that do not fit together, for a data manager; nothing where all do."""
    rows = []
    for entry in entries:
        for row, *_, reason in (*entry["dropped"], *entry["noticed"]):
            kind, _, detail = reason.partition(": ")
            if kind in CONFLICTS:
                rows.append([kind, row, detail, CONFLICTS[kind]])
    return _csv(("conflict", "row", "detail", "what was done, and what to do"), sorted(rows)) if rows else b""


def _add(
    rows: list[list[str]], kind_of: Callable[[str], str], counts: Counter[str], examples: dict[str, list[list[str]]]
) -> None:
    """Count rows by the kind of their reason, the last cell, and keep the first of each kind."""
    for row in rows:
        kind = kind_of(row[-1])
        counts[kind] += 1
        shown = examples.setdefault(kind, [])
        if len(shown) < EXAMPLES:
            shown.append(row)


def _csv(head: tuple[str, ...], rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([head, *rows])
    return text.getvalue().encode("utf-8", "backslashreplace")


def reason_class(reason: str) -> str:
    """A reason without its names and numbers."""
    return next((name for words, name in REASONS if words in reason), reason[:80])


def _spread(values: array[int]) -> dict[str, float]:
    if not values:
        return {}
    numbers = np.frombuffer(values, np.int32)
    return {"least": int(numbers.min()), "median": float(np.median(numbers)), "greatest": int(numbers.max())}


def readme(summary: Summary) -> str:
    """The data card as Markdown."""
    lines = [
        f"# {summary.source}, prepared by xlip",
        "",
        "Made for research; not for clinical use. The licence and the terms of the original set apply to these files.",
        "",
        f"{summary.kept} studies of {summary.patients} patients: {summary.images} images, {summary.reports} reports, "
        f"{summary.pairs} pairs, in {summary.parts} Parquet files.",
        "",
        *_table(("setting", "value"), sorted(summary.settings.items())),
    ]
    if summary.without_sections:
        lines += ["", f"{summary.without_sections}."]
    if summary.settings.get("deidentify"):
        lines += ["", "De-identified: ages from 90 years on are stored as 90 and mean '90 or older'."]
    if summary.split_name:
        lines += ["", f"Split `{summary.split_name}`, checksum `{summary.split_checksum}`."]
    for title, counts in (("split", summary.splits), ("view", summary.views), ("sex", summary.sexes)):
        lines += ["", *_table((title, "studies"), sorted(counts.items()))]
    for title, counts in (("section", summary.sections), ("boxes of kind", summary.boxes)):
        lines += ["", *_table((title, "number"), counts.most_common())] if counts else []
    if summary.kinds:
        rows = [(kind, *(states[word] for word in STATED)) for kind, states in sorted(summary.kinds.items())]
        lines += ["", *_table(("kind", *STATED), rows)]
    for title, spread in (("short side, pixels", summary.sizes), ("words of a report", summary.report_words)):
        lines += ["", *_table((title, "value"), list(spread.items()))] if spread else []
    lines += ["", "![a sample of the images](contact_sheet.png)", "", "![histograms](histograms.png)", ""]
    lines += ["## Dropped rows", "", *_reasons(summary.dropped, summary.examples, "quarantine.csv"), ""]
    lines += ["## Warnings", "", *_reasons(summary.noticed, summary.noticed_examples, "warnings.csv")]
    return "\n".join(lines) + "\n"


def _reasons(counts: Counter[str], examples: Mapping[str, list[list[str]]], file: str) -> list[str]:
    if not counts:
        return ["None."]
    rows = [(kind, number, "; ".join(row[0] for row in examples[kind])) for kind, number in counts.most_common()]
    return [*_table(("reason", "rows", "examples"), rows), "", f"All of them: `{file}`."]


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    return markdown_table(head, list(rows)).split("\n")

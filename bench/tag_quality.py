"""How well `xlip tag` reads the kinds of Open-i reports, against the tags that people gave them; beside it, negspacy.

Truth: the MeSH column, mapped by `xlip/sources/openi_tags.yaml`. Studies are split in two by a hash of their uid; rules
and lexicon were developed on the half `dev` alone. Writes docs/data/tag_quality.json and, as
tables, docs/measurements/tag_quality.md.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xlip.reports.entities import TAGGER, kinds_of
from xlip.reports.sections import clean, compose_sections
from xlip.reports.tagger.rules import rule_tagger
from xlip.sources.openi_tags import applies, parts_of, stated_by, tag_rules, tagged_kinds
from xlip.study.labels import PRESENT, UNCERTAIN
from xlip.study.record import Entity

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("XLIP_DATA", ROOT.parent / "shared" / "data")) / "iu_openi" / "indiana_reports.csv"
RULES = tag_rules()
KINDS = list(tagged_kinds())
MIN_POSITIVES = 20
"""Kinds with fewer are listed, but count in no mean."""
REPLICATES = 1000
MEANS = ("macro", "micro")


def half(uid: str) -> str:
    """`dev` or `test`, by a hash of the uid alone."""
    return "dev" if hashlib.blake2b(uid.encode(), digest_size=8).digest()[0] % 2 == 0 else "test"


def studies(name: str) -> Iterator[tuple[str, str, set[str]]]:
    """(uid, report, kinds) of the studies of a half that have a report and were indexed."""
    with DATA.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            report = compose_sections({name: clean(row[name]) or "" for name in ("findings", "impression")})
            if half(row["uid"]) == name and report and "no indexing" not in row["MeSH"].lower():
                yield row["uid"], report, stated_by(row["MeSH"].split(";"))


class NegspacyNegation:
    """The same entities and kinds, with negspacy's verdict (present or absent) in the place of ours."""

    def __init__(self) -> None:
        import negspacy.negation  # noqa: F401  (registers `negex`)
        import spacy

        self.nlp = spacy.blank("en")
        self.nlp.add_pipe("sentencizer")
        self.negex = self.nlp.add_pipe("negex")
        self.filter_spans = spacy.util.filter_spans

    def judged(self, text: str, entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
        """Findings, devices and procedures judged anew; what is called normal by its own words stays."""
        doc = self.nlp.tokenizer(text)
        doc = self.nlp.get_pipe("sentencizer")(doc)
        asked = {}
        for entity in entities:
            span = doc.char_span(entity.start, entity.end, label="X", alignment_mode="expand")
            if entity.type in ("finding", "device") and entity.kind != "No_Finding" and span is not None:
                asked[span] = entity
        doc.ents = self.filter_spans(asked)
        self.negex(doc)
        verdicts = {asked[span]: span._.negex for span in doc.ents}
        return tuple(
            Entity(e.start, e.end, e.type, "absent" if verdicts[e] else "present", e.kind) if e in verdicts else e
            for e in entities
        )


def read(name: str, negation: NegspacyNegation | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(truth, present, uncertain) of a half, each (studies, KINDS), bool."""
    tagger, rows = rule_tagger("en"), []
    for _, report, truth in studies(name):
        entities = tagger.tag(report)
        states = kinds_of(report, negation.judged(report, entities) if negation else entities)
        rows.append([[kind in truth, states.get(kind) == PRESENT, states.get(kind) == UNCERTAIN] for kind in KINDS])
    stacked = np.array(rows)
    return stacked[..., 0], stacked[..., 1], stacked[..., 2]


def counts(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """(KINDS, 3): hits, false alarms, misses."""
    return np.stack([(truth & said).sum(0), (~truth & said).sum(0), (truth & ~said).sum(0)], 1)


def f1(table: np.ndarray) -> np.ndarray:
    hits, false, missed = table[..., 0], table[..., 1], table[..., 2]
    return 2 * hits / np.maximum(2 * hits + false + missed, 1)


def summary(truth: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    """Macro and micro F1 over kinds with enough positives, with 95 % intervals that resample studies."""
    enough = truth.sum(0) >= MIN_POSITIVES
    table = counts(truth, said)[enough]
    rng, drawn = np.random.default_rng(0), []
    hits, false, missed = ((truth & said)[:, enough], (~truth & said)[:, enough], (truth & ~said)[:, enough])
    for _ in range(REPLICATES):
        weight = np.bincount(rng.integers(len(truth), size=len(truth)), minlength=len(truth))
        again = np.stack([weight @ part.astype(np.int64) for part in (hits, false, missed)], 1)
        drawn.append((f1(again).mean(), f1(again.sum(0))))
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    return {
        "kinds": int(enough.sum()),
        "macro_f1": float(f1(table).mean()),
        "macro_ci95": [float(low[0]), float(high[0])],
        "micro_f1": float(f1(table.sum(0))),
        "micro_ci95": [float(low[1]), float(high[1])],
    }


def per_kind(truth: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    table = counts(truth, said)
    rows = {}
    for number in np.argsort(-truth.sum(0), kind="stable"):
        hits, false, missed = (int(value) for value in table[number])
        rows[KINDS[number]] = {
            "positives": hits + missed,
            "precision": hits / max(hits + false, 1),
            "recall": hits / max(hits + missed, 1),
            "f1": float(f1(table[number])),
        }
    return rows


def measure(name: str) -> dict[str, Any]:
    truth, present, uncertain = read(name)
    _, negspacy, _ = read(name, NegspacyNegation())
    return {
        "studies": len(truth),
        "means": {
            "ours": summary(truth, present),
            "ours, uncertain counted as present": summary(truth, present | uncertain),
            "negspacy's negation on our entities": summary(truth, negspacy),
        },
        "kinds": per_kind(truth, present),
        "negspacy_f1": dict(zip(KINDS, map(float, f1(counts(truth, negspacy))), strict=True)),
    }


def unmapped() -> tuple[dict[str, int], int]:
    """Headings of tags that no rule maps -> how often they occur; and the number of all tags."""
    found: dict[str, int] = {}
    total = 0
    with DATA.open(encoding="utf-8", newline="") as stream:
        for tag in (tag for row in csv.DictReader(stream) for tag in row["MeSH"].split(";") if tag.strip()):
            total += 1
            if not any(applies(rule, parts_of(tag)) for rule in RULES):
                head = parts_of(tag)[0]
                found[head] = found.get(head, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1])), total


def tables(result: dict[str, Any]) -> str:
    lines = [f"Written by `python bench/tag_quality.py`; tagger {result['tagger']}.", ""]
    lines += ["| half | what | kinds | macro F1 (95 %) | micro F1 (95 %) |", "|---|---|---|---|---|"]
    for name in ("dev", "test"):
        for what, row in result[name]["means"].items():
            macro, micro = (f"{row[m + '_f1']:.3f} ({', '.join(f'{b:.3f}' for b in row[m + '_ci95'])})" for m in MEANS)
            lines.append(f"| {name}, {result[name]['studies']} studies | {what} | {row['kinds']} | {macro} | {micro} |")
    lines += [
        "",
        "| kind | test positives | precision | recall | F1 | negspacy F1 | dev positives | dev F1 |",
        "|---|" + "---|" * 7,
    ]
    for kind, row in result["test"]["kinds"].items():
        dev = result["dev"]["kinds"][kind]
        lines.append(
            f"| {kind} | {row['positives']} | {row['precision']:.2f} | {row['recall']:.2f} | {row['f1']:.3f} "
            f"| {result['test']['negspacy_f1'][kind]:.3f} | {dev['positives']} | {dev['f1']:.3f} |"
        )
    lines += [
        "",
        "## Which tags stand for which kind",
        "",
        "| heading of the tag | with one of | without | kind |",
        "|---|---|---|---|",
    ]
    for rule in RULES:
        cells = (rule["heading"], rule.get("with", ()), rule.get("without", ()))
        lines.append(f"| {' | '.join('; '.join(cell) for cell in cells)} | {rule['kind'] or 'none: left out'} |")
    rest = ", ".join(f"{heading} {count}" for heading, count in result["tags_not_mapped"].items())
    lines += ["", f"Tags that no rule maps, with their number in all {result['tags']} tags: {rest}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    if not DATA.exists():
        print(f"no Open-i reports at {DATA}; set XLIP_DATA")
        return
    rest, total = unmapped()
    halves = {half: measure(half) for half in ("dev", "test")}
    result = {
        "tagger": TAGGER,
        "command": "python bench/tag_quality.py",
        **halves,
        "tags_not_mapped": rest,
        "tags": total,
    }
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "data" / "tag_quality.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    (ROOT / "docs" / "measurements" / "tag_quality.md").write_text(
        "# How well the tagger reads reports\n\n" + tables(result), "utf-8"
    )
    print(tables(result))


if __name__ == "__main__":
    main()

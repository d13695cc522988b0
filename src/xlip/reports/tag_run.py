"""`xlip tag`: documents through a tagger, in as many processes as asked for, to JSON lines or Parquet."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xlip.errors import XLIPError
from xlip.files import refuse_input, whole_file, writing
from xlip.processes import in_order
from xlip.reports.chexpert import chexpert_labels
from xlip.reports.entities import kinds_of, with_entities
from xlip.reports.tag_inputs import Document, read_documents
from xlip.reports.tagger.by_language import LanguageTagger, tagged_language
from xlip.reports.tagger.registry import AUTO, Tagger, load_tagger
from xlip.reports.tagger.rules import RuleTagger
from xlip.study.labels import LabelState
from xlip.study.parquet import is_study_table, read_studies, schema, write_studies
from xlip.study.record import Entity, Study

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 256
"""Documents that go to a process together."""
LONG = 100_000
"""Characters; a longer text is hardly one report."""
FEW_KNOWN = 0.2
"""Share of known words below which the text is probably in another language."""
CHARACTERS_PER_ENTITY = 60
"""A report has an entity every 15 to 20; only a text with far fewer is asked for its language."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HTML = re.compile(r"<(?:br|p|div|span|b|i|li|ul|table|html|body|td|tr)\b[^<>]*>", re.I)


@dataclass(frozen=True)
class TagConfig:
    """`xlip tag`."""

    source: str
    """A .txt, .jsonl, .csv or .parquet file, a folder of these, or - for standard input, one report a line."""
    out: str = ""
    """A .jsonl or .parquet file; without it, JSON lines to standard output."""
    tagger: str = "rules"
    """rules, hf:PATH_OR_HUB_ID (a token-classification model), radgraph or radgraph:MODEL."""
    language: str = AUTO
    """Language of the rules: en, es, or auto (each report's own); a report in another language gets no entities."""
    column: str = ""
    """Table: the column with the reports; default: report, else text."""
    workers: int = 0
    """Processes; 0 = this one."""
    explain: bool = False
    """Print each report in colour, with the rule behind each entity, instead of writing records."""


@dataclass
class TagSummary:
    """What `xlip tag` did."""

    documents: int = 0
    entities: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    """Reason, without its figures -> documents."""


@dataclass(frozen=True, slots=True)
class Done:
    """A chunk as it leaves a process."""

    payload: Any
    documents: int
    entities: int
    notes: Counter[str]


def tag_to(config: TagConfig) -> TagSummary:
    """Tag everything at `config.source` and write it to `config.out`, all or nothing; memory stays bounded.

    Studies (`xlip prepare`) that go to Parquet stay studies, with new entities. `config.explain` is not looked at.

    Raises:
        XLIPError: a fault in the input, the tagger, or the output's name.
    """
    source, out, workers, tagger = config.source, config.out, config.workers, (config.tagger, config.language)
    if out and Path(out).suffix not in (".jsonl", ".parquet"):
        raise XLIPError(f"out: expected a file ending in .jsonl or .parquet; got {out!r}")
    if workers < 0:
        raise XLIPError(f"workers: expected 0 or more processes, got {workers}")
    refuse_input(out, source if source != "-" else "")
    load_tagger(*tagger)  # a wrong name fails here, not in a process
    summary = TagSummary()
    if out.endswith(".parquet") and source != "-" and is_study_table(source):
        write_studies(_tagged_studies(read_studies(source), tagger, workers, summary), out)
        return summary
    form = "parquet" if out.endswith(".parquet") else "jsonl"
    chunks = _chunked(read_documents(source, config.column))
    done = in_order(partial(tag_chunk, tagger=tagger, form=form), chunks, workers)
    _write(_counted(done, summary), out)
    return summary


def record(document: Document, entities: tuple[Entity, ...], tagger: Tagger) -> dict[str, Any]:
    """What is written about one document."""
    states = kinds_of(document.text, entities)
    return {
        "id": document.id,
        "text": document.text,
        "entities": [{name: getattr(entity, name) for name in Entity.__slots__} for entity in entities],
        "kinds": {kind: LabelState(state).word for kind, state in states.items()},
        "chexpert": chexpert_labels(states),
        "tagger": _id_of(tagger, document.text),
        "note": "; ".join(note for note in (document.note, *_notes(document.text, len(entities), tagger)) if note),
    }


def _notes(text: str, entities: int, tagger: Tagger) -> Iterator[str]:
    """Reasons why the entities of a text may be few or wrong."""
    if not text.strip():
        yield "empty text"
        return
    if _CONTROL.search(text):
        yield "control characters"
    if "\ufffd" in text:
        yield "characters that could not be decoded"
    if "<" in text and _HTML.search(text):
        yield "HTML markup, read as white space"
    if len(text) > LONG:
        yield f"long text: {len(text)} characters"
    if isinstance(tagger, LanguageTagger):
        known_tagger = tagger.tagger_of(text)
        if known_tagger is None:
            yield f"language not known to the tagger: {tagged_language(text)}"
            return
        tagger = known_tagger
    if isinstance(tagger, RuleTagger) and entities * CHARACTERS_PER_ENTITY < len(text):
        known, words = tagger.known_words(text[:LONG])
        if words >= 5 and known < FEW_KNOWN * words:
            yield f"few known words ({known} of {words}): not a report, or not in the language {tagger.language}"


def tag_chunk(documents: list[Document], tagger: tuple[str, str], form: str) -> Done:
    """The records of a chunk, as JSON lines (`jsonl`) or as an Arrow batch (`parquet`)."""
    loaded = load_tagger(*tagger)
    rows = [
        record(document, entities, loaded)
        for document, entities in zip(documents, loaded.tag_all(d.text for d in documents), strict=True)
    ]
    notes = Counter(re.sub(r"\d+", "N", row["note"]) for row in rows if row["note"])
    payload: Any = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if form == "parquet":
        payload = _batch(rows)
    return Done(payload, len(rows), sum(len(row["entities"]) for row in rows), notes)


def _tag_texts(texts: list[str], tagger: tuple[str, str]) -> tuple[list[str], list[tuple[Entity, ...]]]:
    loaded = load_tagger(*tagger)
    return [_id_of(loaded, text) for text in texts], list(loaded.tag_all(texts))


def _id_of(tagger: Tagger, text: str) -> str:
    """What read a text: the tagger of its language; empty where there is none."""
    if not isinstance(tagger, LanguageTagger):
        return tagger.id
    own = tagger.tagger_of(text)
    return own.id if own else ""


def _tagged_studies(
    studies: Iterator[Study], tagger: tuple[str, str], workers: int, summary: TagSummary
) -> Iterator[Study]:
    waiting: deque[list[Study]] = deque()

    def texts() -> Iterator[list[str]]:
        while chunk := list(islice(studies, CHUNK)):
            waiting.append(chunk)
            yield [study.report or "" for study in chunk]

    for ids, found in in_order(partial(_tag_texts, tagger=tagger), texts(), workers):
        for study, id_, entities in zip(waiting.popleft(), ids, found, strict=True):
            summary.documents += 1
            summary.entities += len(entities)
            yield with_entities(study, entities, id_) if study.report else study._replace(entities=(), tagger="")


def _chunked(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while chunk := list(islice(documents, CHUNK)):
        yield chunk


def _counted(done: Iterable[Done], summary: TagSummary) -> Iterator[Any]:
    for chunk in done:
        summary.documents += chunk.documents
        summary.entities += chunk.entities
        summary.notes.update(chunk.notes)
        yield chunk.payload


def output_schema() -> pa.Schema:
    """The Arrow schema of `xlip tag --out FILE.parquet`."""
    import pyarrow as pa

    string = pa.string()
    pairs = pa.list_(pa.struct([("kind", string), ("state", string)]))
    labels = pa.list_(pa.struct([("label", string), ("value", pa.int8())]))
    columns = [("id", string), ("text", string), ("entities", schema().field("entities").type)]
    return pa.schema([*columns, ("kinds", pairs), ("chexpert", labels), ("tagger", string), ("note", string)])


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    flat = [
        {
            **row,
            "kinds": [{"kind": kind, "state": state} for kind, state in row["kinds"].items()],
            "chexpert": [{"label": label, "value": value} for label, value in row["chexpert"].items()],
        }
        for row in rows
    ]
    return pa.RecordBatch.from_pylist(flat, schema=output_schema())


def _write(payloads: Iterable[Any], out: str) -> None:
    """To a file that is whole or not there, or to standard output."""
    if not out:
        binary = getattr(sys.stdout, "buffer", None)  # JSON is UTF-8 whatever the terminal shows
        for payload in payloads:
            if binary:
                binary.write(payload.encode("utf-8"))
            else:
                sys.stdout.write(payload)
        return
    path = Path(out)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            if path.suffix == ".jsonl":
                for payload in payloads:
                    stream.write(payload.encode("utf-8"))
            else:
                _write_batches(payloads, stream)


def _write_batches(batches: Iterable[pa.RecordBatch], stream: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(stream, output_schema(), compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)

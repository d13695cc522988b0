"""`xlip triage`: a sorted worklist of films by what a model finds, with maps, and with what it cannot judge."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.abstention import Rule, rule_of
from xlip.explain.asked import Asked, ask
from xlip.explain.explanation import Explanation, explained, method
from xlip.explain.films import Film, fault_of, file_name, film_id, film_of, refused_id
from xlip.explain.picture import picture, to_png
from xlip.explain.reference import Reference, reference_of
from xlip.explain.scoring import scored
from xlip.files import check_target, whole_text, write_whole
from xlip.identity import digest
from xlip.images.square import fit
from xlip.pacs.journal import Journal
from xlip.runtime.encoder import Encoder
from xlip.runtime.inputs import Input, images_of
from xlip.runtime.quality import judge
from xlip.study.kinds import canonical
from xlip.study.prompts import load_prompts

FOUND, UNJUDGED, NOTHING = "finding", "cannot judge", "nothing found"
ORDER = {FOUND: 0, UNJUDGED: 1, NOTHING: 2}
"""A film that cannot be judged may hold anything, so it does not sink below those in which nothing was found."""
HEADER = ("rank", "film", "verdict", "priority", "finding", "reason", "distance", "map")


@dataclass(frozen=True)
class TriageConfig:
    """`xlip triage`."""

    source: str
    """Films: a folder or DICOM tree at any depth (that of `xlip pacs listen` too), a table with a column of paths, a
    prepared set, or one image. AETITLE@host:port receives films under that name (C-STORE), as `xlip pacs listen` does,
    and judges them as they come."""
    model: str
    """Folder of a run, a saved or an exported model, a hub id, hf:NAME, or `phantom`, the model of the package."""
    out: str
    """The worklist, a CSV file; maps and the journal go to the folder beside it that is named as the file is, less
    `.csv`. A run that was stopped goes on, and one over a folder that has grown adds what is new."""
    reference: str = ""
    """Training images (a prepared set, say) or a search index of them: films far from all of these are not judged. The
    threshold comes from the split val where there is one. Without it, distance is not looked at."""
    kinds: str = "Pneumothorax,Effusion,Edema,Consolidation,Mass,Nodule,Atelectasis,Cardiomegaly,Fracture"
    """Kinds to look for, separated by commas."""
    how: str = "auto"
    """How maps are made: response, occlusion, or auto; see `xlip explain`."""
    no_maps: bool = False
    """Draw none."""
    prompts: str = "xlip"
    """A shipped prompt set or a YAML file."""
    rule: str = ""
    """File of `xlip abstain`; default: abstention.json of the model, else the shipped thresholds."""
    image_column: str = ""
    """Table: the column of images."""
    id_column: str = ""
    """Table: a column of ids to use instead of hashes of the files; make sure that they name no patient."""
    idle: float = 0.0
    """Where films are received: end when nothing came for so many seconds; 0: go on until stopped."""
    peers: str = ""
    """Where films are received: who may send, as for `xlip pacs listen`; needed where others can reach the address."""
    batch_size: int = 16
    """Films that are scored at once."""
    side: int = 512
    """Pixels of the film in the maps."""


@dataclass(frozen=True)
class _Run:
    """What stays the same over all films."""

    config: TriageConfig
    encoder: Encoder
    asked: list[Asked]
    rule: Rule
    how: str
    reference: Reference | None
    folder: Path


def triage(
    config: TriageConfig, encoder: Encoder, say: Callable[[str], None], reference: Reference | None = None
) -> dict[str, int]:
    """Write the worklist; returns the number of films of each verdict, and of those that an earlier run had judged.

    Args:
        config: the options.
        encoder: the model.
        say: gets lines of progress.
        reference: instead of the one that is made from `config.reference`.

    Raises:
        XLIPError: nothing to look at or for, a journal of other settings, nowhere to write to.
    """
    out = Path(config.out)
    if out.suffix != ".csv":
        raise XLIPError(f"triage.out: expected a file that ends in .csv, got {config.out}")
    check_target(out)
    folder = out.with_suffix("")
    check_target(folder, folder=True)
    kinds = [canonical(name.strip()) for name in config.kinds.split(",") if name.strip()]
    if not kinds:
        raise XLIPError("triage.kinds: expected at least one kind to look for, got none")
    if reference is None and config.reference:
        reference = reference_of(config.reference, encoder, folder)
    asked, rule, how = (
        ask(encoder, kinds, config.prompts),
        rule_of(config.model, config.rule),
        method(encoder, config.how),
    )
    run = _Run(config, encoder, asked, rule, how, reference, folder)
    journal = Journal(folder / "journal.jsonl", _settings(run))
    before = len(journal.records)
    refused: dict[str, str] = {}
    try:
        for films in _batches(run, journal, refused):
            for record in _judged(run, films):
                journal.add(record)
            journal.sync()
            say(f"{len(journal.records)} films")
    finally:
        journal.close()
    records = [*journal.records.values(), *(_unjudged(id_, reason) for id_, reason in refused.items())]
    if not records:
        raise XLIPError(f"{config.source}: expected at least one film, found none")
    _write(out, records, [one.kind for one in asked])
    counts = {verdict: sum(record["verdict"] == verdict for record in records) for verdict in ORDER}
    return {**counts, "judged before": before}


def _settings(run: _Run) -> str:
    known = run.reference.identity if run.reference else ""
    prompts = load_prompts(run.config.prompts).identifier
    kinds = [one.kind for one in run.asked]
    return digest(run.encoder.identity, run.encoder.preprocess, prompts, kinds, run.rule.to_json(), run.how, known)


def _batches(run: _Run, journal: Journal, refused: dict[str, str]) -> Iterator[list[Film | dict[str, Any]]]:
    """The films that are not in the journal, decoded; a record in place of one that cannot be judged by itself."""
    items = images_of(
        run.config.source,
        lambda row, why: refused.__setitem__(refused_id(row), why),
        image_column=run.config.image_column,
        id_column=run.config.id_column,
    )
    fresh = _fresh(run, items, set(journal.records), refused)
    while batch := list(islice(fresh, run.config.batch_size)):
        yield batch


def _fresh(
    run: _Run, items: Iterator[Input], known: set[str], refused: dict[str, str]
) -> Iterator[Film | dict[str, Any]]:
    given = bool(run.config.id_column)
    for item in items:
        try:
            id_ = film_id(item, given=given)
        except XLIPError as error:
            refused[refused_id(item.id)] = fault_of(error, item)
            continue
        if id_ in known:
            continue
        known.add(id_)
        try:
            film = film_of(item, run.encoder, given=given)
        except XLIPError as error:
            yield _unjudged(id_, fault_of(error, item))
            continue
        reason = judge(film.pixels, str(film.columns.get("view", "")))
        yield _unjudged(id_, reason) if reason else film


def _judged(run: _Run, batch: list[Film | dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records of a batch."""
    yield from (one for one in batch if isinstance(one, dict))
    films = [one for one in batch if isinstance(one, Film)]
    if not films:
        return
    squares = np.stack([film.square for film in films])
    known = scored(run.encoder, squares, run.asked, maps=run.how == "response" and not run.config.no_maps)
    far = run.reference.distances(known.images) if run.reference else [None] * len(films)
    near = [row for row, one in enumerate(far) if not _too_far(run, one)]
    answers: dict[str, list[Explanation]] = {}
    if near and not run.config.no_maps:
        shown = explained(run.encoder, squares[near], run.asked, known.rows(near), run.how, run.rule)
        answers = {films[row].id: one for row, one in zip(near, shown, strict=True)}
    for film, scores, distance in zip(films, known.scores, far, strict=True):
        if run.reference and _too_far(run, distance):
            reason = f"far from the training data: distance {distance:.3f}, threshold {run.reference.threshold:.3f}"
            yield {**_unjudged(film.id, reason), "distance": float(distance)}
        else:
            yield _record(run, film, [float(score) for score in scores], distance, answers.get(film.id, []))


def _too_far(run: _Run, distance: float | None) -> bool:
    return run.reference is not None and distance is not None and not distance <= run.reference.threshold


def _record(
    run: _Run, film: Film, scores: list[float], distance: float | None, shown: list[Explanation]
) -> dict[str, Any]:
    margins = [_odds(score) - _odds(run.rule.of(one.kind)) for score, one in zip(scores, run.asked, strict=True)]
    top = int(np.argmax(margins))
    found = margins[top] >= 0
    record = {
        "film": film.id,
        "verdict": FOUND if found else NOTHING,
        "priority": round(margins[top], 4),
        "finding": run.asked[top].kind if found else "",
        "reason": "",
        "distance": None if distance is None else float(distance),
        "map": "",
        "scores": {one.kind: round(score, 4) for one, score in zip(run.asked, scores, strict=True)},
    }
    pictures = [one for one in shown if one.found]
    for one in pictures:
        pixels = fit(film.pixels, run.config.side, run.encoder.preprocess)
        file = run.folder / "maps" / f"{file_name(film.id, one.kind)}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, to_png(picture(pixels, one)))
        if one.kind == record["finding"]:
            record["map"] = f"{run.folder.name}/maps/{file.name}"
    return record


def _odds(probability: float) -> float:
    clipped = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(clipped / (1 - clipped))


def _unjudged(id_: str, reason: str) -> dict[str, Any]:
    empty = dict.fromkeys(("priority", "distance"))
    return {"film": id_, "verdict": UNJUDGED, **empty, "finding": "", "reason": reason, "map": "", "scores": {}}


def _write(out: Path, records: list[dict[str, Any]], kinds: list[str]) -> None:
    """The worklist: findings by priority, then what cannot be judged, then the others."""
    records.sort(key=lambda one: (ORDER[one["verdict"]], -(one["priority"] or 0.0), one["film"]))
    with whole_text(out) as stream:
        table = csv.writer(stream)
        table.writerow([*HEADER, *kinds])
        for rank, one in enumerate(records, 1):
            told = [one[name] for name in HEADER[1:]]
            table.writerow(
                [rank, *(_cell(value) for value in told), *(_cell(one["scores"].get(kind)) for kind in kinds)]
            )


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)

"""`xlip abstain`: thresholds of a model's scores from labelled validation images, under which nothing is coloured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.abstention import FILE, Rule
from xlip.explain.asked import ask
from xlip.explain.films import Film, fault_of, film_of, refused_id
from xlip.explain.scoring import scored
from xlip.files import check_target, write_json, writing
from xlip.identity import split_id
from xlip.metrics.kinds import MIN_CASES
from xlip.runtime.encoder import Encoder
from xlip.runtime.inputs import images_of
from xlip.study.kinds import NO_FINDING, canonical, is_kind
from xlip.study.labels import ABSENT, UNKNOWN, from_file

Array = np.ndarray[Any, Any]
BATCH = 64
VALIDATION = ("val", "validation", "valid")


@dataclass(frozen=True)
class AbstainConfig:
    """`xlip abstain`."""

    model: str
    """Folder of a run, a saved or an exported model, a hub id, hf:NAME, or `phantom`, the model of the package."""
    data: str
    """Labelled images that the model was neither trained nor is tested on: a prepared set, or a table with a column for
    each kind."""
    out: str = ""
    """The file; default: abstention.json in the model's folder, where `xlip explain` finds it."""
    split: str = ""
    """Part of a prepared set; default: val where there is one, else everything."""
    specificity: float = 0.95
    """Share of the images without a finding in which nothing is to be coloured for it."""
    prompts: str = "xlip"
    """A shipped prompt set or a YAML file."""


def choose_rule(config: AbstainConfig, encoder: Encoder) -> tuple[Rule, Path, list[tuple[str, str]]]:
    """The thresholds, the file that they were written to, and the images that could not be used, with the reason.

    Raises:
        XLIPError: no labels, too few images without a finding, or nowhere to write to.
    """
    if not 0 < config.specificity < 1:
        raise XLIPError(f"abstain.specificity: expected a share between 0 and 1, got {config.specificity}")
    if not config.out and not Path(config.model).is_dir():
        raise XLIPError(f"{config.model}: no folder to write to; name a file with --out")
    file = Path(config.out) if config.out else Path(config.model) / FILE
    check_target(file)
    left_out: list[tuple[str, str]] = []
    ids, kinds, scores, absent = _measured(config, encoder, left_out)
    name = Path(config.data).stem + (f"/{config.split}" if config.split else "")
    where = f"{split_id(name, ids)} by {encoder.identity}"
    rule = thresholds(scores, absent, kinds, config.specificity, where)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, rule.to_json())
    return rule, file, left_out


def thresholds(scores: Array, absent: Array, kinds: Sequence[str], specificity: float, where: str) -> Rule:
    """The least score of each kind that only 1 - `specificity` of the images without it reach.

    Args:
        scores: (n, K) in [0, 1].
        absent: (n, K) bool: known not to be there.
        kinds: K names.
        specificity: a share.
        where: which images and weights.

    Raises:
        XLIPError: fewer than `MIN_CASES` images are known to lack anything.
    """
    of_kind = {
        kind: _least(scores[absent[:, k], k], specificity)
        for k, kind in enumerate(kinds)
        if absent[:, k].sum() >= MIN_CASES
    }
    if not of_kind:
        raise XLIPError(
            f"abstain: expected at least {MIN_CASES} images that are labelled as without a kind, got "
            f"{int(absent.sum(0).max(initial=0))}; add labels of 0"
        )
    words = f"{specificity:.0%} of the images without a finding are below its threshold, on {where}"
    return Rule(_least(scores[absent], specificity), of_kind, words)


def _least(scores: Array, specificity: float) -> float:
    """The smallest number with six digits that at most 1 - `specificity` of the scores reach."""
    ordered = np.sort(scores)
    allowed = int((1 - specificity) * len(ordered) + 1e-9)  # so many may reach it
    return float(min(1.0, np.ceil(float(ordered[len(ordered) - 1 - allowed]) * 1e6 + 0.5) / 1e6))


def _measured(
    config: AbstainConfig, encoder: Encoder, left_out: list[tuple[str, str]]
) -> tuple[list[str], list[str], Array, Array]:
    """Ids, kinds, scores (n, K), and which kinds are known to be absent (n, K)."""
    labels = _labels(config)
    kinds = sorted({kind for one in labels.values() for kind in one})
    if not kinds:
        raise XLIPError(f"{config.data}: no labels; expected a column of 1 and 0 for each kind")
    asked = ask(encoder, kinds, config.prompts)
    ids: list[str] = []
    parts: list[Array] = []
    waiting: list[Film] = []

    def flush() -> None:
        if waiting:
            parts.append(scored(encoder, np.stack([film.square for film in waiting]), asked).scores)
            waiting.clear()

    for item in images_of(config.data, lambda row, why: left_out.append((refused_id(row), why))):
        if item.id in labels:
            try:
                waiting.append(film_of(item, encoder, given=True))
            except XLIPError as error:  # a damaged image decides nothing
                left_out.append((refused_id(item.id), fault_of(error, item)))
                continue
            ids.append(item.id)
        if len(waiting) == BATCH:
            flush()
    flush()
    if not ids:
        raise XLIPError(f"{config.data}: none of its images can be read")
    absent = np.array([[labels[id_].get(kind, UNKNOWN) == ABSENT for kind in kinds] for id_ in ids])
    return ids, kinds, np.concatenate(parts), absent


def _labels(config: AbstainConfig) -> dict[str, dict[str, int]]:
    """Id -> kind -> state, of the chosen split."""
    rows = [(item.id, item.columns) for item in images_of(config.data)]
    splits = {str(columns["split"]) for _, columns in rows if "split" in columns}
    chosen = config.split or next((name for name in VALIDATION if name in splits), "")
    if config.split and config.split not in splits:
        raise XLIPError(
            f"{config.data}: no image of split {config.split!r}; its splits are {', '.join(sorted(splits))}"
        )
    return {id_: _kinds_of(columns) for id_, columns in rows if not chosen or str(columns.get("split")) == chosen}


def _kinds_of(columns: Mapping[str, Any]) -> dict[str, int]:
    return {
        canonical(name): from_file(int(value))
        for name, value in columns.items()
        if is_kind(name) and canonical(name) != NO_FINDING and value in (-1, 0, 1)
    }

"""Whether a run may go on from a checkpoint with the config it is given now: compared field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.train.config import PretrainConfig

FREE = re.compile(
    r"(out|resume|dry_run|workers|worker_timeout|peer_timeout|log_every|gradient_norms_every|checkpoint_every|keep|trackers"
    r"|recompute|shard|evaluate\..*|data\.test_sets.*|data\.exclusions|data\.\w+\.\d+\.path)"
)
"""What has no part in the result. Sets may lie elsewhere: their studies are compared."""
CHANGES_THE_REST = re.compile(r"(steps|precision|parts|optim\.(?!freeze|lora|layer_decay).*)")
"""What a run may change on its way; the steps that follow use it, and the log says so."""
REASONS = {
    "model": "the weights have the checkpoint's shape",
    "objectives": "it would minimise another loss half-way",
    "seed": "the order of the studies and every draw follow from it",
    "data": "the order of the studies follows from it, and the vocabulary",
    "prompts": "the prompts are part of the loss",
    "augment": "the images would be others half-way",
    "optim": "the optimiser holds a state for each weight that learns, by its rate",
}


def as_written(config: PretrainConfig) -> dict[str, Any]:
    """A config as a checkpoint holds it."""
    written: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return written


def compare(before: Mapping[str, Any], now: Mapping[str, Any], where: str, aside: Container[str] = ()) -> list[str]:
    """What changed of what may change the rest of the run, one sentence each; options `aside` are not looked at.

    Raises:
        XLIPError: something changed that may not.
    """
    from xlip.train.config import PretrainConfig

    # An option that is younger than the checkpoint was then what its default says.
    defaults = dict(_flat(as_written(PretrainConfig(out=""))))
    new = dict(_flat(now))
    old = {name: defaults[name] for name in new if name in defaults} | dict(_flat(before))
    notes = []
    for name in sorted(old.keys() | new.keys()):
        was, is_now = (json.dumps(one[name]) if name in one else "not there" for one in (old, new))
        if was == is_now or FREE.fullmatch(name) or name in aside:
            continue
        if not CHANGES_THE_REST.fullmatch(name):
            reason = REASONS.get(name.split(".")[0], "it is part of the result")
            raise XLIPError(
                f"{where}: {name} was {was} and is {is_now} now: {reason}; put it back, or start a new run in another "
                "--out"
            )
        notes.append(f"{name} was {was} and is {is_now} from here on")
    return notes


def compare_studies(before: Mapping[str, str], now: Mapping[str, str], where: str) -> None:
    """Refuse streams of other studies than the checkpoint's.

    Raises:
        XLIPError: a stream differs.
    """
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise XLIPError(
                f"{where}: data.{name} holds other studies than at the checkpoint ({before.get(name)}, now "
                f"{now.get(name)}): {REASONS['data']}; name the same sets, or start a new run in another --out"
            )


def compare_data(before: Mapping[str, Any], now: Mapping[str, Any], names: tuple[str, str], where: str) -> None:
    """Refuse streams of other studies than the checkpoint's, or of the same with other content, and other prompts.

    Args:
        before: facts of the checkpoint; those of an earlier version say nothing of either.
        now: what `facts_of_data` finds.
        names: the prompts' names, then and now; of files, which may lie elsewhere.
        where: the checkpoint.

    Raises:
        XLIPError: something differs.
    """
    compare_studies(before["studies"], now["studies"], where)
    if before.get("prompt_texts", now["prompt_texts"]) != now["prompt_texts"]:
        raise XLIPError(
            f"{where}: prompts was {names[0]} and is {names[1]} now, with other texts: {REASONS['prompts']}; put it "
            "back, or start a new run in another --out"
        )
    for name, found in sorted(now["content"].items()):
        if before.get("content", now["content"]).get(name) != found:
            raise XLIPError(
                f"{where}: data.{name} holds the same studies with other reports or labels than at the checkpoint; "
                "name the sets as they were prepared then, or start a new run in another --out"
            )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    # An empty option stands for itself: `objectives: {contrastive: {}}` names an objective.
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    inside = [pair for key, one in items for pair in _flat(one, f"{name}.{key}" if name else str(key))]
    yield from inside or [(name, value)]

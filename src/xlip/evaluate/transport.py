"""Which zero-shot entries of a suite are one model on several sets, and what carries over between these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from xlip.errors import XLIPError
from xlip.evaluate.suite import Outcome
from xlip.results.result import Result
from xlip.results.transport import REFITTED_ON, Transport, transport

SAME = ("checkpoint", "prompts", "scoring", "preprocessing", "local_share")
"""What the scores of two sets must have in common before a threshold may go from one to the other."""


def transports(
    outcomes: Sequence[Outcome], *, refit: Sequence[int] = REFITTED_ON, replicates: int = 1000, seed: int = 0
) -> list[tuple[Path, Transport]]:
    """For each way of scoring that a suite used on several sets: a folder, and what carries over.

    The folder is that of the entries' model; the first entry of a set counts where it has several alike.
    """
    groups: dict[tuple[Path, tuple[tuple[str, str], ...]], dict[str, Result]] = defaultdict(dict)
    for one in outcomes:
        if one.result is not None and one.result.evaluator == "zeroshot" and one.folder is not None and one.set_name:
            groups[one.folder.parent, _way(one.result.identity)].setdefault(one.set_name, one.result)
    found = []
    for (folder, way), results in groups.items():
        if len(results) > 1:
            sets = {name: result.predictions for name, result in results.items() if result.predictions is not None}
            splits = {name: result.identity["split"] for name, result in results.items()}
            made = transport(sets, splits, dict(way), refit=refit, replicates=replicates, seed=seed)
            place = (
                folder / "transport" / "-".join(value.replace("/", "_") for key, value in way if key != "checkpoint")
            )
            found.append((place, made))
    return found


def counts(text: str) -> list[int]:
    """Numbers of images from a list separated by commas.

    Raises:
        XLIPError: nothing, or no whole numbers above 0.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and int(word) for word in words):
        raise XLIPError(f"evaluate.refit: expected numbers of images separated by commas, such as 50,100; got {text!r}")
    return sorted({int(word) for word in words})


def _way(identity: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, identity[name]) for name in SAME if name in identity)

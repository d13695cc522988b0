"""What a split is, and the arithmetic that the rules share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.study.labels import PRESENT
from xlip.study.record import Study

LEFT_OUT = "unused"
"""The part of a study that the split does not use; `prepare` keeps it under this name, no stream reads it."""


@dataclass(frozen=True, order=True, slots=True)
class Item:
    """What a rule may look at: never an image."""

    study_id: str
    patient_id: str
    file: str
    """Name of the image file without folders, or empty."""
    positive: bool
    """Whether any kind is present, No_Finding aside."""
    split: str
    """What the source says."""
    lateral: bool = False

    @classmethod
    def of(cls, study: Study) -> Item:
        """The item of a study."""
        positive = any(state == PRESENT for kind, state in study.labels.items() if kind != "No_Finding")
        file = study.image_path.rsplit("/", 1)[-1]
        return cls(study.study_id, study.patient_id, file, positive, study.split, study.view == "LATERAL")


class Rule(Protocol):
    """From the items, sorted by study id, and the folder of the user's lists, to the part of each study id."""

    def __call__(self, items: Sequence[Item], lists: Path) -> dict[str, str]:
        """Study id -> train, val or test; an id that is missing is left out of the split.

        Raises:
            XLIPError: a list is missing or does not fit.
        """
        ...


@dataclass(frozen=True)
class Split:
    """A named partition of a set's studies."""

    name: str
    parts: Mapping[str, str]

    @cached_property
    def checksum(self) -> str:
        """12 hexadecimal digits over name, ids and parts: the same for everyone who has the same split."""
        digest = hashlib.sha256(self.name.encode())
        for study_id, part in sorted(self.parts.items()):
            digest.update(f"\n{study_id}\t{part}".encode())
        return digest.hexdigest()[:12]

    @property
    def counts(self) -> dict[str, int]:
        """Studies of each part."""
        return dict(sorted(Counter(self.parts.values()).items()))

    def applied(self, study: Study) -> Study:
        """The study with its part; `unused` where the split leaves it out."""
        return study._replace(split=self.parts.get(study.study_id, LEFT_OUT))


def shuffled(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The permutation that scikit-learn's `ShuffleSplit` draws (NumPy's legacy generator, whose stream is frozen)."""
    return np.random.RandomState(seed).permutation(count)


def halves(ids: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """(first, second) as `train_test_split(ids, test_size=share, random_state=seed)` gives them, in its order."""
    second = int(np.ceil(share * len(ids)))
    order = shuffled(len(ids), seed)
    return [ids[i] for i in order[second:]], [ids[i] for i in order[:second]]


def by_hash(patient_id: str, seed: int, share: float) -> bool:
    """Whether a patient falls into a share: a hash of seed and patient, the same for ever and everywhere."""
    digest = hashlib.blake2b(f"{seed}:{patient_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < share


def read_list(folder: Path, *names: str) -> list[str]:
    """First words of the lines of an official list: image or study names.

    Raises:
        XLIPError: none of the names is there.
    """
    for name in names:
        if (folder / name).is_file():
            with reading(folder / name):
                lines = (folder / name).read_text("utf-8", errors="replace").replace(",", " ").splitlines()
            return [line.split()[0].rsplit("/", 1)[-1] for line in lines if line.strip()]
    raise XLIPError(f"{folder}: expected the official list {' or '.join(names)}; put your copy there, or set --lists")


def from_lists(items: Iterable[Item], lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The parts of the studies whose image file (or its stem, or whose patient) a list names.

    Raises:
        XLIPError: two lists name the same image, or no list names any.
    """
    part_of: dict[str, str] = {}
    for part, entries in lists.items():
        for entry in entries:
            if part_of.setdefault(entry, part) != part:
                raise XLIPError(f"{entry} is in the lists of {part_of[entry]} and {part}; a split must be disjoint")
    found = {}
    for item in items:
        for key in (item.file, item.file.rsplit(".", 1)[0], item.patient_id.rsplit("/", 1)[-1]):
            if key in part_of:
                found[item.study_id] = part_of[key]
                break
    if not found:
        raise XLIPError("the official lists name none of the images of this set; are they the right lists?")
    return found


def with_validation(parts: dict[str, str], items: Iterable[Item], share: float, seed: int = 0) -> dict[str, str]:
    """Turn a share of the training patients into validation, whole patients only."""
    patients = {item.study_id: item.patient_id for item in items}
    return {
        id_: "val" if part == "train" and by_hash(patients[id_], seed, share) else part for id_, part in parts.items()
    }


def as_given(items: Sequence[Item], validation: float = 0.1) -> dict[str, str]:
    """What the source says; where it has no validation part, a share of the training patients becomes one.

    Raises:
        XLIPError: the source has no test part.
    """
    parts = {item.study_id: item.split for item in items}
    if "test" not in parts.values():
        raise XLIPError("this copy of the set has no test part; an official split needs it")
    return parts if "val" in parts.values() else with_validation(parts, items, validation)

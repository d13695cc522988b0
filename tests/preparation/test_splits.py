from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.preparation.splits import Item, Split, make_split, names, rule
from xlip.preparation.splits.rule import LEFT_OUT, by_hash, halves
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.record import Study


def items(count: int, **fields: object) -> list[Item]:
    base = {"positive": False, "split": "train"}
    return [
        Item(**{"study_id": f"s/{n:05d}", "patient_id": f"s/p{n // 2}", "file": f"{n:05d}.png", **base, **fields})
        for n in range(count)
    ]


def everything(folder: Path) -> list[Item]:
    """A set that every rule accepts, with the lists it needs in the folder."""
    made = [
        Item(
            f"x/patient{n // 2}/study1/{n}",
            f"x/p{n // 2}",
            f"{n}.png",
            n % 3 == 0,
            ("train", "val", "test")[n // 14 % 3],
        )
        for n in range(84)
    ]
    folder.mkdir(exist_ok=True)
    lists = {
        "train_val_list.txt": range(60), "test_list.txt": range(60, 84), "mrm_train_list.txt": range(40),
        "mrm_val_list.txt": range(40, 60), "mrm_test_list.txt": range(60, 84), "rsna_medklip_test.txt": range(20),
        "rsna_mrm_train.txt": range(40), "rsna_mrm_val.txt": range(40, 60), "rsna_mrm_test.txt": range(60, 84),
        "train.txt": range(40), "val.txt": range(40, 60), "test.txt": range(60, 84),
    }  # fmt: skip
    for name, numbers in lists.items():
        (folder / name).write_text("".join(f"{n}.png 0 1\n" for n in numbers))
    rows = (f"x/patient{n // 2}/study1/{n}.jpg,1,0\n" for n in range(0, 14, 2))
    (folder / "chexpert_5x200.csv").write_text("Path,Atelectasis,Edema\n" + "".join(rows))
    (folder / "chexpert_mavl456.txt").write_text("".join(f"x/patient{n // 2}/study1\n" for n in range(84)))
    return made


@pytest.mark.parametrize("name", names())
def test_every_split_is_disjoint_repeatable_and_independent_of_the_order(name: str, tmp_path: Path) -> None:
    made = everything(tmp_path)
    first = make_split(name, made, tmp_path)
    mixed = made[:]
    random.Random(0).shuffle(mixed)
    again = make_split(name, mixed, tmp_path)
    assert first.parts == again.parts
    assert first.checksum == again.checksum
    assert set(first.parts) <= {item.study_id for item in made}
    assert set(first.parts.values()) <= {"train", "val", "test"}
    assert first.counts["test"] > 0


@pytest.mark.parametrize("name", names())
def test_the_checksum_sees_one_study_that_moves(name: str, tmp_path: Path) -> None:
    split = make_split(name, everything(tmp_path), tmp_path)
    some = next(id_ for id_, part in split.parts.items() if part == "test")
    assert Split(name, {**split.parts, some: "train"}).checksum != split.checksum
    assert Split(name + "2", split.parts).checksum != split.checksum
    assert len(split.checksum) == 12


def test_halves_are_those_of_scikit_learn() -> None:
    from sklearn.model_selection import train_test_split

    ids = [f"p{n}" for n in range(26684)]
    train, rest = train_test_split(ids, test_size=0.3, random_state=0)
    assert halves(ids, 0.3, 0) == (list(train), list(rest))


def test_rsna_gloria_has_the_published_sizes_and_its_first_half_is_test() -> None:
    from sklearn.model_selection import train_test_split

    made = [Item(f"rsna/{n:05d}", f"rsna/{n:05d}", f"{n:05d}.dcm", False, "train") for n in range(26684)]
    split = make_split("rsna/gloria", [*made, Item("rsna/t", "rsna/t", "t.dcm", False, "test")], Path())
    assert split.counts == {"test": 4003, "train": 18678, "val": 4003}
    _, rest = train_test_split([item.patient_id for item in made], test_size=0.3, random_state=0)
    test, _ = train_test_split(rest, test_size=0.5, random_state=0)
    assert {id_ for id_, part in split.parts.items() if part == "test"} == set(test)


def test_siim_is_stratified_and_leaves_unlabelled_images_out() -> None:
    made = [Item(f"siim/{n}", f"siim/{n}", f"{n}.dcm", n < 200, "train") for n in range(1000)]
    split = make_split("siim/dedup", [*made, Item("siim/x", "siim/x", "x.dcm", False, "test")], Path())
    sick = [split.parts[f"siim/{n}"] for n in range(200)]
    assert (sick.count("train"), sick.count("val"), sick.count("test")) == (140, 30, 30)
    assert len(split.parts) == 1000


def test_official_nih_validation_takes_whole_patients(tmp_path: Path) -> None:
    made = items(4000)
    (tmp_path / "train_val_list.txt").write_text("".join(f"{i.file}\n" for i in made[:3000]))
    (tmp_path / "test_list.txt").write_text("".join(f"{i.file}\n" for i in made[3000:]))
    split = make_split("nih/official", made, tmp_path)
    patients = {part: {i.patient_id for i in made if split.parts[i.study_id] == part} for part in split.counts}
    assert not patients["train"] & patients["val"]
    assert split.counts["test"] == 1000
    assert abs(split.counts["val"] - 300) < 60


def test_chexpert_tests_frontal_views_alone_and_validates_on_whole_patients(tmp_path: Path) -> None:
    train, front = items(3000), items(1, split="test")[0]
    made = [*train, replace(front, study_id="f"), replace(front, study_id="l", lateral=True)]
    parts = make_split("chexpert/test500", made, tmp_path).parts
    assert [parts.get(name) for name in ("f", "l")] == ["test", None]
    parts = make_split("chexpert/valid234", [*train, replace(front, study_id="v", split="val")], tmp_path).parts
    patients = {part: {i.patient_id for i in train if parts[i.study_id] == part} for part in ("train", "val")}
    assert patients["val"]
    assert not patients["train"] & patients["val"]


def test_the_hash_of_a_patient_is_the_same_for_ever_and_another_for_another_seed() -> None:
    patients = [f"p{number}" for number in range(2000)]
    chosen = [[by_hash(patient, seed, 0.3) for patient in patients] for seed in (0, 1)]
    for seed, found in enumerate(chosen):
        digests = [hashlib.blake2b(f"{seed}:{one}".encode(), digest_size=8).hexdigest() for one in patients]
        assert found == [int(digest, 16) < 0.3 * 2**64 for digest in digests]
        assert np.mean(found) == pytest.approx(0.3, abs=0.04)
    assert np.mean(np.logical_and(*chosen)) == pytest.approx(0.09, abs=0.03)


def test_an_item_holds_what_a_rule_may_look_at() -> None:
    study = Study("x/1", "x/p", "x", image_path="a/b/c.png", view="LATERAL", split="val")
    assert Item.of(study) == Item("x/1", "x/p", "c.png", False, "val", lateral=True)
    states = {"No_Finding": PRESENT, "Mass": ABSENT, "Nodule": UNCERTAIN}
    assert not Item.of(study._replace(labels=states)).positive
    assert Item.of(study._replace(labels={**states, "Effusion": PRESENT}, view="PA")).positive


def test_a_study_outside_the_split_is_unused() -> None:
    split = Split("a", {"s/1": "test"})
    assert split.applied(Study("s/1", "p", "s")).split == "test"
    assert split.applied(Study("s/2", "p", "s")).split == LEFT_OUT


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"unknown split 'nih/best'.*nih/official"):
        rule("nih/best")
    with pytest.raises(XLIPError, match=r"train_val_list\.txt"):
        make_split("nih/official", items(4), tmp_path)
    (tmp_path / "train.txt").write_text("a.png\n")
    (tmp_path / "val.txt").write_text("a.png\n")
    (tmp_path / "test.txt").write_text("b.png\n")
    with pytest.raises(XLIPError, match="disjoint"):
        make_split("lists", items(4), tmp_path)
    (tmp_path / "val.txt").write_text("c.png\n")
    with pytest.raises(XLIPError, match="none of the images"):
        make_split("lists", items(4), tmp_path)
    with pytest.raises(XLIPError, match="no test part"):
        make_split("covidx/official", items(4), tmp_path)


@pytest.mark.parametrize(
    ("name", "shares"), [("patients/70-15-15", (0.7, 0.15, 0.15)), ("patients/80-10-10", (0.8, 0.1, 0.1))]
)
def test_patient_split_keeps_patients_whole_and_its_shares(name: str, shares: tuple[float, ...]) -> None:
    made = items(6000)
    parts = make_split(name, made, Path()).parts
    by_patient: dict[str, set[str]] = {}
    for item in made:
        by_patient.setdefault(item.patient_id, set()).add(parts[item.study_id])
    assert all(len(found) == 1 for found in by_patient.values())
    found = [np.mean([part == wanted for part in parts.values()]) for wanted in ("train", "val", "test")]
    assert found == pytest.approx(shares, abs=0.03)

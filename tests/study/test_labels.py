"""Label states: their codes, and the one policy for uncertain ones in each place where labels teach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tiny import KINDS as BATCH_KINDS
from tiny import context_of, tiny_batch, tiny_model
from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, label_matrix
from xlip.evaluate.embeddings import Embedded
from xlip.evaluate.probe import LinearProbe, _Parts
from xlip.finetune.cell import Cell, Rows, train_cell
from xlip.finetune.classifier import XLIPClassifier
from xlip.finetune.fit import Part
from xlip.finetune.images import LabelledImages
from xlip.finetune.recipe import Recipe
from xlip.objectives.attmim import AttMIM
from xlip.objectives.kind_contrast import KindContrast
from xlip.objectives.kinds import ImageKind, ReportKind
from xlip.objectives.queries import presence
from xlip.study.kinds import NO_FINDING, kinds
from xlip.study.labels import (
    ABSENT,
    PRESENT,
    UNCERTAIN,
    UNKNOWN,
    LabelState,
    UncertainPolicy,
    from_file,
    label_codes,
    one_class,
    to_file,
    truth,
)
from xlip.study.parquet import read_studies, schema, write_studies
from xlip.study.record import Study

KINDS = ("Edema", "Cardiomegaly", "Nodule")
CODES = label_codes([dict.fromkeys(KINDS, UNCERTAIN), {"Edema": PRESENT, "Cardiomegaly": ABSENT}], KINDS)
POLICIES = {
    "ignore": [-1, -1, -1],
    "present": [1, 1, 1],
    "absent": [0, 0, 0],
    "chexpert": [1, 0, -1],
    "edema=present, nodule=absent": [1, -1, 0],
    "Edema=absent,*=present": [0, 1, 1],
}
"""Policy -> what three uncertain labels become."""
STATES = st.sampled_from([None, ABSENT, PRESENT, UNCERTAIN])
TABLES = st.lists(st.tuples(*[STATES] * len(KINDS)), max_size=6)


def studies_of(table: list[tuple[LabelState | None, ...]]) -> list[dict[str, int]]:
    return [{kind: state for kind, state in zip(KINDS, row, strict=True) if state is not None} for row in table]


def test_every_state_has_a_code_of_its_own_and_a_word() -> None:
    assert [int(state) for state in LabelState] == [-1, 0, 1, 2]
    assert [state.word for state in LabelState] == ["unknown", "absent", "present", "uncertain"]


def test_states_survive_a_file_whose_codes_are_those_of_chexpert() -> None:
    assert {state: to_file(state) for state in (PRESENT, ABSENT, UNCERTAIN)} == {PRESENT: 1, ABSENT: 0, UNCERTAIN: -1}
    assert [from_file(code) for code in (1, 0, -1)] == [PRESENT, ABSENT, UNCERTAIN]


@pytest.mark.parametrize("state", [UNKNOWN, 3])
def test_a_state_that_files_do_not_have_is_refused(state: int, tmp_path: Path) -> None:
    study = Study("a", "a", "a", labels={"Mass": state})
    with pytest.raises(XLIPError, match=rf"got {int(state)}; leave out what is unknown"):
        write_studies([study], tmp_path / "s.parquet")
    assert list(tmp_path.iterdir()) == []


def old_file(path: Path, states: dict[str, int]) -> Path:
    """A table of the first schema: the nine columns it had."""
    names = ("study_id", "patient_id", "source", "split", "view", "image", "report", "labels", "entities")
    old = pa.schema([schema().field(name) for name in names], metadata={"xlip_schema": "1"})
    row = dict.fromkeys(names) | {"study_id": "a/1", "patient_id": "a/p", "source": "a"}
    row["labels"] = [{"kind": kind, "state": state} for kind, state in states.items()]
    pq.write_table(pa.Table.from_pylist([row], schema=old), path)
    return path


def test_labels_of_an_old_file_are_read(tmp_path: Path) -> None:
    (study,) = read_studies(old_file(tmp_path / "old.parquet", {"Edema": 1, "Cardiomegaly": 0, "Nodule": -1}))
    assert study.labels == {"Edema": PRESENT, "Cardiomegaly": ABSENT, "Nodule": UNCERTAIN}
    assert label_codes([study.labels], (*KINDS, "Mass")).tolist() == [[1, 0, 2, -1]]
    write_studies([study], tmp_path / "new.parquet")
    stored = pq.read_table(tmp_path / "new.parquet", columns=["labels"])["labels"].to_pylist()[0]
    assert {item["kind"]: item["state"] for item in stored} == {"Edema": 1, "Cardiomegaly": 0, "Nodule": -1}


def test_an_odd_code_in_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="or -1 uncertain in the file, got 2"):
        list(read_studies(old_file(tmp_path / "odd.parquet", {"Edema": 2})))


@given(TABLES)
def test_codes_equal_the_naive_table(table: list[tuple[LabelState | None, ...]]) -> None:
    codes = label_codes(studies_of(table), KINDS)
    assert codes.shape == (len(table), len(KINDS))
    assert codes.dtype == np.int8
    assert codes.tolist() == [[-1 if state is None else int(state) for state in row] for row in table]


@given(TABLES, st.sampled_from(sorted(POLICIES)))
def test_targets_equal_the_naive_loop(table: list[tuple[LabelState | None, ...]], policy: str) -> None:
    codes = label_codes(studies_of(table), KINDS)
    expected = [
        [
            POLICIES[policy][k] if state == UNCERTAIN else -1 if state is None else int(state)
            for k, state in enumerate(row)
        ]
        for row in table
    ]
    targets = UncertainPolicy.parse(policy).targets(codes, KINDS)
    assert (targets.tolist(), targets.dtype) == (expected, np.int8)
    assert (targets[codes != UNCERTAIN] == codes[codes != UNCERTAIN]).all()
    assert (truth(codes) == UncertainPolicy().targets(codes, KINDS)).all()


@given(st.dictionaries(st.sampled_from(sorted(kinds())), st.sampled_from(["ignore", "present", "absent"]), min_size=1))
def test_a_policy_per_kind_says_what_its_text_says(words: dict[str, str]) -> None:
    policy = UncertainPolicy.parse(",".join(f"{kind} = {word}" for kind, word in words.items()))
    expected = [{"present": 1, "absent": 0}.get(words.get(kind, "ignore"), -1) for kind in kinds()]
    assert policy.counts_as(tuple(kinds())).tolist() == expected


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("maybe", "x.uncertain: expected ignore, present, absent, chexpert or KIND=STATE,...; got 'maybe'"),
        ("", "got ''"),
        ("Edema=unknown", "got 'Edema=unknown'"),
        ("Edemaa=present", "unknown kind 'Edemaa'"),
        ("Effusion=present,pleural effusion=absent", "names Effusion twice"),
        ("*=present,*=absent", "twice"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(policy: str, message: str) -> None:
    with pytest.raises(XLIPError) as caught:
        UncertainPolicy.parse(policy, "x.uncertain")
    assert message in str(caught.value)


@pytest.mark.parametrize("make", [ImageKind, ReportKind, KindContrast, AttMIM, Recipe])
def test_every_option_refuses_a_wrong_policy_before_any_work(make: type) -> None:
    with pytest.raises(XLIPError, match=r"\w+\.uncertain: expected ignore"):
        make(uncertain="maybe")
    assert make().uncertain == LinearProbe().uncertain == "ignore"


def test_measurements_take_uncertain_labels_for_unknown() -> None:
    cases = [Case("a", "p", None, {"Edema": UNCERTAIN, "Nodule": ABSENT}), Case("b", "p", None, {"Edema": PRESENT})]
    assert label_matrix(cases, KINDS).tolist() == [[-1, -1, 0], [1, -1, -1]]
    assert label_matrix([], KINDS).shape == (0, 3)


def test_a_column_of_one_class_is_found() -> None:
    targets = np.array([[1, 1, -1, 0], [0, 1, -1, -1], [-1, -1, -1, 1]])
    assert one_class(targets).tolist() == [False, True, True, False]


# Each policy in each objective: an uncertain label must act as a certain one of what the policy says.

OF_BATCH = {
    "ignore": [-1, -1],
    "present": [1, 1],
    "absent": [0, 0],
    "chexpert": [1, 0],
    "Effusion=absent,*=present": [0, 1],
}
"""Policy -> what uncertain labels of the first two kinds of a batch become."""


@pytest.mark.parametrize("policy", OF_BATCH)
@pytest.mark.parametrize("make", [ImageKind, ReportKind, KindContrast])
def test_an_uncertain_label_teaches_what_the_policy_says(make: type, policy: str) -> None:
    model = tiny_model().eval()
    doubted = tiny_batch(model)
    for labels in (doubted.image_labels, doubted.report_labels):
        labels[:, 2:] = torch.tensor([PRESENT, ABSENT])
        labels[:, :2] = UNCERTAIN
    decided = replace(doubted, image_labels=doubted.image_labels.clone(), report_labels=doubted.report_labels.clone())
    for labels in (decided.image_labels, decided.report_labels):
        labels[:, :2] = torch.tensor(OF_BATCH[policy])
    found = make(uncertain=policy)(context_of(model, doubted, make()))
    expected = make()(context_of(model, decided, make()))
    assert BATCH_KINDS[:2] == ("Effusion", "Cardiomegaly")
    assert torch.equal(found.total, expected.total)
    assert found.count == expected.count > 0


@pytest.mark.parametrize("policy", OF_BATCH)
def test_attmim_queries_a_doubted_kind_as_the_policy_says(policy: str) -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model, 0, 2, 1)
    batch.image_labels[:] = UNCERTAIN
    weights = presence(context_of(model, batch, AttMIM()), policy)
    wanted = [*OF_BATCH[policy], *([-1, -1] if policy in ("ignore", "chexpert") else [OF_BATCH[policy][1]] * 2)]
    for column, target in enumerate(wanted):
        found = weights[:, column]
        if BATCH_KINDS[column] == NO_FINDING:  # what is nowhere hides no patch
            assert not found.any()
        elif target < 0:  # the model's own score, which is neither
            assert ((found > 1e-3) & (found < 1)).all()
        else:
            assert torch.allclose(found, torch.full_like(found, max(target, 1e-3)))


# Each policy in a probe and in fine-tuning: what is handed to the fit.

TABLE = [
    *[dict.fromkeys(KINDS, UNCERTAIN)] * 2,
    dict.fromkeys(KINDS, PRESENT),
    dict.fromkeys(KINDS, ABSENT),
    {"Edema": PRESENT, "Nodule": ABSENT},
]


class Handed(Exception):  # noqa: N818
    """Ends a training with the targets that it was given."""


def handed(function: Callable[[], object]) -> list[list[int]]:
    with pytest.raises(Handed) as caught:
        function()
    targets: list[list[int]] = caught.value.args[0].tolist()
    return targets


def expected_targets(policy: str) -> list[list[int]]:
    return [POLICIES[policy]] * 2 + [[1, 1, 1], [0, 0, 0], [1, -1, 0]]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_probe_fits_what_the_policy_says(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(features: object, targets: np.ndarray, *_: object, **__: object) -> None:
        raise Handed(targets)

    monkeypatch.setattr("xlip.evaluate.probe.choose_c", stop)
    cases = [Case(f"s{i}", f"p{i}", None, labels) for i, labels in enumerate(TABLE)]
    nothing = np.zeros((len(TABLE), 2), np.float32)
    seen = Embedded(cases, nothing, nothing)
    parts = _Parts("set", seen, seen, seen)
    assert handed(lambda: LinearProbe(uncertain=policy)._train(parts, list(KINDS), 0, np.zeros(0))) == expected_targets(
        policy
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_fine_tuning_fits_what_the_policy_says_and_watches_what_is_certain(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(start: object, train: Part, validation: Part, *_: object, **__: object) -> None:
        assert (validation.targets == truth(label_codes(TABLE, KINDS))).all()
        raise Handed(train.targets)

    monkeypatch.setattr("xlip.finetune.cell.fit", stop)
    names, rows = np.array([f"s{i}" for i in range(len(TABLE))]), np.arange(len(TABLE))
    pixels = np.zeros((len(TABLE), 8, 8), np.uint8)
    data = LabelledImages("set", KINDS, names, names, np.full(len(TABLE), "train"), label_codes(TABLE, KINDS), pixels)
    recipe, start = Recipe(uncertain=policy), XLIPClassifier.of(tiny_model(), KINDS)
    options = {"augment": None, "precision": "fp32"}
    found = handed(lambda: train_cell(Cell(1.0, 0), data, Rows(rows, rows, rows), start, recipe, **options))
    assert found == expected_targets(policy)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.results.result import Predictions
from xlip.results.scores_file import read_scores, write_scores

# Text without surrogates and NUL, which no CSV file can hold; commas, quotes and line breaks are in it.
WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
KINDS = ("Effusion", "Pleural_Thickening")
GOOD = "study_id,patient_id,Effusion,label:Effusion,group:sex\na,p,0.25,1,F\nb,p,0.5,,M\n"


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    count = draw(st.integers(1, 5))
    column = st.lists(WORDS, min_size=count, max_size=count)
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    scores = draw(st.lists(numbers, min_size=2 * count, max_size=2 * count))
    labels = draw(st.lists(st.sampled_from([1, 0, -1]), min_size=2 * count, max_size=2 * count))
    groups = {name: np.array(draw(column)) for name in draw(st.sets(st.sampled_from(["sex", "view", "age"])))}
    return Predictions(
        KINDS,
        tuple(draw(column)),
        np.array(draw(column)),
        np.array(labels, np.int8).reshape(count, 2),
        np.array(scores).reshape(count, 2),
        groups,
    )


@settings(deadline=None)  # a busy machine is no fault
@given(predictions())
def test_what_is_written_is_read_back_to_the_last_digit(written: Predictions) -> None:
    with TemporaryDirectory() as folder:
        write_scores(Path(folder) / "scores.csv", written)
        assert [path.name for path in Path(folder).iterdir()] == ["scores.csv"]
        read = read_scores(Path(folder) / "scores.csv")
    assert (read.kinds, read.study_ids) == (written.kinds, written.study_ids)
    for name in ("patients", "labels", "scores"):
        assert np.array_equal(getattr(read, name), getattr(written, name)), name
    assert {name: list(group) for name, group in read.groups.items()} == {
        name: list(group) for name, group in written.groups.items()
    }


def simple(count: int = 3) -> Predictions:
    ids = tuple(f"s{i}" for i in range(count))
    return Predictions(KINDS, ids, np.array(ids), np.zeros((count, 2), np.int8), np.full((count, 2), 0.5))


def test_numbers_of_other_types_are_written_too(tmp_path: Path) -> None:
    given = replace(simple(), patients=np.arange(3), scores=np.full((3, 2), 0.1, np.float32))
    write_scores(tmp_path / "scores.csv", given)
    read = read_scores(tmp_path / "scores.csv")
    assert read.patients.tolist() == ["0", "1", "2"]
    assert np.array_equal(read.scores, given.scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.array([[0.1, 0.2], [0.1, np.nan], [0.3, 0.4]])}, "score of Pleural_Thickening for s1 is nan"),
        ({"scores": np.array([[np.inf, 0.2], [0.1, 0.2], [0.3, 0.4]])}, "score of Effusion for s0 is inf"),
        ({"scores": np.zeros((3, 1))}, r"scores of 3 cases and 2 kinds expected, got the shape \(3, 1\)"),
        ({"labels": np.zeros((2, 2))}, r"labels of 3 cases and 2 kinds expected, got the shape \(2, 2\)"),
        ({"patients": np.arange(2)}, "patients: expected 3 values, one per case, got 2"),
        ({"groups": {"sex": np.array(["F"])}}, "sex: expected 3 values, one per case, got 1"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_and_leave_nothing(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    (tmp_path / "scores.csv").write_text("earlier")
    with pytest.raises(XLIPError, match=message) as caught:
        write_scores(tmp_path / "scores.csv", replace(simple(), **change))
    assert "\n" not in str(caught.value)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("scores.csv", "earlier")]


def test_a_file_by_hand_is_read(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text(GOOD)
    read = read_scores(tmp_path / "scores.csv")
    assert (read.kinds, read.study_ids, read.patients.tolist()) == (("Effusion",), ("a", "b"), ["p", "p"])
    assert read.labels.tolist() == [[1], [-1]]
    assert read.scores.tolist() == [[0.25], [0.5]]
    assert {name: group.tolist() for name, group in read.groups.items()} == {"sex": ["F", "M"]}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.5", "nan", r"scores\.csv:3: the score of Effusion is 'nan'; expected a finite number"),
        ("0.5", "-inf", r":3: the score of Effusion is '-inf'"),
        ("0.25", "", r":2: the score of Effusion is ''"),
        ("0.25", "high", r":2: the score of Effusion is 'high'"),
        ("0.25,1", "0.25,2", r":2: label:Effusion is '2'; expected 1, 0 or nothing"),
        (",,M", ",", r":3: expected 5 cells as in the header, got 4"),
        ("patient_id", "person", r":1: expected a column 'patient_id'; evaluate again"),
        ("label:Effusion", "truth", r":1: expected for each kind .*; 'Effusion' has only one of the two"),
        (",Effusion,", ",Edema,", r":1: expected for each kind .*; 'Edema' has only one of the two"),
        ("group:sex", "Effusion", r":1: the column 'Effusion' stands there twice"),
        ("Effusion,label:Effusion", "group:a,group:b", r":1: expected for each kind .*; found none"),
        ("a,p,0.25,1,F\nb,p,0.5,,M\n", "", r"scores\.csv: no row under the header"),
        ("a,p", '"a,p', r"scores\.csv: expected a CSV file in UTF-8"),
    ],
)
def test_a_fault_names_file_line_and_column(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    (tmp_path / "scores.csv").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(XLIPError, match=message) as caught:
        read_scores(tmp_path / "scores.csv")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_no_file_and_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"scores\.csv: no such file"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_bytes(GOOD.replace("F", "\xe9").encode("latin-1"))
    with pytest.raises(XLIPError, match=r"expected a CSV file in UTF-8; .*can't decode"):
        read_scores(tmp_path / "scores.csv")

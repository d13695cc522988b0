from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.search import index as index_module
from xlip.search.index import Index
from xlip.search.scan import best, products
from xlip.search.store import IMAGES, REPORTS, Facts, Records

WIDTH = 8
FACTS = Facts("abc", WIDTH, 64, "letterbox")


def unit(seed: int, count: int, width: int = WIDTH) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def records(numbers: list[int], **changes: Any) -> Records:
    """Rows whose vectors, columns and thumbnails follow from their numbers."""
    images = np.concatenate([unit(number, 1) for number in numbers]) if numbers else np.zeros((0, WIDTH))
    reports = np.concatenate([unit(1000 + number, 1) for number in numbers]) if numbers else np.zeros((0, WIDTH))
    for place, number in enumerate(numbers):
        if number % 5 == 0:
            images[place] = 0  # a report alone
        elif number % 3 == 0:
            reports[place] = 0  # an image alone
    columns = [{"age": number % 90, "view": "PA" if number % 2 else "AP"} for number in numbers]
    given_ = {
        "ids": [f"s{number}" for number in numbers],
        "images": images,
        "reports": reports,
        "columns": [row if number % 7 else {} for row, number in zip(columns, numbers, strict=True)],
        "thumbnails": [f"picture {number}".encode() if number % 4 else b"" for number in numbers],
    }
    return Records(**{**given_, **changes})


def naive(
    numbers: list[int], query: np.ndarray, top: int, find: str = IMAGES, keep: Callable[[int], bool] = lambda _: True
) -> list[tuple[str, float]]:
    """Ids and scores by a loop over half floats."""
    rows = records(numbers)
    vectors = np.asarray(getattr(rows, find), np.float16).astype(np.float64)
    scored = [
        (float(vector @ query.astype(np.float64)), -place, rows.ids[place])
        for place, vector in enumerate(vectors)
        if vector.any() and keep(numbers[place])
    ]
    return [(id_, score) for score, _, id_ in sorted(scored, reverse=True)[:top]]


def same(index: Index, numbers: list[int], where: str = "", keep: Callable[[int], bool] = lambda _: True) -> None:
    for find in (IMAGES, REPORTS):
        queries = unit(77, 3)
        for query, hits in zip(queries, index.nearest(queries, 5, where, find), strict=True):
            expected = naive(numbers, query, 5, find, keep)
            assert [hit.id for hit in hits] == [id_ for id_, _ in expected]
            assert np.allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-5)


def test_products_are_those_of_half_floats_denormal_and_zero_ones_too() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((3000, 24)) * 10.0 ** rng.integers(-8, 3, (3000, 24))).astype(np.float16)
    matrix[7], matrix[8] = 0, -0.0
    matrix[9] = np.finfo(np.float16).smallest_subnormal
    for count in (1, 3):
        queries = rng.standard_normal((count, 24)).astype(np.float32)
        expected = queries.astype(np.float64) @ matrix.astype(np.float64).T
        size = np.abs(queries.astype(np.float64)) @ np.abs(matrix.astype(np.float64)).T
        assert (np.abs(products(matrix, queries) - expected) <= 1e-5 * size + 1e-12).all()


@given(st.lists(st.sampled_from([-np.inf, 0.0, 1.0, 2.0]), max_size=30), st.integers(1, 12))
def test_the_best_are_those_of_a_stable_sort(values: list[float], top: int) -> None:
    scores = np.array(values, np.float32)
    expected = [row for row in sorted(range(len(values)), key=lambda row: -values[row]) if values[row] > -np.inf]
    assert best(scores, top).tolist() == expected[:top]


def test_search_is_that_of_a_naive_loop(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", FACTS)
    numbers = list(range(120))
    for start in range(0, 120, 37):
        index.append(records(numbers[start : start + 37]))
    same(index, numbers)
    same(index, numbers, "view = 'PA' and age > 60", lambda n: n % 7 > 0 and n % 2 == 1 and n % 90 > 60)
    same(index, numbers, "age = 11", lambda n: n % 90 == 11)
    same(index, numbers, "age is null", lambda n: n % 7 == 0)
    same(Index.open(tmp_path / "index"), numbers)
    (hits,) = index.nearest(index.vector("s1")[None], 3, without=["s1"])
    assert "s1" not in [hit.id for hit in hits]
    (own,) = index.nearest(index.vector("s1")[None], 1)
    assert (own[0].id, own[0].columns) == ("s1", {"age": 1, "view": "PA"})
    assert index.thumbnail("s1") == b"picture 1"
    assert index.thumbnail("s4") is None
    assert index.thumbnail("nobody") is None
    assert index.vector("s3", REPORTS) is None


def test_an_empty_index_answers_nothing(tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    index.append(records([]))
    assert (len(index), index.ids(), index.nearest(unit(0, 2), 3)) == (0, [], [[], []])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(0, 30), min_size=1, max_size=9, unique=True)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 30), max_size=9)),
        st.tuples(st.just("compact"), st.just([])),
        st.tuples(st.just("open"), st.just([])),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_course_of_changes_leaves_what_a_list_would_hold(
    steps: list[tuple[str, list[int]]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "LARGEST_PART", 7)
    folder = tmp_path_factory.mktemp("index")
    index, held = Index.create(folder, FACTS), list[int]()
    for what, numbers in steps:
        if what == "append":
            new = [number for number in numbers if number not in held]
            if len(new) < len(numbers):
                with pytest.raises(XLIPError, match="in the index already"):
                    index.append(records(numbers))
            index.append(records(new))
            held += new
        elif what == "remove":
            assert index.remove(f"s{number}" for number in numbers) == len(set(numbers) & set(held))
            held = [number for number in held if number not in numbers]
        elif what == "compact":
            index.compact()
            sizes = [part.rows for part in index.manifest.parts]
            assert all(size == 7 for size in sizes[:-1])
            assert sum(sizes) == len(held)
        else:
            index = Index.open(folder)
        assert index.ids() == [f"s{number}" for number in held]
        assert len(index) == len(held)
    same(index, held)
    for number in held:
        assert index.thumbnail(f"s{number}") == (f"picture {number}".encode() if number % 4 else None)


def test_compaction_takes_removed_rows_off_the_disk(tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    index.append(records([1, 2]))
    index.append(records([6, 7]))
    index.remove(["s1"])
    held = b"".join(file.read_bytes() for file in (tmp_path / "parts").glob("*.thumbnails"))
    assert b"picture 1" in held
    index.compact()
    held = b"".join(file.read_bytes() for file in (tmp_path / "parts").iterdir())
    assert b"picture 1" not in held
    assert b"picture 2" in held
    assert len({file.name.partition(".")[0] for file in (tmp_path / "parts").iterdir()}) == 1


@pytest.mark.parametrize("other", [Facts("xyz", WIDTH, 64, "letterbox"), Facts("abc", WIDTH, 64, "clip")])
def test_vectors_of_another_checkpoint_are_refused(other: Facts, tmp_path: Path) -> None:
    Index.create(tmp_path, FACTS).append(records([1]))
    with pytest.raises(XLIPError, match="vectors of checkpoint abc .*the model given is .*cannot be compared"):
        Index.create(tmp_path, other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": np.full((2, WIDTH), np.nan, np.float32)}, "expected a vector of length 1, got nan"),
        ({"images": np.full((2, WIDTH), 3, np.float32)}, "expected a vector of length 1"),
        ({"images": unit(0, 2, 5)}, r"expected images of shape \(2, 8\), got \(2, 5\)"),
        ({"ids": ["a", "a"]}, "an id repeats"),
        ({"columns": [{}]}, "columns and thumbnails of 2 rows"),
        ({"columns": [{"age": "old"}, {}]}, "column age holds numbers in this index, got 'old'"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    index.append(records([1, 2]))
    with pytest.raises(XLIPError, match=said):
        index.append(records([8, 9], **changes))
    assert Index.open(tmp_path).ids() == ["s1", "s2"]


def test_numbers_of_a_column_may_become_real_ones_later(tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    index.append(records([1, 2]))
    index.append(records([8, 9], columns=[{"age": 60.5}, {"age": 61.0, "sex": "F"}]))
    (hits,) = index.nearest(unit(0, 1), 9, "age > 60")
    assert {hit.id for hit in hits} == {"s8", "s9"}
    (hits,) = index.nearest(unit(0, 1), 9, "sex = 'F'")
    assert [hit.id for hit in hits] == ["s9"]
    index.compact()
    (hits,) = index.nearest(unit(0, 1), 9, "age < 2.5")
    assert {hit.id for hit in hits} == {"s1", "s2"}


def test_places_that_hold_no_index_or_a_damaged_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"expected an index, found no index.json; make one with `xlip embed"):
        Index.open(tmp_path / "none")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.txt").write_text("x")
    with pytest.raises(XLIPError, match="found something else; choose another --out"):
        Index.create(tmp_path / "notes", FACTS)
    index = Index.create(tmp_path / "index", FACTS)
    index.append(records([1, 2]))
    (file,) = (tmp_path / "index" / "parts").glob("*.images.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(XLIPError, match=r"images.npy: cannot be read .*make the index again"):
        Index.open(tmp_path / "index")
    file.write_bytes(whole)
    (tmp_path / "index" / "index.json").write_text("{}")
    with pytest.raises(XLIPError, match="expected format xlip-index/1"):
        Index.open(tmp_path / "index")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"find": "words"}, "find: expected one of images, reports"),
        ({"top": 0}, "expected top >= 1"),
        ({"queries": np.zeros((1, 3), np.float32)}, r"finite queries \(q, 8\)"),
        ({"queries": np.full((1, WIDTH), np.nan, np.float32)}, "finite queries"),
    ],
)
def test_questions_that_cannot_be_answered_are_said(arguments: dict[str, Any], said: str, tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    with pytest.raises(XLIPError, match=said):
        index.nearest(**{"queries": unit(0, 1), "top": 3, **arguments})


def test_who_has_it_open_keeps_what_was_there_while_another_compacts(tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    for number in (1, 2, 6, 7):
        index.append(records([number]))
    reader = Index.open(tmp_path)
    before = [hit.id for hit in reader.nearest(unit(0, 1), 4)[0]]
    index.remove(["s1"])
    assert [hit.id for hit in reader.nearest(unit(0, 1), 4)[0]] == before
    reader.append(records([8]))  # takes in first what the other did
    assert reader.ids() == ["s2", "s6", "s7", "s8"]


def test_only_one_process_changes_it_at_a_time(tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    with index._writing(), pytest.raises(XLIPError, match="another process is changing this index"):
        Index.open(tmp_path).append(records([1]))
    index.append(records([1]))
    assert len(index) == 1


def _die(folder: str, point: str) -> None:
    index = Index.open(folder)
    setattr(index_module, point, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    index.append(records([8, 9]))


@pytest.mark.parametrize("point", ["write_manifest"])
def test_a_process_killed_before_its_part_counts_leaves_the_index_as_it_was(point: str, tmp_path: Path) -> None:
    index = Index.create(tmp_path, FACTS)
    index.append(records([1, 2]))
    process = multiprocessing.get_context("fork").Process(target=_die, args=(str(tmp_path), point))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == 2  # written, and not listed
    index = Index.open(tmp_path)
    assert index.ids() == ["s1", "s2"]
    index.append(records([8, 9]))
    assert Index.open(tmp_path).ids() == ["s1", "s2", "s8", "s9"]
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == 2

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from index_rows import FACTS, WIDTH, records, same, unit
from xlip.errors import XLIPError
from xlip.search import lance as lance_module
from xlip.search.lance import LanceIndex, check_processor
from xlip.search.open import create_store, open_store
from xlip.search.store import Facts, Records

pytest.importorskip("lancedb")


def test_it_answers_as_the_exact_index_does_through_every_change(tmp_path: Path) -> None:
    place = str(tmp_path / "index")
    index = create_store(place, FACTS, "lance")
    numbers = list(range(60))
    for start in range(0, 60, 20):
        index.append(records(numbers[start : start + 20]))
    same(index, numbers)
    same(index, numbers, "view = 'PA' and age > 30", lambda n: n % 7 > 0 and n % 2 == 1 and n % 90 > 30)
    assert index.remove(["s1", "s2", "x'; drop table rows; --"]) == 2
    index.compact()
    held = [number for number in numbers if number not in (1, 2)]
    index = open_store(place)
    assert isinstance(index, LanceIndex)
    assert index.ids() == [f"s{number}" for number in held]
    same(index, held)
    assert (index.thumbnail("s3"), index.thumbnail("s4")) == (b"picture 3", None)
    assert index.vector("s5") is None
    (hits,) = index.nearest(unit(0, 1), 5, without=["s6"])
    assert "s6" not in [hit.id for hit in hits]
    index.append(records([71], columns=[{"age": 3.5, "sex": "F"}]))
    (hits,) = index.nearest(unit(0, 1), 5, "sex = 'F'")
    assert [(hit.id, hit.columns) for hit in hits] == [("s71", {"age": 3.5, "sex": "F"})]
    with pytest.raises(XLIPError, match="'s71' is in the index already"):
        index.append(records([71]))
    with pytest.raises(XLIPError, match=r"vectors of checkpoint abc"):
        create_store(place, Facts("other", WIDTH, 64, "letterbox"), "lance")
    with pytest.raises(XLIPError, match="an index of another backend is there"):
        create_store(place, FACTS, "exact")
    for text in ("1 = 1) or (select 1) = 1 --", "true; drop table rows", "nothing = 1"):
        with pytest.raises(XLIPError, match="--where"):
            index.nearest(unit(0, 1), 5, text)


def test_a_processor_without_avx2_is_told_before_anything_is_loaded() -> None:
    check_processor("flags : fpu sse2 avx avx2 fma")
    check_processor("")  # not Linux, or not x86: LanceDB has builds for it
    with pytest.raises(XLIPError, match="needs a processor with AVX2, which this one lacks; use --backend exact"):
        check_processor("flags : fpu sse2 avx")


def test_where_it_is_not_installed_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(XLIPError, match=r"pip install 'xlip.search.'"):
        LanceIndex.create(str(tmp_path / "x"), FACTS)


@pytest.mark.slow
def test_its_index_finds_nearly_what_an_exact_search_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_module, "INDEXED_FROM", 2000)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 6)) @ rng.standard_normal((6, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    facts = Facts("abc", 32, 64, "letterbox")
    rows = Records([f"r{n}" for n in range(3000)], vectors, np.zeros_like(vectors), [{}] * 3000, [b""] * 3000)
    exact, lance = create_store(str(tmp_path / "a"), facts, "exact"), create_store(str(tmp_path / "b"), facts, "lance")
    for index in (exact, lance):
        index.append(rows)
        index.compact()
    assert len(lance.table.list_indices()) == 1
    shared = [
        len({hit.id for hit in one} & {hit.id for hit in other}) / 10
        for one, other in zip(exact.nearest(vectors[:50], 10), lance.nearest(vectors[:50], 10), strict=True)
    ]
    assert np.mean(shared) >= 0.99

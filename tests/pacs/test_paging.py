"""Whatever a server makes of limit and offset, what is called complete is complete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.pacs import paging
from xlip.pacs.paging import Paged, by_days, everything

Rows = list[dict[str, str]]


def rows(count: int) -> Rows:
    return [{"id": f"u{number}"} for number in range(count)]


def key(item: dict[str, str]) -> str:
    return item.get("id", "")


SERVERS: dict[str, Callable[[Rows, int, int], Rows]] = {
    "honest": lambda all_, limit, offset: all_[offset : offset + limit],
    "caps at 7": lambda all_, limit, offset: all_[offset : offset + min(limit, 7)],
    "ignores the limit": lambda all_, limit, offset: all_[offset:],
    "ignores the offset": lambda all_, limit, offset: all_[:limit],
    "ignores both": lambda all_, limit, offset: all_,
    "caps and ignores the offset": lambda all_, limit, offset: all_[: min(limit, 7)],
    "counts pages": lambda all_, limit, offset: all_[offset * limit : (offset + 1) * limit],
    "counts from one": lambda all_, limit, offset: all_[max(offset - 1, 0) : max(offset - 1, 0) + limit],
    "has rows without id": lambda all_, limit, offset: (
        [{}, *all_[offset : offset + limit]] if offset < len(all_) else []
    ),
}


@pytest.mark.parametrize("name", SERVERS)
@settings(max_examples=40)
@given(count=st.integers(0, 40), size=st.integers(2, 12), told=st.booleans())
def test_what_is_called_complete_is_complete(name: str, count: int, size: int, told: bool) -> None:
    all_ = rows(count)
    found = everything(lambda limit, offset: SERVERS[name](all_, limit, offset), key, size, count if told else 0)
    assert set(found.items) <= {row["id"] for row in all_}
    if found.complete:
        assert len(found.items) == count
    if name in ("honest", "caps at 7", "ignores the limit"):
        assert found.complete


def test_a_list_that_grows_at_its_front_loses_nothing_that_was_there() -> None:
    all_, asked = rows(30), []

    def fetch(limit: int, offset: int) -> Rows:
        asked.append(offset)
        if len(asked) in (2, 4):
            all_.insert(0, {"id": f"new{len(asked)}"})
        return all_[offset : offset + limit]

    found = everything(fetch, key, 8)
    assert found.complete
    assert set(found.items) == {row["id"] for row in all_}


def test_a_list_that_shrinks_while_it_is_read_loses_nothing_that_stays() -> None:
    all_, asked = rows(30), []

    def fetch(limit: int, offset: int) -> Rows:
        asked.append(offset)
        if len(asked) == 3:
            del all_[2:6]
        return all_[offset : offset + limit]

    found = everything(fetch, key, 8)
    assert {row["id"] for row in all_} <= set(found.items)


def test_an_endless_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST", 1000)
    with pytest.raises(XLIPError, match="does not stop"):
        everything(lambda limit, offset: [{"id": f"{offset}.{n}"} for n in range(limit)], key, 100)


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(2, 9))
def test_days_complete_what_pages_cannot(offsets: list[int], size: int) -> None:
    """A server that ignores the offset: ranges of days find everything, unless one day alone fills a page."""
    first, last = date(2020, 1, 1), date(2021, 3, 1)
    studies = [{"id": f"u{number}", "day": first + timedelta(days=day)} for number, day in enumerate(offsets)]

    def search(start: date, end: date) -> Paged:
        within = [one for one in studies if start <= one["day"] <= end]
        return everything(lambda limit, offset: within[:limit], key, size)

    found = search(first, last)
    if not found.complete:
        by_days(search, first, last, found)
    fullest = max((offsets.count(day) for day in offsets), default=0)
    assert set(found.items) <= {one["id"] for one in studies}
    if found.complete or fullest < min(size, len(offsets)):
        assert len(found.items) == len(studies)
    if fullest >= size:
        assert not found.complete

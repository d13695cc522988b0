"""All results of a paged search, from servers that count, cap or order their pages as they please.

Each page is asked for from the last item that is known, so that it has to begin with that item. That item is the proof
that the server understood the offset: a page without it is no end, and no result of such a search is called complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from xlip.errors import XLIPError

Item = dict[str, Any]
Fetch = Callable[[int, int], list[Item]]
"""(limit, offset) -> results."""
PASSES = 3
"""A list that changed while it was read is read again, this often at most."""
MOST = 5_000_000
"""Results of one search."""


@dataclass
class Paged:
    """What a search found."""

    items: dict[str, Item] = field(default_factory=dict)
    """By key, in the order of the first pass."""
    complete: bool = True
    """Whether nothing can be missing but what came while it was read."""
    largest: int = 0
    """Results of the longest page."""


def everything(fetch: Fetch, key: Callable[[Item], str], size: int, expected: int = 0) -> Paged:
    """Every result of a search.

    Args:
        fetch: one page.
        key: what makes a result itself; '' where it lacks that, and is of no use.
        size: results asked for at once.
        expected: how many there should be, where the server said so elsewhere.

    Raises:
        XLIPError: the server does not stop sending new results.
    """
    found = Paged()
    for _ in range(PASSES):
        state = _one_pass(fetch, key, size, expected, found)
        if state != "shifted":
            break
    enough = len(found.items) >= expected
    found.complete = enough and (state == "orderly" or expected > 0)
    return found


def _one_pass(fetch: Fetch, key: Callable[[Item], str], size: int, expected: int, found: Paged) -> str:
    """`orderly`: each page began with the last item of the one before. `shifted`: the list moved. `ignored`: pages
    repeat, or are empty where an item has to be.
    """
    seen: dict[str, None] = {}
    state = "orderly"
    while True:
        page = fetch(size, max(len(seen) - 1, 0))
        found.largest = max(found.largest, len(page))
        keys = [name for item in page if (name := key(item))]
        found.items |= {key(item): item for item in page if key(item) and key(item) not in found.items}
        if len(found.items) > MOST:
            raise XLIPError(f"pacs: the server does not stop sending results ({MOST} so far); narrow the search")
        last = next(reversed(seen), "")
        fresh = [name for name in keys if name not in seen]
        if not seen:
            if not keys or (len(page) < size and len(keys) == expected):
                return state
        elif not fresh:
            if keys == [last]:
                return state
            return "shifted" if state == "shifted" else "ignored"
        elif keys[0] != last:
            state = "shifted"
        if len(set(keys)) < len(keys):
            state = "shifted"
        seen.update(dict.fromkeys(fresh))


def by_days(search: Callable[[date, date], Paged], first: date, last: date, found: Paged) -> None:
    """Complete a search whose pages repeat, by asking for ever shorter ranges of days.

    A range is whole once it has fewer results than the server has shown that it can send at once. `found` takes in
    what comes, and is complete unless a single day fills a page.

    Args:
        search: everything from one day to another.
        first: of the range that was not complete.
        last: of the same.
        found: its results so far.
    """
    found.complete = True
    ahead = [(first, last)]
    while ahead:
        start, end = ahead.pop()
        if start == end:
            found.complete = False
            continue
        middle = start + timedelta(days=(end - start).days // 2)
        for one in ((start, middle), (middle + timedelta(days=1), end)):
            part = search(*one)
            found.largest = max(found.largest, part.largest)
            found.items = {**part.items, **found.items}
            if not part.complete and len(part.items) >= found.largest:
                ahead.append(one)

"""The queue and the memory are bounded, and whoever is refused is told when to come again."""

from __future__ import annotations

from contextlib import suppress

import pytest

from xlip.serve.admission import LONGEST_WAIT, Admission
from xlip.serve.problems import RequestError


def test_one_more_than_there_are_places_is_refused() -> None:
    admission = Admission(places=2, most_bytes=10)
    with admission.place(), admission.place():
        with pytest.raises(RequestError, match="busy") as refused:
            admission.place().__enter__()
        assert 1 <= int(refused.value.headers["Retry-After"]) <= LONGEST_WAIT
    with admission.place():
        assert admission.waiting == 1
    assert (admission.waiting, admission.refused) == (0, 1)


def test_bytes_are_counted_over_all_requests_and_given_back() -> None:
    admission = Admission(places=9, most_bytes=10)
    with admission.place() as first:
        first.hold(7)
        with admission.place() as second:
            second.hold(3)
            with pytest.raises(RequestError, match="busy"):
                second.hold(1)
            assert admission.held_bytes == 10
        assert admission.held_bytes == 7
    assert admission.held_bytes == 0


def test_a_fault_in_the_block_gives_its_place_back() -> None:
    admission = Admission(places=1, most_bytes=10)
    for _ in range(3):
        with suppress(ValueError), admission.place() as place:
            place.hold(10)
            raise ValueError
    assert (admission.waiting, admission.held_bytes) == (0, 0)

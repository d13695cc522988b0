from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from xlip.errors import XLIPError
from xlip.processes import in_order


@pytest.mark.parametrize("workers", [0, 2])
def test_answers_come_in_the_order_of_the_jobs(workers: int) -> None:
    assert list(in_order(str, range(9), workers)) == [str(job) for job in range(9)]
    assert list(in_order(str, [], workers)) == []


def test_jobs_are_drawn_as_answers_are_taken() -> None:
    drawn = 0

    def jobs() -> Iterator[int]:
        nonlocal drawn
        while True:
            drawn += 1
            yield drawn

    answers = in_order(abs, jobs(), 1)
    for taken in range(1, 5):
        assert next(answers) == taken
        assert drawn == taken + 2
    answers.close()


def test_the_fault_of_a_job_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_order(int, ["1", "x"], 1))


def killed(job: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL if job == 2 else signal.SIGINT)  # the first is what a shortage of memory does


def test_a_process_that_is_killed_is_one_line_and_ctrl_c_is_left_to_the_caller() -> None:
    answers = in_order(killed, range(4), 1)
    assert next(answers) is None
    with pytest.raises(XLIPError, match=r"a worker process was killed.*--workers"):
        list(answers)

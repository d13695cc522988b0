"""Work for several processes, in order and within bounds."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from threadpoolctl import threadpool_limits

Job = TypeVar("Job")
Answer = TypeVar("Answer")


def in_order(function: Callable[[Job], Answer], jobs: Iterable[Job], workers: int) -> Iterator[Answer]:
    """`function` of every job, in the order of the jobs, which are drawn as processes get free.

    At most two jobs a process are under way, so that neither jobs nor answers pile up in memory. Processes are
    spawned, since a forked child of a threaded process may hang, and multiply matrices with one thread each.

    Args:
        function: of a module's top level, or a `partial` of one.
        jobs: what it is called with.
        workers: processes; 0 = this one.
    """
    if not workers:
        yield from map(function, jobs)
        return
    one_thread = partial(threadpool_limits, limits=1, user_api="blas")
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), one_thread) as pool:
        under_way: deque[Future[Answer]] = deque()
        for job in jobs:
            under_way.append(pool.submit(function, job))
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

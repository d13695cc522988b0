"""Work for several processes, in order and within bounds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from threadpoolctl import threadpool_limits

from xlip.errors import XLIPError

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

    Raises:
        XLIPError: a process was killed.
    """
    if not workers:
        yield from map(function, jobs)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin) as pool:
        under_way: deque[Future[Answer]] = deque()
        try:
            for job in jobs:
                under_way.append(pool.submit(function, job))
                if len(under_way) > 2 * workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool as error:
            raise XLIPError(
                "a worker process was killed, most often for want of memory; free some, or lower --workers"
            ) from error
        finally:
            for one in under_way:
                one.cancel()  # nobody waits for them any more


def _begin() -> None:
    """What a process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the one that started them ends them
    threadpool_limits(limits=1, user_api="blas")
    threading.Thread(target=leave_with_parent, daemon=True).start()


def leave_with_parent() -> None:
    """End this process once the one that started it is gone, which may have been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

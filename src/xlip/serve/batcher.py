"""Images of several requests through the model together.

The model has one thread. While it works on a batch the next requests gather, and go in together when it is free: under
load batches are large, and a single film is never kept waiting for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xlip.images.gray import Gray
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.scores import map_answers

T = TypeVar("T")


@dataclass(frozen=True)
class Encoded:
    """What the model says of one film."""

    vector: Array
    """(E,), L2-normalised."""
    answers: Array | None
    """(K,): what its map adds to the kinds that were asked for; None where the model adds nothing."""


@dataclass(frozen=True)
class _Waiting:
    square: Gray
    queries: Array | None
    """(2 K, E), as `map_queries`. Requests that ask for the same kinds hand in the same array."""
    result: asyncio.Future[Encoded]


class Batcher:
    """One thread for a model, and the films that wait for it."""

    def __init__(self, encoder: Encoder, most: int, on_batch: Callable[[int], None] = lambda size: None) -> None:
        self.encoder, self._most, self._on_batch = encoder, most, on_batch
        self._thread = ThreadPoolExecutor(1, "model")
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; called on the event loop."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """End; what waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def encode(self, square: Gray, queries: Array | None = None) -> Encoded:
        """One film, (S, S), in whatever batch comes next."""
        result: asyncio.Future[Encoded] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Waiting(square, queries, result))
        return await result

    async def run(self, work: Callable[[], T]) -> T:
        """Anything else that needs the model, in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._most and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [one for one in batch if not one.result.done()]  # its client has gone, or its time is over
            if not batch:
                continue
            self._on_batch(len(batch))
            try:
                found = await self.run(lambda batch=batch: _encoded(self.encoder, batch))  # type: ignore[misc]
            except Exception as error:
                for one in batch:
                    if not one.result.done():
                        one.result.set_exception(error)
                continue
            for one, encoded in zip(batch, found, strict=True):
                if not one.result.done():
                    one.result.set_result(encoded)


def _encoded(encoder: Encoder, batch: Sequence[_Waiting]) -> list[Encoded]:
    """The films with queries in one pass, whatever their queries, and those without in another."""
    squares = np.stack([one.square for one in batch])
    found: dict[int, Encoded] = {}
    plain = [row for row, one in enumerate(batch) if one.queries is None]
    if plain:
        found |= {
            row: Encoded(one, None) for row, one in zip(plain, encoder.encode_squares(squares[plain]), strict=True)
        }
    mapped = [row for row, one in enumerate(batch) if one.queries is not None]
    if mapped:
        sets = {id(one.queries): one.queries for one in batch if one.queries is not None}
        ends = np.cumsum([len(queries) for queries in sets.values()])
        place = {name: slice(end - len(sets[name]), end) for name, end in zip(sets, ends, strict=True)}
        vectors, maps = encoder.encode_and_map(squares[mapped], np.concatenate(list(sets.values())))
        for row, vector, its_maps in zip(mapped, vectors, maps, strict=True):
            said = map_answers(its_maps[None, place[id(batch[row].queries)]])[0]
            found[row] = Encoded(vector, said.astype(np.float32))
    return [found[row] for row in range(len(batch))]

"""Films of several requests share a pass, and each gets its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest
from served_encoder import FakeEncoder

from xlip.serve.batcher import Batcher, Encoded

T = TypeVar("T")
SQUARES = np.random.default_rng(0).integers(0, 256, (20, 64, 64)).astype(np.uint8)


def within(batcher: Batcher, work: Coroutine[Any, Any, T]) -> T:
    async def life() -> T:
        batcher.start()
        try:
            return await work
        finally:
            await batcher.stop()

    return asyncio.run(life())


async def all_of(batcher: Batcher, *queries: Any) -> list[Encoded]:
    asked = [batcher.encode(square, queries[row % len(queries)]) for row, square in enumerate(SQUARES)]
    return list(await asyncio.gather(*asked))


def test_what_waits_goes_in_together_and_no_batch_is_too_large() -> None:
    encoder, sizes = FakeEncoder(delay=0.01), []
    batcher = Batcher(encoder, 8, sizes.append)
    found = within(batcher, all_of(batcher, None))
    assert np.allclose([one.vector for one in found], FakeEncoder().encode_squares(SQUARES), atol=1e-6)
    assert sum(encoder.batches) == 20
    assert max(encoder.batches) == 8
    assert sizes == encoder.batches
    assert len(encoder.threads) == 1


def test_each_film_has_the_maps_answer_to_its_own_kinds() -> None:
    # The maps of denials (the second half) are the same, so that the first half decides.
    queries = [np.stack([np.full(8, value), np.zeros(8)]).astype(np.float32) for value in (0.5, 2.0)]
    encoder = FakeEncoder(delay=0.01)
    batcher = Batcher(encoder, 32)
    found = within(batcher, all_of(batcher, queries[0], None, queries[1]))
    assert len(encoder.batches) <= 4, "films that ask for other kinds did not share a pass"
    alone = [within(one := Batcher(FakeEncoder(), 1), one.encode(SQUARES[row], queries[row])) for row in (0,)]
    assert np.allclose(found[0].answers, alone[0].answers)
    assert found[1].answers is None
    assert found[2].answers is not None
    assert (found[2].answers > found[0].answers).all()


def test_a_film_that_nobody_waits_for_is_not_computed() -> None:
    class Held(FakeEncoder):
        def encode_squares(self, squares: Any) -> Any:
            assert let_go.wait(60)
            return super().encode_squares(squares)

    let_go, encoder = threading.Event(), Held()
    batcher = Batcher(encoder, 1)

    async def impatient() -> None:
        first = asyncio.create_task(batcher.encode(SQUARES[0]))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.encode(SQUARES[1]), 0.01)
        let_go.set()
        await first
        await batcher.encode(SQUARES[2])

    within(batcher, impatient())
    assert encoder.batches == [1, 1]


def test_a_fault_of_the_model_reaches_everyone_who_waits_and_the_next_batch_works() -> None:
    class Sometimes(FakeEncoder):
        def encode_squares(self, squares: Any) -> Any:
            if not self.batches:
                self.batches.append(0)
                raise ValueError("broken")
            return super().encode_squares(squares)

    batcher = Batcher(Sometimes(), 8)

    async def both() -> None:
        found = await asyncio.gather(*(batcher.encode(square) for square in SQUARES[:3]), return_exceptions=True)
        assert [type(one) for one in found] == [ValueError] * 3
        assert (await batcher.encode(SQUARES[0])).vector.shape == (8,)

    within(batcher, both())

"""Products of queries with a matrix of half floats that lies on the disk: exact, in NumPy, on every core."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from xlip.runtime.encoder import Array
from xlip.search.store import Half

BLOCK = 1024
"""Rows at a time and core: their single floats stay in the cache."""
_KEPT = np.int32(-0x70002000)
"""Of a half float that was widened to 32 bits and moved 13 to the left: sign, exponent and mantissa, 0x8fffe000."""
_BIAS = np.float32(2.0**112)
"""Exponents of half floats count from -15, those of single floats from -127."""


def products(matrix: Half, queries: Array) -> Array:
    """`queries @ matrix.T` for a matrix (n, E) of finite half floats and queries (q, E): (q, n), in single floats.

    NumPy turns half floats into single ones number by number, which takes seven times as long as the products. Here
    their bits are moved, which the processor does for many at once: a half float with its sign, exponent and mantissa
    in the places of a single float is that number times 2^-112, which the queries make up for.
    """
    scaled = np.ascontiguousarray(queries.T, np.float32) * _BIAS
    out = np.empty((len(queries), len(matrix)), np.float32)
    bits = matrix.view(np.int16)
    share = max(BLOCK, -(-len(matrix) // (4 * _cores())))
    jobs = [
        (bits[start : start + share], scaled, out[:, start : start + share]) for start in range(0, len(bits), share)
    ]
    with _controller().limit(limits=1, user_api="blas"):  # one thread for each block is faster than all for one
        list(_pool().map(_block_by_block, jobs))
    return out


def _block_by_block(job: tuple[np.ndarray[Any, Any], Array, Array]) -> None:
    bits, queries, out = job
    wide = np.empty((min(BLOCK, len(bits)), bits.shape[1]), np.int32)
    for start in range(0, len(bits), BLOCK):
        block = wide[: len(bits) - start]
        np.copyto(block, bits[start : start + BLOCK])
        np.left_shift(block, 13, out=block)
        np.bitwise_and(block, _KEPT, out=block)
        singles = block.view(np.float32)
        if len(out) == 1:
            out[0, start : start + BLOCK] = singles @ queries[:, 0]
        else:
            out[:, start : start + BLOCK] = (singles @ queries).T


def best(scores: Array, top: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Places of the `top` greatest of (n,) scores, best first, ties by place; those of minus infinity are left out."""
    there = np.flatnonzero(scores > -np.inf)
    if len(there) > top:
        least = np.partition(scores[there], len(there) - top)[len(there) - top]
        there = there[scores[there] >= least]
    return there[np.lexsort((there, -scores[there]))][:top]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="xlip-scan")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

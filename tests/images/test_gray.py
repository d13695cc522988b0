"""Values to grays: counted percentiles against sorted ones, bytes against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.images import gray


@settings(deadline=None)
@given(
    dtype=st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.int32]),
    size=st.integers(1, 400),
    seed=st.integers(0, 999),
)
def test_counted_percentiles_are_those_of_sorting(dtype: type, size: int, seed: int) -> None:
    range_ = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    values = rng.integers(max(range_.min, -40_000), min(range_.max, 40_000), size, endpoint=True).astype(dtype)
    found = gray._percentiles(values, (0.1, 37.0, 99.9))
    assert found == pytest.approx([float(one) for one in np.percentile(values.astype(np.float64), (0.1, 37.0, 99.9))])


@given(shares=st.lists(st.floats(0, 1, width=32) | st.just(float("nan")), min_size=1, max_size=20))
def test_bytes_are_rounded_to_even_and_no_number_is_black(shares: list[float]) -> None:
    naive = [0 if math.isnan(one) else round(one * 255.0) for one in shares]
    assert gray.to_bytes(np.array(shares)).tolist() == naive

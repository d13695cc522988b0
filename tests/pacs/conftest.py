from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def sockets_collected() -> Iterator[None]:
    """pynetdicom forgets sockets that could not be bound, connected or shaken hands on: they are closed here, or the
    collector would complain of them in some later test.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Embeddings are kept in a folder of the test run, never in the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XLIP_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()

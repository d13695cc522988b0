from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exports import Exported


pytest_plugins = ["balance", "pytester"]


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Embeddings are kept in a folder of the test run, never in the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XLIP_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="module")
def plain_cards(request: pytest.FixtureRequest) -> Iterator[None]:
    """The cards of prepared sets are without pictures, five sixths of the time of a small set.

    A test that looks at them uses `pictures`; a module that compares whole sets with those of other processes says
    `PICTURES = True`.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not getattr(request.module, "PICTURES", False):
            for name in ("histograms", "contact_sheet"):
                patch.setattr(f"xlip.preparation.card.{name}", lambda *arguments: b"")
        yield


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cards of prepared sets have their pictures."""
    from xlip.preparation import card, card_pictures

    for name in ("histograms", "contact_sheet"):
        monkeypatch.setattr(card, name, getattr(card_pictures, name))


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small example of everything that a command reads; tests work on copies."""
    from damaged_inputs import build_inputs
    from once import made_once

    return made_once(tmp_path_factory, "inputs", build_inputs)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A tiny trained-looking model with a local head, as `xlip export --format both` wrote it; made once."""
    from exports import export_once

    return export_once(tmp_path_factory)

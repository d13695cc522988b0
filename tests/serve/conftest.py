from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from film_files import as_dicom
from served import Served, served
from served_encoder import FakeEncoder
from starlette.testclient import TestClient

from xlip.images.files import encode
from xlip.phantom import generate
from xlip.serve.app import make_app
from xlip.serve.audit_log import AuditLog
from xlip.serve.config import ServeConfig
from xlip.serve.service import Service
from xlip.serve.tokens import Tokens


@pytest.fixture(scope="session")
def pixels() -> Any:
    return generate(3, size=128).pixels


@pytest.fixture(scope="session")
def png(pixels: Any) -> bytes:
    return encode(pixels, lossless=True)


@pytest.fixture(scope="session")
def jpeg(pixels: Any) -> bytes:
    return encode(pixels)


@pytest.fixture(scope="session")
def dicom(pixels: Any) -> bytes:
    return as_dicom(pixels)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Makes services in this process; each client has `.service` and `.audit`."""
    with ExitStack() as stack:
        yield lambda **options: client_of(stack, tmp_path / "audit.jsonl", **options)


def client_of(stack: ExitStack, audit: Path, **options: Any) -> Any:
    options.setdefault("kinds", "Effusion,Pneumothorax")
    more = {name: options.pop(name) for name in ("cases", "population", "calibration") if name in options}
    encoder, keys = options.pop("encoder", None) or FakeEncoder(), options.pop("keys", {})
    service = Service(ServeConfig(model="fake", audit=str(audit), **options), encoder, **more)
    app = make_app(service, Tokens(keys), AuditLog(str(audit)))
    client: Any = stack.enter_context(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))
    while not service.ready and service.failure is None:
        client.get("/ready")
    client.service, client.audit, client.encoder = service, audit, encoder
    return client


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service in a process of its own, for the tests that only ask it."""
    folder = tmp_path_factory.mktemp("running")
    with served(folder, audit=str(folder / "audit.jsonl"), max_mb=4, memory_mb=64, max_megapixels=4) as one:
        yield one

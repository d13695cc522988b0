"""The command that serves a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.serve.config import ServeConfig

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def run_serve(config: ServeConfig) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise XLIPError(f"serve: {missing[0]} is not installed; run `pip install 'xlip[serve]'`")
    from xlip.cli.encoders import open_encoder
    from xlip.serve.run import serve

    serve(config, lambda: open_encoder(config.model), lambda line: print(line, flush=True))

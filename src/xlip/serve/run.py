"""From a config and a model to a process that answers until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from xlip.errors import XLIPError
from xlip.runtime.encoder import Encoder
from xlip.serve.app import make_app
from xlip.serve.audit_log import AuditLog
from xlip.serve.config import ServeConfig
from xlip.serve.service import Service
from xlip.serve.tokens import VARIABLE, Tokens, load_tokens

IDLE = 10
"""Seconds in which a connection must have sent a whole request's head."""
CONNECTIONS = 1000


def serve(config: ServeConfig, open_model: Callable[[], Encoder], say: Callable[[str], None]) -> None:
    """Answer on `config.host` and `config.port` until SIGTERM or Ctrl-C; requests that are being answered are finished.

    Args:
        config: the options.
        open_model: opens the model, once the address is known to be free.
        say: is told where the service is.

    Raises:
        XLIPError: an address that is taken or not safe, or a fault in a file that the config names.
    """
    tokens = load_tokens(config.tokens)
    check_safe(config, tokens)
    listener = _listen(config)
    try:
        audit = AuditLog(config.audit)
        service = Service.open(config, open_model())
        _quiet()

        def started() -> None:
            server.should_exit = service.failure is not None

        server = _server(config, make_app(service, tokens, audit, started))
        listener.listen(CONNECTIONS)  # who connects as soon as the address is said waits instead of being refused
        host = f"[{config.host}]" if ":" in config.host else config.host
        say(f"http://{host}:{listener.getsockname()[1]}/ answers for {service.info.checkpoint}; research use only")
        server.run(sockets=[listener])
        if service.failure is not None:
            raise service.failure
    finally:
        listener.close()


def check_safe(config: ServeConfig, tokens: Tokens) -> None:
    """Refuse an address that others can reach, without tokens.

    Raises:
        XLIPError: it is one.
    """
    if not config.loopback and not len(tokens):
        raise XLIPError(
            f"serve: {config.host} can be reached from other machines; name a file of tokens by --tokens "
            f"(or set {VARIABLE}), or listen on 127.0.0.1"
        )


def _listen(config: ServeConfig) -> socket.socket:
    """The socket, bound before the model is loaded: a port that is taken is known at once."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        said = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise XLIPError(f"serve: {config.host}:{config.port} {said}; choose another --port or --host") from error
    return listener


class _Timely(H11Protocol):
    """uvicorn waits for the head of a request without end; a connection that never sends one would be held for ever."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head is not None:
            self._head.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The time runs while no request is being answered; bytes of a head that is not whole do not stop it."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._head is not None:
            self._head.cancel()
            self._head = None
        elif not answering and self._head is None:
            self._head = self.loop.call_later(IDLE, self.transport.close)


def _server(config: ServeConfig, app: Any) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Timely,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=int(config.timeout) + 1,
            h11_max_incomplete_event_size=16 << 10,
        )
    )


def _quiet() -> None:
    """Our own lines go to the standard error stream; those of libraries, which may quote an input, go nowhere."""
    own = logging.getLogger("xlip.serve")
    own.setLevel(logging.INFO)
    own.propagate = False
    own.handlers = [logging.StreamHandler(sys.stderr)]
    own.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("uvicorn.error", "pydicom", "PIL", "multipart", "python_multipart"):
        logging.getLogger(name).handlers = [logging.NullHandler()]
        logging.getLogger(name).propagate = False
    # Decoders of images warn of odd headers, whose values are the patient's; filters of single threads do not hold.
    warnings.simplefilter("ignore")

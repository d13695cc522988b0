"""`xlip pacs listen`: a storage service (C-STORE SCP) that writes down the bytes that come, and opens none of them."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError
from xlip.pacs.access import Access, is_loopback, tls_context
from xlip.pacs.extra import package
from xlip.pacs.spool import Spool, megabytes

if TYPE_CHECKING:
    from pynetdicom.events import Event

SUCCESS, NOT_ALLOWED, NO_RESOURCES, NOT_UNDERSTOOD, FAILURE = 0x0000, 0x0124, 0xA700, 0xC000, 0x0110
"""States of PS3.4 table B.2-1 and PS3.7 annex C."""
LONGEST_PDU = 4 << 20
"""Bytes of one protocol data unit; peers are asked for 16 kB at most, and some send more."""
LONGEST_GREETING = 10.0
"""Seconds that a connection may take to ask for an association; until then it takes the place of one that does."""
LONGEST_COMMAND = 1 << 16
"""Bytes of a command set."""


@dataclass(frozen=True)
class ListenConfig:
    """Where to listen, to whom, and for how much."""

    out: str
    """Folder for the files, named by hashes of the SOP Instance UID."""
    port: int = 11112
    """0: any that is free."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0: all of this machine, which needs --peers."""
    aet: str = "XLIP"
    """AE title that peers have to call."""
    peers: str = ""
    """Who may send: calling AE titles, each with @address where that matters too, separated by commas; * is anyone."""
    megabytes: int = 128
    """Largest object that is taken, in megabytes; a larger one is refused."""
    reserve: int = 1024
    """Megabytes that are left free on the disk; what would use them is refused."""
    associations: int = 4
    """Peers that may be connected at once."""
    timeout: float = 60.0
    """Seconds without any message after which a connection is closed."""
    idle: float = 0.0
    """End when nothing came for so many seconds; 0: listen until stopped."""
    most: int = 0
    """End after so many objects; 0: there is no end."""
    tls: bool = False
    """Speak TLS, with the certificate of --access.cert; --access.ca demands certificates of the peers."""
    access: Access = field(default_factory=Access)
    """Certificates for TLS."""


@dataclass
class Received:
    """What came, in numbers."""

    kept: int = 0
    repeated: int = 0
    """Objects whose bytes were there already."""
    refused: Counter[str] = field(default_factory=Counter)


class Listener:
    """A running storage service; a context manager that ends it."""

    def __init__(self, config: ListenConfig, say: Callable[[str], None] = lambda line: None) -> None:
        """Start to listen.

        Args:
            config: where, and to whom.
            say: takes lines without any identifier of a patient, study or object.

        Raises:
            XLIPError: the port or the folder cannot be had, or the extra `[pacs]` is missing.
        """
        self.config, self.say = config, say
        self.peers = _peers(config)
        self.most = megabytes(config.megabytes, "--megabytes")
        self.spool = Spool(Path(config.out), megabytes(config.reserve, "--reserve"))
        self.received, self.last = Received(), time.monotonic()
        self._lock = threading.Lock()
        self._sizes: dict[int, tuple[int, int]] = {}
        self.server = self._start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        package("pynetdicom")._config.UNRESTRICTED_STORAGE_SERVICE = self._before

    def wait(self) -> Received:
        """Block until nothing came for `idle` seconds, `most` objects came, or the process is stopped."""
        while not self.done:
            time.sleep(0.05)
        for _ in range(100):  # peers that wait for an answer to their last object get it
            if not any(one.is_established for one in self.server.active_associations):
                break
            time.sleep(0.05)
        return self.received

    @property
    def done(self) -> bool:
        """Whether nothing came for `idle` seconds, or `most` objects came."""
        come = self.received.kept + self.received.repeated
        idle = self.config.idle and time.monotonic() - self.last >= self.config.idle
        return bool(idle) or 0 < self.config.most <= come

    def _start(self) -> Any:
        net, classes = package("pynetdicom"), package("pynetdicom.sop_class")
        config, event = self.config, net.evt
        entity = net.AE(ae_title=config.aet)
        entity.maximum_associations = config.associations
        entity.network_timeout = entity.dimse_timeout = config.timeout
        entity.acse_timeout = min(config.timeout, LONGEST_GREETING)
        entity.require_called_aet = True
        entity.require_calling_aet = [] if "*" in self.peers else sorted(self.peers)
        # Any class, private ones too, in whatever encoding the peer prefers: nothing is decoded. A switch of the whole
        # process; the list of all classes instead would be copied for each connection, which takes 0.2 s.
        self._before = net._config.UNRESTRICTED_STORAGE_SERVICE
        net._config.UNRESTRICTED_STORAGE_SERVICE = True
        entity.add_supported_context(classes.Verification)
        handlers = [
            (event.EVT_CONN_OPEN, self._bound),
            (event.EVT_CONN_CLOSE, self._forget),
            (event.EVT_PDU_RECV, self._measure),
            (event.EVT_C_STORE, self._keep),
        ]
        context = tls_context(config.access, server=True) if config.tls else None
        try:
            return entity.start_server(
                (config.host, config.port), block=False, evt_handlers=handlers, ssl_context=context
            )
        except OSError as error:
            raise XLIPError(
                f"pacs listen: cannot listen at {config.host}:{config.port} ({error.strerror}); choose another --port"
            ) from error

    def _bound(self, event: Event) -> None:
        """What a connection may cost, set before its first byte is read."""
        association: Any = event.assoc
        connection: Any = association.dul.socket
        plain = connection.recv

        def recv(count: int) -> bytearray:
            if count > LONGEST_PDU:
                raise OSError(errno.EMSGSIZE, "longer than any honest PDU")
            received: bytearray = plain(count)
            return received

        connection.recv = recv
        connection.socket.settimeout(self.config.timeout)  # else a PDU that never ends holds its thread for ever
        # Objects sent without waiting for answers would pile up in memory; now the sender waits.
        association.dimse.msg_queue = queue.Queue(maxsize=1)
        reactor = association.dul.run

        def run() -> None:
            try:
                reactor()
            except Exception:  # messages in an order that the state machine of pynetdicom does not know
                connection.close()
                threading.Thread(target=association.kill, daemon=True).start()  # it waits for this thread's end

        association.dul.run = run

    def _forget(self, event: Event) -> None:
        self._sizes.pop(id(event.assoc), None)

    def _measure(self, event: Event) -> None:
        """Empty the fragments of an object that is too large as they come: it is answered, and fills no memory."""
        for item in getattr(event.pdu, "presentation_data_value_items", ()):
            data = item.presentation_data_value
            if not data:
                continue
            of_command, last, size = data[0] & 1, data[0] & 2, len(data) - 1
            command, dataset = self._sizes.get(id(event.assoc), (0, 0))
            if of_command:
                command, dataset = command + size, 0
                if command > LONGEST_COMMAND:
                    item.presentation_data_value = data[:1]
                command = 0 if last else command
            else:
                if dataset > self.most:  # the fragment that passes the bound stays, so that the object shows it
                    item.presentation_data_value = data[:1]
                dataset += size
            self._sizes[id(event.assoc)] = (command, dataset)

    def _keep(self, event: Event) -> int:
        self.last = time.monotonic()
        try:
            status, reason = self._written(event)
        except Exception as error:  # a fault of ours must reach the peer as a refusal, not as a lost connection
            status, reason = FAILURE, f"fault while it was written ({type(error).__name__})"
        with self._lock:
            if status:
                self.received.refused[reason] += 1
            elif reason:
                self.received.repeated += 1
            else:
                self.received.kept += 1
        if status:
            self.say(f"refused an object (0x{status:04X}): {reason}")
        return status

    def _written(self, event: Event) -> tuple[int, str]:
        if not self._allowed(event.assoc):
            return NOT_ALLOWED, "its sender's address is not that of the peer"
        request: Any = event.request
        stream, uid = request.DataSet, str(request.AffectedSOPInstanceUID or "")
        size = len(stream.getbuffer()) if stream else 0
        if not uid or not size:
            return NOT_UNDERSTOOD, "no object, or no SOP Instance UID"
        if size > self.most:
            return NO_RESOURCES, f"larger than {self.config.megabytes} MB; raise --megabytes"
        try:
            with self._lock:  # two peers may send one object at once
                new = self.spool.put(uid, event.encoded_dataset())
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return NO_RESOURCES, "the disk is full" if full else f"cannot be written ({error.strerror})"
        return SUCCESS, "" if new else "repeated"

    def _allowed(self, association: Any) -> bool:
        if "*" in self.peers:
            return True
        addresses = self.peers.get(association.requestor.ae_title.strip(), set())
        return "" in addresses or association.requestor.address in addresses


def listen(config: ListenConfig, say: Callable[[str], None] = lambda line: None) -> Received:
    """Listen until stopped (SIGINT, SIGTERM) or idle; what had come whole is kept.

    Raises:
        XLIPError: the port or the folder cannot be had, or the extra `[pacs]` is missing.
    """
    with Listener(config, say) as listener:
        say(f"listening as {config.aet} at {config.host}:{listener.port}; objects go to {config.out}")
        with suppress(KeyboardInterrupt):  # also `Stopped`: ending is what the signal asks for
            listener.wait()
        return listener.received


def _peers(config: ListenConfig) -> dict[str, set[str]]:
    """Calling AE title -> addresses, '' for any."""
    found: dict[str, set[str]] = {}
    for text in config.peers.split(","):
        title, _, address = text.strip().partition("@")
        if title:
            found.setdefault(title, set()).add(address)
    if not found and not is_loopback(config.host):
        raise XLIPError(
            f"pacs listen: {config.host} can be reached by others, who could fill the disk; say who may send with "
            "--peers AETITLE@ADDRESS,..., or --peers '*'"
        )
    for title in (config.aet, *found):
        if not 0 < len(title.strip()) <= 16 or not title.isascii() or "\\" in title:
            raise XLIPError(f"AE title: expected 1 to 16 ASCII characters, got {title!r}")
    return found or {"*": {""}}

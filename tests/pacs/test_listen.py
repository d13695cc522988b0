"""The storage service keeps whole objects as they came, refuses the others by their right state, and stays up."""

from __future__ import annotations

import errno
import logging
import random
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import ComputedRadiographyImageStorage, Verification

from films import SECRETS, encoded, film, needs_openssl, self_signed
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.pacs import listen as listening
from xlip.pacs.access import Access
from xlip.pacs.listen import ListenConfig, Listener

pytestmark = [
    pytest.mark.usefixtures("sockets_collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
QUICK = {"port": 0, "reserve": 1, "timeout": 60.0}


@contextmanager
def listener(out: Path, **options: Any) -> Iterator[tuple[Listener, list[str]]]:
    said: list[str] = []
    with Listener(ListenConfig(str(out), **{**QUICK, **options}), said.append) as running:
        yield running, said


@contextmanager
def connected(
    running: Listener | SimpleNamespace, title: str = "PACS", called: str = "XLIP", **options: Any
) -> Iterator[Association]:
    entity = AE(ae_title=title)
    entity.add_requested_context(ComputedRadiographyImageStorage, ExplicitVRLittleEndian)
    entity.add_requested_context(ComputedRadiographyImageStorage, JPEGBaseline8Bit)
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", running.port, ae_title=called, **options)
    yield association
    if association.is_established:
        association.release()


def kept(out: Path) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(path) for path in sorted(out.rglob("*")) if path.is_file()]


def test_objects_are_kept_as_they_came_and_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with listener(tmp_path / "spool") as (running, said), connected(running) as association:
        assert association.send_c_echo().Status == 0
        for number in (0, 1, 0):
            assert association.send_c_store(film(number)).Status == 0
        assert (running.received.kept, running.received.repeated) == (2, 1)
    found = {one.SOPInstanceUID: one for one in kept(tmp_path / "spool")}
    for number in (0, 1):
        sent = film(number)
        assert found[sent.SOPInstanceUID] == sent
        assert found[sent.SOPInstanceUID].file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    names = " ".join(map(str, (tmp_path / "spool").rglob("*")))
    shown = names + caplog.text + " ".join(said)
    assert not [secret for secret in {*SECRETS, str(film(0).SOPInstanceUID)} if secret in shown]


def test_a_uid_of_a_wrong_form_is_kept_and_no_warning_quotes_it(tmp_path: Path) -> None:
    """pydicom warns of it, by its value, on the thread of the connection; real archives hold such UIDs."""
    wrong = "999.999.01.23.45.6789"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sent = film(0, SOPInstanceUID=wrong)
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        with listener(tmp_path / "spool") as (running, said), connected(running) as association:
            assert association.send_c_store(sent).Status == 0
        assert running.received.kept == 1
    assert not [one for one in met if wrong in str(one.message)]
    assert wrong not in " ".join(said)


def test_pixels_are_never_opened(tmp_path: Path) -> None:
    """What calls itself a JPEG and is none, of a header that lies, is spooled like any other."""
    sent = film(0, Rows=60_000, Columns=60_000)
    sent.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    sent.PixelData = encapsulate([b"junk"])
    sent["PixelData"].VR = "OB"
    (tmp_path / "sent.dcm").write_bytes(encoded(sent))
    with listener(tmp_path / "spool") as (running, _), connected(running) as association:
        assert association.send_c_store(tmp_path / "sent.dcm").Status == 0
    (found,) = kept(tmp_path / "spool")
    assert found.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert b"junk" in found.PixelData


def test_an_object_beyond_the_bound_is_refused_and_the_next_is_kept(tmp_path: Path) -> None:
    with listener(tmp_path, megabytes=1) as (running, said), connected(running) as association:
        assert association.send_c_store(film(0, PixelData=bytes(9 << 20))).Status == listening.NO_RESOURCES
        assert association.send_c_store(film(1)).Status == 0
    assert [one.SOPInstanceUID for one in kept(tmp_path)] == [film(1).SOPInstanceUID]
    assert said == ["refused an object (0xA700): larger than 1 MB; raise --megabytes"]


def test_memory_holds_no_more_than_the_bound(tmp_path: Path) -> None:
    longest = 0

    def measure(event: Any) -> None:
        nonlocal longest
        stream = getattr(event.assoc.dimse.message, "data_set", None)
        longest = max(longest, stream.getbuffer().nbytes if stream else 0)

    with listener(tmp_path, megabytes=1) as (running, _), connected(running) as association:
        running.server.bind(evt.EVT_PDU_RECV, measure)
        for accepted in running.server.active_associations:
            accepted.bind(evt.EVT_PDU_RECV, measure)
        association.send_c_store(film(0, PixelData=bytes(9 << 20)))
    assert 1 << 20 <= longest < 2 << 20


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (OSError(errno.ENOSPC, "full"), 0xA700, "the disk is full"),
        (OSError(errno.EDQUOT, "quota"), 0xA700, "the disk is full"),
        (OSError(errno.EIO, "broken"), 0xA700, "cannot be written (broken)"),
        (RuntimeError("Quillfeather"), 0x0110, "fault while it was written (RuntimeError)"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_by_the_right_state(
    error: Exception, state: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener(tmp_path) as (running, lines), connected(running) as association:

        def put(uid: str, data: bytes) -> bool:
            raise error

        monkeypatch.setattr(running.spool, "put", put)
        assert association.send_c_store(film(0)).Status == state
        monkeypatch.undo()
        assert association.send_c_store(film(0)).Status == 0
    assert said in lines[0]
    assert "Quillfeather" not in lines[0]


def test_the_reserve_is_not_used_up(tmp_path: Path) -> None:
    with listener(tmp_path, reserve=1 << 30) as (running, _), connected(running) as association:
        assert association.send_c_store(film(0)).Status == 0xA700
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "title", "called", "accepted", "state"),
    [
        ({}, "ANY", "XLIP", True, 0),
        ({}, "ANY", "OTHER", False, None),
        ({"aet": "SPOOL"}, "ANY", "SPOOL", True, 0),
        ({"peers": "PACS,CT1"}, "CT1", "XLIP", True, 0),
        ({"peers": "PACS,CT1"}, "STRANGER", "XLIP", False, None),
        ({"peers": "PACS@127.0.0.1"}, "PACS", "XLIP", True, 0),
        ({"peers": "PACS@192.0.2.1"}, "PACS", "XLIP", True, 0x0124),
        ({"peers": "PACS@192.0.2.1, *"}, "PACS", "XLIP", True, 0),
    ],
    ids=str,
)
def test_only_peers_may_send(
    options: dict[str, Any], title: str, called: str, accepted: bool, state: int | None, tmp_path: Path
) -> None:
    with listener(tmp_path, **options) as (running, _), connected(running, title, called) as association:
        assert association.is_established == accepted
        if accepted:
            assert association.send_c_store(film(0)).Status == state
    assert len(kept(tmp_path)) == (1 if state == 0 else 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0"}, "say who may send with --peers"),
        ({"aet": "A" * 17}, "1 to 16 ASCII"),
        ({"peers": "Ä"}, "1 to 16 ASCII"),
        ({"megabytes": 0}, "--megabytes"),
        ({"tls": True}, "needs --access.cert"),
        ({"tls": True, "access": Access(cert="nothing.pem")}, "name PEM files"),
    ],
    ids=str,
)
def test_a_service_that_would_be_unsafe_or_cannot_be_does_not_start(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(XLIPError, match=said), listener(tmp_path / "x", **options):
        pass


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with (
        listener(tmp_path) as (running, _),
        pytest.raises(XLIPError, match="choose another --port"),
        listener(tmp_path, port=running.port),
    ):
        pass


def test_many_peers_at_once_lose_nothing_and_one_too_many_is_turned_away(tmp_path: Path) -> None:
    def send(number: int) -> None:
        with connected(running) as association:
            for one in range(3):
                assert association.send_c_store(film(3 * number + one)).Status == 0

    with listener(tmp_path, associations=3) as (running, _):
        threads = [threading.Thread(target=send, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert running.received.kept == 9
        with connected(running), connected(running), connected(running), connected(running) as fourth:
            assert fourth.is_rejected
    assert len(kept(tmp_path)) == 9


# --- hostile peers ---------------------------------------------------------------------------------------------


def _raw(dataset: pydicom.FileDataset) -> bytes:
    """What an association that stores one object sends, request and object in one piece."""
    taken: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def relay(target: int) -> None:
        here, _ = server.accept()
        with here, socket.create_connection(("127.0.0.1", target)) as there:
            both(here, there)

    def both(here: socket.socket, there: socket.socket) -> None:

        def back() -> None:
            while data := there.recv(65536):
                here.sendall(data)

        answers = threading.Thread(target=back, daemon=True)
        answers.start()
        while data := here.recv(65536):
            taken.append(data)
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)
        answers.join(5)

    entity = AE(ae_title="PACS")
    entity.add_supported_context(ComputedRadiographyImageStorage)
    target = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: 0x0000)], ae_title="XLIP"
    )
    thread = threading.Thread(target=relay, args=(target.server_address[1],), daemon=True)
    thread.start()
    client = AE(ae_title="PACS")
    client.add_requested_context(ComputedRadiographyImageStorage, ExplicitVRLittleEndian)
    association = client.associate("127.0.0.1", server.getsockname()[1], ae_title="XLIP")
    association.send_c_store(dataset)
    association.release()
    thread.join(5)
    target.shutdown()
    server.close()
    return b"".join(taken)


def _thrown(port: int, data: bytes, *, close: bool = True) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=2)
    try:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    return connection


def _works(running: Listener, number: int) -> bool:
    with connected(running) as association, suppress(RuntimeError, ValueError):
        return association.is_established and association.send_c_store(film(number)).get("Status") == 0
    return False


@pytest.fixture(scope="module")
def conversation() -> bytes:
    return _raw(film(40, size=64))


def test_bytes_of_no_honest_peer_neither_stop_it_nor_leave_anything_half(conversation: bytes, tmp_path: Path) -> None:
    """Truncated at any place, with bytes changed at random, with noise in front: what is kept is whole."""
    draw = random.Random(7)
    with listener(tmp_path, associations=100, timeout=20.0) as (running, _):
        for turn in range(24):
            data = bytearray(conversation)
            if turn % 3 == 0:
                del data[draw.randrange(len(data)) :]
            elif turn % 3 == 1:
                for _ in range(draw.choice((1, 5, 50))):
                    data[draw.randrange(min(len(data), 900))] = draw.randrange(256)
            else:
                data[: draw.randrange(300)] = draw.randbytes(draw.randrange(300))
            _thrown(running.port, bytes(data)).close()
        assert _works(running, 41)
    assert not list(tmp_path.rglob("*.partial"))
    whole = {len(encoded(film(40, size=64))), len(encoded(film(41)))}
    for path in tmp_path.rglob("*.dcm"):
        data = path.read_bytes()
        assert data[128:132] == b"DICM"
        assert abs(len(data) - min(whole, key=lambda size: abs(size - len(data)))) < 400, "half an object was kept"


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "a PDU of four gigabytes": lambda talk: b"\x01\0\xff\xff\xff\xff" + bytes(10_000),
    "an unknown PDU": lambda talk: b"\x77\0\0\0\0\x04abcd",
    "HTTP": lambda talk: b"GET / HTTP/1.1\r\n\r\n",
    "an object without an association": lambda talk: talk[_first_length(talk) :],
    "a request that is cut": lambda talk: talk[: _first_length(talk) - 20],
    "a command that never ends": lambda talk: talk[: _first_length(talk)] + 40 * _fragment(b"\x01", bytes(60_000)),
    "silence": lambda talk: b"",
}


def _first_length(talk: bytes) -> int:
    return 6 + struct.unpack(">L", talk[2:6])[0]


def _fragment(control: bytes, data: bytes) -> bytes:
    value = b"\x01" + control + data
    return b"\x04\0" + struct.pack(">LL", len(value) + 4, len(value)) + value


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_peer_stops_nobody_else(name: str, conversation: bytes, tmp_path: Path) -> None:
    with listener(tmp_path, timeout=20.0) as (running, _):
        held = _thrown(running.port, HOSTILE[name](conversation), close=False)
        assert _works(running, 1)
        held.close()
        assert running.received.kept == 1


def test_connections_that_say_nothing_make_room_again(tmp_path: Path, conversation: bytes) -> None:
    """All places taken by peers that neither speak nor leave, some in the middle of an object: they time out."""
    half = conversation[: len(conversation) // 2]
    with listener(tmp_path, timeout=0.5, associations=2) as (running, _):
        held = [_thrown(running.port, data, close=False) for data in (b"", half, b"\x01\0\0\0\1\0abc")]
        deadline = threading.Event()
        for _ in range(100):
            if _works(running, 2):
                break
            deadline.wait(0.05)
        assert running.received.kept == 1
        for one in held:
            one.close()
    assert len(kept(tmp_path)) == 1


def test_a_peer_that_drops_in_the_middle_leaves_nothing(tmp_path: Path, conversation: bytes) -> None:
    with listener(tmp_path) as (running, _):
        for share in (0.3, 0.6, 0.9):
            _thrown(running.port, conversation[: int(share * len(conversation))]).close()
        assert _works(running, 3)
    assert [one.SOPInstanceUID for one in kept(tmp_path)] == [film(3).SOPInstanceUID]


def test_a_peer_that_aborts_is_forgotten(tmp_path: Path) -> None:
    with listener(tmp_path) as (running, _):
        for _ in range(3):
            with connected(running) as association:
                association.send_c_store(film(0))
                association.abort()
        assert _works(running, 4)
    assert len(kept(tmp_path)) == 2


# --- TLS and the command ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@needs_openssl
def test_objects_come_by_tls_from_peers_with_a_certificate_alone(tmp_path: Path, certificate: Path) -> None:
    access = Access(cert=str(certificate), ca=str(certificate))
    context = ssl.create_default_context(cafile=str(certificate))
    known = ssl.create_default_context(cafile=str(certificate))
    known.load_cert_chain(str(certificate))
    with listener(tmp_path, tls=True, access=access) as (running, _):
        with connected(running, tls_args=(known, "localhost")) as association:
            assert association.send_c_store(film(0)).Status == 0
        with connected(running, tls_args=(context, "localhost")) as stranger:
            assert not stranger.is_established
        with connected(running) as plain:
            assert not plain.is_established
    assert len(kept(tmp_path)) == 1


def test_the_command_listens_until_enough_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, port = tmp_path / "spool", _free_port()

    def send() -> None:
        for _ in range(400):
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            threading.Event().wait(0.05)
        with connected(SimpleNamespace(port=port)) as association:
            assert all(association.send_c_store(film(number)).Status == 0 for number in range(3))

    thread = threading.Thread(target=send)
    thread.start()
    assert main(["pacs", "listen", str(out), "--port", str(port), "--reserve", "1", "--idle", "60", "--most", "3"]) == 0
    thread.join()
    shown = capsys.readouterr().out
    assert f"listening as XLIP at 127.0.0.1:{port}" in shown
    assert "kept 3 objects, 0 were there" in shown
    assert len(kept(out)) == 3


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])

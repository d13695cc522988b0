"""A sending says of every object whether the archive has it, by both ways, and repeats no name or UID."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import ComputedRadiographyImageStorage, SecondaryCaptureImageStorage

from films import SECRETS, encoded, film, needs_openssl, self_signed
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.pacs.access import Access
from xlip.pacs.listen import ListenConfig, Listener
from xlip.pacs.send import SendConfig, Sent, send

pytestmark = [
    pytest.mark.usefixtures("sockets_collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
FAST = Access(wait=0.0, attempts=3, timeout=5.0)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "objects" / "deep"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.dcm").write_bytes(encoded(film(number)))
    return tmp_path / "objects"


@contextmanager
def archive(*states: int, classes: Any = (ComputedRadiographyImageStorage,)) -> Iterator[tuple[int, list[str]]]:
    """A peer that answers with these states in turn, then with success."""
    left, came = list(states), []

    def keep(event: Any) -> int:
        state = left.pop(0) if left else 0
        if state in (0, 0xB000):
            came.append(event.request.AffectedSOPInstanceUID)
        return state

    _config.UNRESTRICTED_STORAGE_SERVICE = False
    entity = AE(ae_title="ARCHIVE")
    entity.require_called_aet = True
    for one in classes:
        entity.add_supported_context(one)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        yield server.server_address[1], came
    finally:
        server.shutdown()
        server.server_close()


def sent(files: Path, to: str, **options: Any) -> Sent:
    return send(SendConfig([str(files)], to, **{"access": FAST, **options}))


def test_objects_reach_a_peer_whole(files: Path, tmp_path: Path) -> None:
    with Listener(ListenConfig(str(tmp_path / "spool"), port=0, reserve=1)) as peer:
        done = sent(files, f"XLIP@127.0.0.1:{peer.port}")
    assert (done.kept, done.failed) == (3, {})
    came = sorted(path.read_bytes()[-4000:] for path in (tmp_path / "spool").rglob("*.dcm"))
    assert came == sorted(encoded(film(number))[-4000:] for number in range(3))


@needs_openssl
def test_objects_reach_a_peer_by_tls_whose_authority_is_known_and_no_other(files: Path, tmp_path: Path) -> None:
    ours, strange = (self_signed(_made(tmp_path / name)) for name in ("ours", "strange"))
    listening = ListenConfig(
        str(tmp_path / "spool"), port=0, reserve=1, tls=True, access=Access(cert=str(ours), ca=str(ours))
    )
    quick = {"wait": 0.0, "attempts": 1, "timeout": 5.0}
    with Listener(listening) as peer:
        to = f"XLIP@127.0.0.1:{peer.port}"
        done = sent(files, to, tls=True, access=Access(ca=str(ours), cert=str(ours), **quick))
        assert (done.kept, done.failed) == (3, {})
        wrong = {
            "the peer's authority is unknown": Access(cert=str(ours), ca=str(strange), **quick),
            "ours is unknown to the peer": Access(ca=str(ours), cert=str(strange), **quick),
            "no certificate of ours": Access(ca=str(ours), **quick),
        }
        for access in wrong.values():
            with pytest.raises(XLIPError, match="pacs send"):
                sent(files, to, tls=True, access=access)
        with pytest.raises(XLIPError, match="pacs send"):
            sent(files, to, access=Access(**quick))  # in the clear
        assert peer.received.kept == 3
    came = sorted(path.read_bytes()[-4000:] for path in (tmp_path / "spool").rglob("*.dcm"))
    assert came == sorted(encoded(film(number))[-4000:] for number in range(3))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("states", "kept", "failed"),
    [
        ((0xA700, 0xA700), 3, {}),
        ((0xA700,) * 9, 0, {"refused, 0xA700": 3}),
        ((0xB000,), 3, {}),
        ((0x0124, 0, 0xC000), 1, {"refused, 0x0124": 1, "refused, 0xC000": 1}),
    ],
    ids=str,
)
def test_states_are_told_apart(states: tuple[int, ...], kept: int, failed: dict[str, int], files: Path) -> None:
    with archive(*states) as (port, came):
        done = sent(files, f"ARCHIVE@127.0.0.1:{port}")
    assert (done.kept, dict(done.failed)) == (kept, failed)
    assert len(set(came)) == kept


def test_a_peer_that_takes_no_such_object_is_told(files: Path) -> None:
    with archive(classes=(SecondaryCaptureImageStorage,)) as (port, _):
        done = sent(files, f"ARCHIVE@127.0.0.1:{port}")
    assert (done.kept, done.failed) == (0, {"the peer takes no such object": 3})


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("ARCHIVE@127.0.0.1:1", "cannot be reached"),
        ("ARCHIVE", "expected https://host/dicom-web or AETITLE@host:port"),
        ("far too long a title@h:1", "expected https"),
        ("http://ann:pw@127.0.0.1:1/x", "holds a user or password"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(to: str, said: str, files: Path) -> None:
    with pytest.raises(XLIPError, match=said):
        sent(files, to)


def test_a_title_that_the_peer_does_not_know_is_told(files: Path) -> None:
    with archive() as (port, _):
        done = sent(files, f"OTHER@127.0.0.1:{port}", access=Access(attempts=1))
    assert done.failed == {"the peer rejected the association": 3}


@contextmanager
def stow(*answers: tuple[int, str, Any]) -> Iterator[tuple[str, list[str]]]:
    """A DICOMweb server that answers each request with the next (status, content type, value)."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(f"POST {body.count(b'DICM')}")
            self._answer()

        def do_GET(self) -> None:
            asked.append("GET")
            self._answer()

        def _answer(self) -> None:
            status, kind, value = left.pop(0) if left else (500, "", None)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            if value is not None:
                self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


JSON = "application/dicom+json"


def listed(stored: list[int], failed: list[int]) -> dict[str, Any]:
    def item(number: int) -> dict[str, Any]:
        of = film(number)
        found = {"00081150": of.SOPClassUID, "00081155": of.SOPInstanceUID}
        return {tag: {"vr": "UI", "Value": [str(value)]} for tag, value in found.items()}

    return {
        "00081199": {"vr": "SQ", "Value": [item(number) for number in stored]},
        "00081198": {
            "vr": "SQ",
            "Value": [{**item(number), "00081197": {"vr": "US", "Value": [0xA700]}} for number in failed],
        },
    }


def test_every_object_of_an_answer_is_accounted_for(files: Path) -> None:
    with stow((200, JSON, listed([0, 1, 2], []))) as (url, asked):
        assert sent(files, url).kept == 3
    assert asked == ["POST 3"]
    with stow((202, JSON, listed([0, 2], [1]))) as (url, _):
        done = sent(files, url)
    assert (done.kept, done.failed) == (2, {"refused, reason 0xA700": 1})


def test_a_server_that_says_nothing_is_asked_whether_it_has_the_objects(files: Path) -> None:
    there = [{"00080018": {"vr": "UI", "Value": [str(film(0).SOPInstanceUID)]}}]
    with stow((200, "text/html", None), (200, JSON, there), (200, JSON, []), (200, JSON, [])) as (url, asked):
        done = sent(files, url)
    assert (done.kept, sum(done.failed.values())) == (1, 2)
    assert "did not say that it kept it" in next(iter(done.failed))
    assert asked == ["POST 3", "GET", "GET", "GET"]


def test_a_busy_server_is_asked_again_and_a_refusal_is_told(files: Path) -> None:
    with stow((503, "", None), (200, JSON, listed([0, 1, 2], []))) as (url, asked):
        assert sent(files, url).kept == 3
        assert len(asked) == 2
    with stow((403, "", None)) as (url, _):
        assert "HTTP 403: not allowed" in next(iter(sent(files, url).failed))


def test_what_is_no_object_is_refused_before_anything_is_sent(files: Path, tmp_path: Path) -> None:
    (files / "bad.dcm").write_bytes(b"no DICOM")
    with stow() as (url, asked), pytest.raises(XLIPError, match=r"bad\.dcm: cannot be read"):
        sent(files, url)
    assert asked == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(XLIPError, match="found none"):
        sent(tmp_path / "empty", "https://pacs.example/x")


def test_the_command_says_how_many_and_why_not(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stow((202, JSON, listed([0], [1, 2]))) as (url, _):
        assert main(["pacs", "send", str(files), "--to", url]) == 1
    shown = capsys.readouterr()
    assert f"{url}: kept 1 objects" in shown.out
    assert shown.err == "failed 2: refused, reason 0xA700\n"
    uids = {str(film(number).SOPInstanceUID) for number in range(3)}
    assert not [secret for secret in SECRETS | uids if secret in shown.out + shown.err]

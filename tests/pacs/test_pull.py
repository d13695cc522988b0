"""A pull fetches each film once, goes on where it stopped, and says what it could not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from films import SECRETS, Server, encoded, film, needs_openssl, self_signed, serving
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.pacs import web
from xlip.pacs.access import Access
from xlip.pacs.pull import PullConfig, Pulled, pull

FAST = Access(wait=0.0, attempts=3, timeout=10.0)


def pulled(server: Server, out: Path, **options: object) -> Pulled:
    return pull(PullConfig(server.url, str(out), **{"access": FAST, "reserve": 1, **options}))


def files(out: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "behaviour",
    [{}, {"cap": 2}, {"obeys_limit": False}, {"obeys_offset": False}, {"counts": False}, {"single": True}],
    ids=str,
)
def test_every_film_comes_byte_for_byte_under_a_name_that_tells_nothing(
    behaviour: dict[str, object], tmp_path: Path
) -> None:
    films = [film(number) for number in range(5)]
    with serving(Server(films, **behaviour)) as server:
        done = pulled(server, tmp_path / "spool", page=3)
    assert done.fetched == 5
    assert not done.failed
    assert files(tmp_path / "spool") == sorted(map(encoded, films))
    names = " ".join(str(path) for path in (tmp_path / "spool").rglob("*"))
    uids = {str(one.StudyInstanceUID) for one in films}
    assert not [secret for secret in SECRETS | uids if secret in names]
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_a_capped_server_without_offset_is_searched_by_days_and_a_full_day_is_told(tmp_path: Path) -> None:
    films = [film(number, StudyDate=f"2020010{1 + number % 6}") for number in range(6)]
    films += [film(10 + number, StudyDate="20200301") for number in range(3)]
    with serving(Server(films, obeys_offset=False, cap=3)) as server:
        done = pulled(server, tmp_path / "a", page=5, date="20200101-20200131")
        assert (done.fetched, done.warnings) == (6, {})
        done = pulled(server, tmp_path / "b", page=5, date="20200301")
    assert done.fetched == 3
    assert "cut short" in " ".join(done.warnings)


def test_a_second_pull_asks_only_for_what_is_not_there(tmp_path: Path) -> None:
    films = [film(number) for number in range(3)]
    lost = films[1].SOPInstanceUID
    with serving(Server(films, before=lambda path: (500, {}, b"") if path.endswith(lost) else None)) as server:
        first = pulled(server, tmp_path)
        assert (first.fetched, first.there) == (2, 0)
        assert first.failed == {"instances: no answer after 3 attempts (HTTP 500)": 1}
        server.before = lambda path: None
        server.requests.clear()
        second = pulled(server, tmp_path)
        assert (second.fetched, second.there, second.failed) == (1, 2, {})
        assert [path for path in server.requests if path.count("/") == 6] == [
            path for path in server.requests if path.endswith(lost)
        ]
    assert files(tmp_path) == sorted(map(encoded, films))


def test_a_busy_server_is_asked_again_when_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(web.WebPeer.__init__, "__defaults__", (slept.append,))
    busy = [(503, {"Retry-After": "7"}, b""), (429, {}, b"")]
    with serving(Server([film(0)], before=lambda path: busy.pop(0) if busy else None)) as server:
        assert pulled(server, tmp_path, access=Access(wait=1.0)).fetched == 1
    assert slept[0] == 7
    assert 1.6 <= slept[1] <= 2.4


@pytest.mark.parametrize(
    ("mangle", "said"),
    [
        (lambda body: body[: len(body) // 2], "cut short"),
        (lambda body: b"", "cut short"),
        (lambda body: b"\r\n--xx\r\n\r\nnot DICOM\r\n--xx--", "cannot be read"),
        (lambda body: body.replace(b"7433.1.1000.1.1", b"7433.1.1000.1.9"), "another instance"),
    ],
    ids=["cut short", "empty", "no DICOM", "another"],
)
def test_what_comes_damaged_is_not_kept_and_told(mangle, said: str, tmp_path: Path) -> None:
    with serving(Server([film(0)], mangle=mangle)) as server:
        done = pulled(server, tmp_path)
    assert done.fetched == 0
    assert said in " ".join(done.failed)
    assert files(tmp_path) == []


def test_an_instance_beyond_the_bound_is_refused_while_it_comes(tmp_path: Path) -> None:
    with serving(Server([film(0, PixelData=bytes(2 << 20))])) as server:
        done = pulled(server, tmp_path, megabytes=1)
    assert "more than 1 MB" in " ".join(done.failed)
    assert files(tmp_path) == []


def test_other_modalities_and_days_stay_there_whatever_the_server_filters(tmp_path: Path) -> None:
    films = [film(0, StudyDate="20200101"), film(1, StudyDate="20200101", Modality="CT"), film(2, StudyDate="20210101")]
    server = Server(films)
    plain = server.answer
    server.answer = lambda target: plain(target.partition("?")[0])  # knows no filter
    with serving(server):
        done = pulled(server, tmp_path, date="20200101")
    assert files(tmp_path) == [encoded(films[0])]
    assert "other days" in " ".join(done.warnings)


def test_a_list_of_studies_takes_the_place_of_a_search(tmp_path: Path) -> None:
    films = [film(number) for number in range(3)]
    (tmp_path / "list.txt").write_text(f"{films[2].StudyInstanceUID}\n\n{films[0].StudyInstanceUID}\n")
    with serving(Server(films)) as server:
        assert pulled(server, tmp_path / "out", studies=str(tmp_path / "list.txt")).fetched == 2
        assert "/studies" not in server.requests
    (tmp_path / "list.txt").write_text("Quillfeather\n")
    with pytest.raises(XLIPError, match="line 1: expected a Study Instance UID") as caught:
        pulled(server, tmp_path / "out", studies=str(tmp_path / "list.txt"))
    assert "Quillfeather" not in str(caught.value)


def test_secrets_come_from_environment_or_file_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XLIP_PACS_PASSWORD", "hunter2")
    (tmp_path / "token").write_text("t0ken\n")
    with serving(Server([film(0)])) as server:
        words = ["pacs", "pull", server.url, "--out", str(tmp_path / "out"), "--reserve", "1"]
        assert main([*words, "--access.user", "ann"]) == 0
        assert set(server.authorizations) == {"Basic YW5uOmh1bnRlcjI="}
        server.authorizations.clear()
        assert main([*words, "--access.token-file", str(tmp_path / "token")]) == 0
        assert set(server.authorizations) == {"Bearer t0ken"}
        server.before = lambda path: (401, {}, b"")
        assert main([*words, "--access.user", "ann"]) == 2
    shown = "".join(capsys.readouterr())
    assert "not allowed" in shown
    assert not [secret for secret in ("hunter2", "t0ken") if secret in shown]


@pytest.mark.parametrize(
    ("url", "access", "said"),
    [
        ("pacs.example", Access(), "expected a DICOMweb address"),
        ("https://ann:pw@pacs.example/x", Access(), "holds a user or password"),
        ("https://pacs.example/x", Access(user="ann"), "a user without a password"),
        ("http://pacs.example/x", Access(user="ann", password_file="secret"), "unencrypted"),
        ("https://pacs.example/x", Access(password_file="nothing"), "nothing"),
        ("http://127.0.0.1:9/x", Access(attempts=1), "no answer after 1 attempts"),
    ],
)
def test_a_fault_of_the_connection_is_one_line(
    url: str, access: Access, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text("pw\n")
    with pytest.raises(XLIPError, match=said) as caught:
        pull(PullConfig(url, "out", access=access))
    assert "pw" not in str(caught.value).replace("password", "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["2020", "20200101-20190101", "20200199", "-", "last week"])
def test_a_day_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="--date"):
        pull(PullConfig("http://127.0.0.1:9", str(tmp_path), date=text))


def test_a_full_disk_ends_the_pull_and_leaves_nothing_half(tmp_path: Path) -> None:
    state = os.statvfs(tmp_path)
    free = (state.f_bavail * state.f_frsize >> 20) + 1024
    with serving(Server([film(0)])) as server, pytest.raises(XLIPError, match="make room"):
        pulled(server, tmp_path / "out", reserve=free)
    assert files(tmp_path) == []


@needs_openssl
def test_a_certificate_is_checked(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    with serving(Server([film(0)]), certificate) as server:
        with pytest.raises(XLIPError, match="certificate is not trusted"):
            pulled(server, tmp_path / "out")
        assert server.requests == []
        assert pulled(server, tmp_path / "out", access=Access(ca=str(certificate), wait=0.0)).fetched == 1

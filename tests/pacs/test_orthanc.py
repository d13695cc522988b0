"""From a real archive and back: the commands of docs/howto/pacs.md against Debian's Orthanc, with phantoms."""

from __future__ import annotations

import json
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest

from films import SECRETS, encoded, film
from orthanc import PASSWORD, Orthanc, needs_orthanc, orthanc
from tiny import tiny_model
from xlip.cli import main
from xlip.cli.parse import parse
from xlip.pacs.access import PASSWORD as VARIABLE

pytestmark = [
    pytest.mark.usefixtures("sockets_collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "pacs.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
OBJECTS = {
    "Secondary Capture": "1.2.840.10008.5.1.4.1.1.7",
    "Parametric Map": "1.2.840.10008.5.1.4.1.1.30",
    "Segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
    "Structured Report": "1.2.840.10008.5.1.4.1.1.88.33",
}
FILMS = 3


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orthanc]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, PASSWORD)
    (tmp_path / "hospital.key").write_text("5a" * 32)
    tiny_model().save_pretrained(tmp_path / "runs" / "mine")
    (tmp_path / "archive").mkdir()
    with orthanc(tmp_path / "archive") as running:
        for number in range(FILMS):
            running.ask("/instances", encoded(film(number, size=64, columns=60)))
        yield running


def here(line: str, archive: Orthanc) -> list[str]:
    """The words of a command of the page, with this archive's ports."""
    line = line.replace("127.0.0.1:8042", f"127.0.0.1:{archive.port}").replace("11112", str(archive.listener_port))
    words = shlex.split(line.replace("127.0.0.1:4242", f"127.0.0.1:{archive.dicom_port}"))
    quick = {"prepare": ["--workers", "0"], "pull": ["--reserve", "1"], "listen": ["--reserve", "1", "--most", "3"]}
    return [*words[1:], *next((more for name, more in quick.items() if name in words[1:3]), [])]


def test_every_command_of_the_page_is_known() -> None:
    assert len(COMMANDS) == 6
    for line in COMMANDS:
        parse(shlex.split(line)[1:])


@needs_orthanc
def test_phantoms_are_pulled_judged_and_sent_back_and_the_archive_has_all_four_objects_of_each(
    archive: Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = archive.stored()
    for line in COMMANDS:
        if "listen" in line:
            continue
        assert main(here(line, archive)) == 0, (line, capsys.readouterr().err)
    shown = "".join(capsys.readouterr())
    assert f"spool: {FILMS} files of {FILMS} studies" in shown
    assert f"kept {FILMS} studies" in shown
    assert f"answers: {4 * FILMS} objects of {FILMS} films" in shown
    assert shown.count(f"kept {4 * FILMS} objects") == 2
    assert not [secret for secret in (*SECRETS, PASSWORD) if secret in shown]
    after = archive.stored()
    assert len(after) == 5 * FILMS, "STOW-RS and C-STORE of one object make one object"
    for uid, of in before.items():
        study = [one for one in after.values() if one["StudyInstanceUID"] == of["StudyInstanceUID"]]
        assert sorted(one["SOPClassUID"] for one in study) == sorted((*OBJECTS.values(), of["SOPClassUID"]))
        assert {one["PatientID"] for one in study} == {of["PatientID"]}
        assert len({one["SeriesInstanceUID"] for one in study}) == 5
        for one in study:
            assert one["SOPInstanceUID"] == uid or "not for diagnosis" in one["SeriesDescription"]
    written = {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "answers").rglob("*.dcm")}
    assert written == set(after) - set(before)
    again = here(COMMANDS[0], archive)
    assert main(again) == 0
    assert f"0 files of {FILMS} studies; {FILMS} were there" in capsys.readouterr().out


@needs_orthanc
def test_the_archive_pushes_to_the_listener(
    archive: Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = (line for line in COMMANDS if "listen" in line)
    thread = threading.Thread(target=_push, args=(archive,))
    thread.start()
    assert main(here(line, archive)) == 0
    thread.join()
    assert f"received: kept {FILMS} objects" in capsys.readouterr().out
    assert sorted(pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "received").rglob("*.dcm")) == sorted(
        archive.stored()
    )


def _push(archive: Orthanc) -> None:
    for _ in range(200):
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", archive.listener_port)).close()
            break
        threading.Event().wait(0.05)
    body = {"Resources": archive.ask("/instances"), "Synchronous": True}
    archive.ask("/modalities/xlip/store", json.dumps(body).encode())

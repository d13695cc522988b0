"""A worklist of films that a modality sends: judged as they come, and no name of a patient in it."""

from __future__ import annotations

import csv
import threading
from pathlib import Path

import pytest

from fake_encoder import FakeEncoder
from films import SECRETS, encoded, film
from xlip.errors import XLIPError
from xlip.pacs.access import Access
from xlip.pacs.send import SendConfig, send
from xlip.pacs.triage import TriageConfig, triage
from xlip.pacs.watch import own_entity, triage_what_comes

pytestmark = [
    pytest.mark.usefixtures("sockets_collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("XLIP@127.0.0.1:11112", ("XLIP", "127.0.0.1", 11112)),
        ("XLIP@[::1]:104", ("XLIP", "::1", 104)),
        ("films", None),
        ("films/me@home", None),
        ("s3://bucket/a@b:1", None),
        ("A-TITLE-THAT-IS-TOO-LONG@host:104", None),
    ],
)
def test_an_entity_is_told_from_a_place(source: str, expected: object) -> None:
    assert own_entity(source) == expected


def test_a_folder_may_be_called_like_an_entity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "XLIP@host:104").mkdir()
    assert own_entity("XLIP@host:104") is None


def test_films_that_are_sent_stand_in_the_worklist_as_those_of_a_folder_do(tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    for number in range(3):
        (tmp_path / "sent" / f"{number}.dcm").write_bytes(encoded(film(number, size=128)))
    (tmp_path / "sent" / "side.dcm").write_bytes(
        encoded(film(4, size=128, ViewPosition="LL", SeriesDescription="Thorax", PatientOrientation=["A", "F"]))
    )
    out, said, sending = tmp_path / "list.csv", [], []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("listening"):
            to = f"XLIP@127.0.0.1:{line.rpartition(':')[2]}"
            config = SendConfig([str(tmp_path / "sent")], to, access=Access(wait=0.0, timeout=10.0))
            sending.append(threading.Thread(target=send, args=(config,)))
            sending[0].start()

    asked = TriageConfig("XLIP@127.0.0.1:0", "fake", str(out), kinds="Effusion,Mass", side=64, idle=1.0)
    counts = triage_what_comes(asked, FakeEncoder(), say)
    sending[0].join()
    rows = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    assert len(rows) == 4
    assert counts["cannot judge"] == sum("lateral" in row["reason"] for row in rows) == 1
    folder = TriageConfig(str(tmp_path / "list" / "films"), "fake", str(tmp_path / "again.csv"), kinds="Effusion,Mass")
    triage(folder, FakeEncoder(), lambda line: None)
    again = list(csv.DictReader((tmp_path / "again.csv").read_text("utf-8").splitlines()))
    assert [{**row, "map": ""} for row in rows] == [{**row, "map": ""} for row in again]
    shown = " ".join([*said, out.read_text(), *(path.name for path in tmp_path.joinpath("list").rglob("*"))])
    assert not [secret for secret in SECRETS if secret in shown]


def test_nobody_who_sends_is_said(tmp_path: Path) -> None:
    asked = TriageConfig("XLIP@127.0.0.1:0", "fake", str(tmp_path / "list.csv"), kinds="Mass", idle=0.2)
    with pytest.raises(XLIPError, match="none was sent"):
        triage_what_comes(asked, FakeEncoder(), lambda line: None)
    open_to_all = TriageConfig("XLIP@0.0.0.0:0", "fake", str(tmp_path / "list.csv"), kinds="Mass", idle=0.2)
    with pytest.raises(XLIPError, match="--peers"):
        triage_what_comes(open_to_all, FakeEncoder(), lambda line: None)

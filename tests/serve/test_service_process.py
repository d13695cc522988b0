"""The process: how it begins, how it ends, and what it leaves when it is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from served import HERE, Served, served, started

from xlip import cli


def test_a_stopped_service_finishes_what_it_answers(tmp_path: Path, png: bytes) -> None:
    with served(tmp_path, delay=0.5) as one:
        answers: list[int] = []

        def ask() -> None:
            with one.client() as client:
                answers.append(client.post("/v1/zeroshot", content=png).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        while "route=/ready" not in one.errors.read_text():
            time.sleep(0.01)
        time.sleep(0.3)
        one.process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers == [200]
        assert one.process.wait(timeout=20) == -signal.SIGTERM  # the command line makes 143 of it
    assert "Traceback" not in one.errors.read_text()


def test_a_killed_service_leaves_whole_lines_and_begins_again(tmp_path: Path, png: bytes) -> None:
    audit = tmp_path / "audit.jsonl"
    for _ in range(2):
        with served(tmp_path / "log", audit=str(audit)) as one:
            stop = threading.Event()
            clients = [threading.Thread(target=ask_until, args=(one, png, stop)) for _ in range(4)]
            for client in clients:
                client.start()
            time.sleep(0.7)
            one.process.kill()
            stop.set()
            for client in clients:
                client.join()
            assert one.process.wait() == -signal.SIGKILL
    lines = audit.read_text().splitlines()
    assert len(lines) > 10
    assert all(json.loads(line)["input"].startswith("sha256:") for line in lines)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["audit.jsonl", "log", "stderr.txt"]


def ask_until(one: Served, png: bytes, stop: threading.Event) -> None:
    with one.client() as client, suppress(httpx.HTTPError):
        while not stop.is_set():
            assert client.post("/v1/zeroshot", content=png).status_code in (200, 429)


def test_more_at_once_than_the_queue_holds_are_told_when_to_come_again(tmp_path: Path, png: bytes) -> None:
    with served(tmp_path, queue=2, delay=0.2) as one:
        found: list[httpx.Response] = []

        def ask() -> None:
            with one.client() as client:
                found.append(client.post("/v1/zeroshot", content=png))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    statuses = [answer.status_code for answer in found]
    assert set(statuses) == {200, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in found if answer.status_code == 429)


def test_a_slow_body_and_a_head_that_never_ends_are_given_up(tmp_path: Path) -> None:
    with served(tmp_path, timeout=0.5, audit=str(tmp_path / "a")) as one:
        with slow(one, b"POST /v1/zeroshot HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc") as line:
            assert b"408" in line.recv(1000)
        with one.client() as client:
            assert client.get("/health").status_code == 200


def slow(one: Served, start: bytes) -> socket.socket:
    host, port = one.url.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=20)
    line.sendall(start)
    return line


def test_nothing_is_written_to_the_disk_but_the_audit_log(tmp_path: Path) -> None:
    """A part of more than a megabyte would be spooled to a temporary file, had the service one."""
    nowhere = {"TMPDIR": str(tmp_path / "no-such-folder")}
    with served(tmp_path / "log", nowhere, audit=str(tmp_path / "audit")) as one, one.client() as client:
        large = bytes(128) + b"DICM" + os.urandom(3 << 20)
        assert client.post("/v1/zeroshot", files={"image": large}).status_code == 422
        opened = [str(link.readlink()) for link in Path(f"/proc/{one.process.pid}/fd").iterdir()]
    assert not [path for path in opened if "tmp" in path and str(tmp_path) not in path]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit", "log"]


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.main(["serve", "--model", "no-such-model", "--port", str(taken.getsockname()[1])]) == 2
    assert "is taken by another program; choose another --port" in capsys.readouterr().err


def test_an_open_address_without_tokens_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XLIP_TOKENS", raising=False)
    assert cli.main(["serve", "--model", "no-such-model", "--host", "0.0.0.0"]) == 2
    assert "--tokens" in capsys.readouterr().err


def test_what_is_not_installed_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xlip.cli.serving.find_spec", lambda name: None)
    assert cli.main(["serve", "--model", "x"]) == 2
    assert "pip install 'xlip[serve]'" in capsys.readouterr().err


def test_serving_needs_what_the_extra_lists_and_connects_to_nothing(tmp_path: Path, png: bytes) -> None:
    """In a process that can import nothing else, and whose every outgoing connection is a fault."""
    program = f"""
import importlib.metadata, re, socket, sys
from packaging.requirements import Requirement
wanted, seen = [("xlip", {{"serve"}})], set()
while wanted:
    name, extras = wanted.pop()
    name = re.sub("[-_.]+", "-", name).lower()
    if (name, *sorted(extras)) in seen:
        continue
    seen.add((name, *sorted(extras)))
    try:
        needs = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        continue
    for one in map(Requirement, needs if name != "xlip" else {requirements()!r}):
        if one.marker is None or any(one.marker.evaluate({{"extra": extra}}) for extra in ("", *extras)):
            wanted.append((one.name, one.extras))
allowed = {{name for name, *_ in seen}}
owners = importlib.metadata.packages_distributions()
class Refuse:
    def find_spec(self, name, path=None, target=None):
        of = {{re.sub("[-_.]+", "-", owner).lower() for owner in owners.get(name.partition(".")[0], ())}}
        if of and not of & allowed and "xlip" not in of:
            raise ImportError(f"{{name}} is not what the extra lists")
sys.meta_path.insert(0, Refuse())
def connect(*arguments): raise AssertionError("a connection to the outside")
socket.socket.connect = socket.socket.connect_ex = connect
sys.path.insert(0, {str(HERE)!r})
from served_encoder import FakeEncoder
from xlip.serve.config import ServeConfig
from xlip.serve.run import serve
serve(ServeConfig("fake", port=0, audit=sys.argv[1]), FakeEncoder, lambda line: print(line, flush=True))
"""
    (tmp_path / "alone.py").write_text(program)
    with (
        started([sys.executable, str(tmp_path / "alone.py"), str(tmp_path / "audit")], tmp_path) as one,
        one.client() as client,
    ):
        assert client.post("/v1/zeroshot", content=png).status_code == 200
        assert client.post("/v1/explain", content=png, params={"kinds": "Effusion"}).status_code == 200
        assert client.get("/openapi.json").status_code == client.get("/metrics").status_code == 200


def requirements() -> list[str]:
    """The core's requirements and those of the extra, as pyproject.toml says now (what is installed may be older)."""
    import tomllib

    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["serve"]]


def test_help_loads_neither_torch_nor_the_web(capsys: pytest.CaptureFixture[str]) -> None:
    program = "import sys\nfrom xlip.cli import main\ntry: main(['serve', '--help'])\nexcept SystemExit: pass\n"
    program += "print([name for name in ('torch', 'transformers', 'fastapi', 'uvicorn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr

"""Commands where the surroundings are poor: closed streams, no home, no room, a terminal of few characters."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from xlip import cli
from xlip.cli.commands import Command
from xlip.cli.surroundings import lacks_memory, of_system
from xlip.evaluate.embeddings import cache_folder

REPORT = "Large effusion. Grüße an Dr. X."
XLIP = [sys.executable, "-m", "xlip.cli"]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    file = tmp_path / "bericht.txt"
    file.write_text(REPORT, "utf-8")
    return file


def run(words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Through a shell, which closes streams and makes pipes."""
    environment: Mapping[str, str] = {**os.environ, **options.pop("env", {})}  # type: ignore[dict-item]
    shell = ["bash", "-c", f"set -o pipefail; {words.replace('XLIP', ' '.join(XLIP))}"]
    return subprocess.run(shell, capture_output=True, env=environment, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("words", ["XLIP --help | true", "XLIP inspect --help 2>&1 | true"])
def test_a_reader_that_leaves_ends_a_command_quietly(words: str) -> None:
    done = run(words + "; echo ${PIPESTATUS[0]}")
    assert done.stderr == b""
    assert done.stdout.split()[-1] in (b"0", b"141")


def test_closed_streams_are_the_null_device(report: Path) -> None:
    out = report.with_name("tags.jsonl")
    done = run(f"XLIP tag {report} --out {out} <&- >&- 2>&-")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert out.read_text("utf-8").count("\n") == 1  # and nothing that was printed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    done = run("XLIP --help > /dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(b"xlip: ")
    assert b"make room" in done.stderr.splitlines()[-1]
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize(("more", "shown"), [(["--explain"], rb"Gr\xfc\xdfe"), ([], "Grüße".encode())])
def test_a_terminal_of_few_characters_fails_no_command_and_json_stays_utf_8(
    more: list[str], shown: bytes, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    assert cli.main(["tag", str(report), *more]) == 0
    assert shown in raw.getvalue()


def test_warnings_that_are_errors_for_the_users_own_code_end_no_command(report: Path) -> None:
    done = run(f"XLIP tag {report}", env={"PYTHONWARNINGS": "error"})
    assert done.returncode == 0, done.stderr
    assert b"Effusion" in done.stdout


def test_a_current_folder_that_is_gone_is_named(tmp_path: Path, report: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = run(f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && XLIP tag {report}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(b"xlip: the current folder cannot be used")
    assert done.stderr.count(b"\n") <= 2  # the shell may say so too


def test_a_closed_terminal_stops_a_command_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with subprocess.Popen([*XLIP, "tag", "-", "--out", f"{tmp_path}/x.jsonl"], stdin=subprocess.PIPE) as one:
        while not list(tmp_path.iterdir()):  # it writes beside its place
            assert one.poll() is None
        one.send_signal(signal.SIGHUP)
        assert one.wait(60) == 128 + signal.SIGHUP
    assert list(tmp_path.iterdir()) == []


def test_nohup_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    command = Command("demo.DemoConfig", lambda config: seen.append(signal.getsignal(signal.SIGHUP)), "")
    monkeypatch.setitem(cli.COMMANDS, "demo", command)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli.main(["demo"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen == [signal.SIG_IGN]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "set TMPDIR"),
        (OSError("Matplotlib requires access to a writable cache directory"), "set MPLCONFIGDIR"),
        (OSError(errno.EMFILE, "Too many open files", "/a/part.parquet"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device"), "make room"),
        (OSError(errno.EACCES, "Permission denied", b"/a/key"), "/a/key: Permission denied"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (UnicodeEncodeError("utf-8", "a/r\udcf6ntgen.png", 3, 4, "surrogates not allowed"), "rename it"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "its end of a connection"),
    ],
)
def test_what_the_system_refuses_is_one_line(error: Exception, said: str, monkeypatch, capsys) -> None:
    def fail(config: object) -> None:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "demo", Command("demo.DemoConfig", fail, ""))
    assert cli.main(["demo"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("xlip: ")
    assert said in line


def test_other_faults_of_libraries_are_no_want_of_memory() -> None:
    assert not lacks_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert "cannot write" in of_system(OSError(errno.EROFS, "Read-only file system", "/a/out.csv"))


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLIP_CACHE")

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() is None

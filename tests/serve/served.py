"""A service of the fake model in a process of its own, as `xlip serve` runs one.

Run with a JSON object of options as the only argument; `delay` is the model's, the rest are those of the config.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Served:
    """A process that answers."""

    url: str
    process: subprocess.Popen[str]
    errors: Path
    """What it writes to the standard error stream."""

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, **options)

    def memory(self) -> int:
        """Resident bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) << 10


@contextmanager
def served(folder: Path, environment: dict[str, str] | None = None, **options: Any) -> Iterator[Served]:
    """The process, once it is ready; it is told to end afterwards, and must."""
    command = [sys.executable, str(HERE / "served.py"), json.dumps({"port": 0, **options})]
    with started(command, folder, environment) as one:
        yield one


@contextmanager
def started(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Iterator[Served]:
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "stderr.txt"
    with errors.open("a") as stream:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, env={**os.environ, **(environment or {})}
        )
    try:
        one = Served(_address(process, errors), process, errors)
        _until_ready(one)
        yield one
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        assert process.stdout is not None
        process.stdout.close()


def _address(process: subprocess.Popen[str], errors: Path) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 300)
    line = process.stdout.readline() if ready else ""
    found = re.search(r"http://\S+?(?=/ )", line)
    assert found, line + errors.read_text()[-2000:]
    return found[0].replace("0.0.0.0", "127.0.0.1")


def _until_ready(one: Served) -> None:
    with one.client() as client:
        for _ in range(3000):
            if client.get("/ready").status_code == 200:
                return
            time.sleep(0.05)
    raise AssertionError(one.errors.read_text()[-2000:])


def main() -> None:
    from served_encoder import FakeEncoder

    from xlip.serve.config import ServeConfig
    from xlip.serve.run import serve

    options = json.loads(sys.argv[1])
    fake = {name: options.pop(name) for name in ("delay", "local_share", "has_maps") if name in options}

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    serve(ServeConfig(model="fake", **options), lambda: FakeEncoder(**fake), say)


if __name__ == "__main__":
    main()

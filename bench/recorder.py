"""Commands of a trial, with their time, processor time and memory."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


class Recorder:
    """Runs commands and keeps each one's time, processor time and the highest memory of its whole process tree."""

    def __init__(self, threads: int) -> None:
        self.done: list[dict[str, Any]] = []
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def run(self, arguments: list[str]) -> dict[str, Any]:
        """Run a command of the environment; what was measured.

        Raises:
            SystemExit: it failed.
        """
        start = time.perf_counter()
        command = [str(Path(sys.executable).parent / arguments[0]), *arguments[1:]]
        process = subprocess.Popen(command, env=self.environment)
        peak, cpu = [0.0], dict[int, float]()
        watcher = threading.Thread(target=_watch, args=(process, peak, cpu), daemon=True)
        watcher.start()
        if process.wait():
            raise SystemExit(f"{shlex.join(arguments)}: exit code {process.returncode}")
        watcher.join()
        seconds = round(time.perf_counter() - start, 1)
        measured = {"seconds": seconds, "cpu_seconds": round(sum(cpu.values()), 1), "peak_mb": round(peak[0])}
        self.done.append({"command": shlex.join(arguments), **measured})
        print(self.done[-1], flush=True)
        return measured


def _watch(process: subprocess.Popen[bytes], peak: list[float], cpu: dict[int, float]) -> None:
    while process.poll() is None:
        with suppress(psutil.Error):
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            peak[0] = max(peak[0], sum(p.memory_info().rss for p in tree) / 1e6)
            cpu |= {p.pid: sum(p.cpu_times()[:2]) for p in tree}
        time.sleep(0.5)


def last_line(path: Path) -> dict[str, Any]:
    """The last entry of a run's log."""
    line: dict[str, Any] = json.loads(path.read_text("utf-8").splitlines()[-1])
    return line

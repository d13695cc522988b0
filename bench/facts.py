"""What makes a figure repeatable: commit, day and machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def facts() -> dict[str, Any]:
    """Keys of every JSON file in docs/ that took long to make."""
    return {
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "python": platform.python_version()},
    }


def made_with(report: dict[str, Any], *more: str) -> str:
    """The line under a table: command, commit, day, machine."""
    machine = report["machine"]
    found = [f"commit {report['commit'][:10]}", report["date"], *more, f"{machine['cores']} cores ({machine['cpu']})"]
    return f"`{report['command']}`: {', '.join(found)}."


def this_run() -> dict[str, Any]:
    """The facts, and the command that is running."""
    return {"command": shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]), **facts()}


def commit() -> str:
    """The commit that is measured, with a plus where the working tree differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "src", "bench") else "")


def cpu() -> str:
    """The processor's name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())

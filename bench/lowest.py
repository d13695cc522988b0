"""Test with the lowest versions that pyproject.toml allows: `make test-lowest`.

Every requirement of the project is pinned to its lower bound, what these bring along is the newest that fits. Needs
nothing but Python; `--print` shows the pins.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("data", "train", "onnx", "serve", "lora", "pacs", "search")
"""Those that users install; tools of development (dev, docs, release) come in their usual versions."""
PARTS = ("tests", "-n", "2", "-q", "-p", "no:cacheprovider")
BOUND = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9][^,;]*)")


def lowest() -> dict[str, str]:
    """Package -> the lowest version allowed; the greatest of them where several lists name one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    pins: dict[str, str] = {}
    for line in [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]:
        found = BOUND.match(line)
        if found is None:
            continue
        name, bound = found.group(1).lower(), found.group(2).strip()
        if _numbers(bound) > _numbers(pins.get(name, "0")):
            pins[name] = bound
    return dict(sorted(pins.items()))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def install(venv: Path, pins: dict[str, str]) -> None:
    """An environment with the pins and the tools of the tests."""
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    file = venv / "lowest.txt"
    file.write_text("".join(f"{name}=={bound}\n" for name, bound in pins.items()), "utf-8")
    words = ["install", "-q", "-c", str(file), "-e", f"{ROOT}[dev]"]
    subprocess.run([str(venv / "bin" / "pip"), *words], check=True)
    subprocess.run([str(venv / "bin" / "pip"), "check"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "lowest")
    parser.add_argument("--run", action="store_true", help="install and run the tests")
    parser.add_argument("--print", action="store_true", help="show the pins")
    options, more = parser.parse_known_args()
    pins = lowest()
    if options.print:
        print("\n".join(f"{name}=={bound}" for name, bound in pins.items()))
    if options.run:
        install(options.venv, pins)
        command = [str(options.venv / "bin" / "pytest"), *(more or PARTS)]
        sys.exit(subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode)


if __name__ == "__main__":
    main()

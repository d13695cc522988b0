"""Each extra alone in a fresh environment, from a wheel: what it brings, what runs in it, how soon it answers.

`python bench/extras.py --model EXPORTED` (a folder of `xlip export`) makes an environment for `[serve]`, `[search]`,
`[pacs]` and for the three together, and writes docs/data/extras.json; `--also onnx` does so for `[onnx]`, which brings
torch and takes gigabytes. Nothing of this environment is seen from there: no PYTHONPATH, no site packages.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facts import this_run

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "datasets", "sklearn", "matplotlib", "spacy")
KINDS = "Effusion,Pneumothorax,Cardiomegaly"
SIDE = 1024
"""Pixels of the film that is timed end to end."""
ONE_FILM = """
import asyncio, json, statistics, sys, time
from xlip.runtime.exported import ExportedModel
from xlip.serve.asks import ExplainAsk
from xlip.serve.config import ServeConfig
from xlip.serve.service import Service
model, file = sys.argv[1:]
data = open(file, "rb").read()
service = Service.open(ServeConfig(model=model), ExportedModel.open(model))
async def films():
    await service.start()
    spent = []
    for _ in range(16):
        wall, cpu = time.perf_counter(), time.process_time()
        film = await service.film(data)
        await service.explain(film, ExplainAsk(kinds=list(service.kinds[:-1])))
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    await service.stop()
    return [statistics.median(one[at] for one in spent[1:]) for at in (0, 1)]
print(json.dumps(asyncio.run(films())))
"""


class Environment:
    """A virtual environment with one wheel and its extras."""

    def __init__(self, folder: Path, wheel: Path, extras: str) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
        } | {"OMP_NUM_THREADS": "1"}
        self.run("pip", "install", "-q", "--disable-pip-version-check", f"{wheel}[{extras}]", check=True)

    def run(self, program: str, *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / "bin" / program), *words]
        return subprocess.run(command, env=self.variables, cwd=self.folder, text=True, capture_output=True, check=check)

    def has(self, module: str) -> bool:
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        return self.run("python", "-c", code).returncode == 0

    def megabytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) >> 20


def films(folder: Path) -> dict[str, Path]:
    """A picture, a DICOM film and a table of pictures, all of phantoms."""
    sys.path.insert(0, str(ROOT / "bench"))
    from serve import dicom
    from xlip.phantom import generate

    folder.mkdir()
    names = []
    for number in range(6):
        names.append(f"{number}.png")
        Image.fromarray(generate(number, size=256).pixels).save(folder / names[-1])
    (folder / "film.dcm").write_bytes(dicom(SIDE))
    ages = np.arange(40, 46)
    rows = [f"{name},{age},{int(age % 2)}" for name, age in zip(names, ages, strict=True)]
    (folder / "table.csv").write_text("\n".join(["path,age,Effusion", *rows]) + "\n")
    return {"folder": folder, "picture": folder / "0.png", "dicom": folder / "film.dcm", "table": folder / "table.csv"}


def asked(model: Path, shown: dict[str, Path]) -> dict[str, list[str]]:
    """Commands of a user who has an exported folder and no torch."""
    given = ["--model", str(model)]
    table, picture = str(shown["table"]), str(shown["picture"])
    return {
        "version": ["--version"],
        "zeroshot": ["zeroshot", *given, "--data", table, "--kinds", "Effusion", "--out", "zeroshot"],
        "explain": ["explain", picture, str(shown["dicom"]), *given, "--kinds", KINDS, "--out", "maps"],
        "triage": ["triage", str(shown["folder"]), *given, "--kinds", KINDS, "--out", "worklist.csv"],
        "embed": ["embed", *given, "--data", table, "--out", "index"],
        "search by words": ["search", "index", "--text", "pleural effusion", "--where", "age > 42"],
        "search by an image": ["search", "index", "--image", picture],
        "pacs write": ["pacs", "write", str(shown["dicom"]), *given, "--kinds", KINDS, "--out", "answers"],
        "pacs send": ["pacs", "send", "answers", "--to", "NOBODY@127.0.0.1:9", "--access.attempts", "1"],
    }


def served(one: Environment, model: Path) -> dict[str, float]:
    """Seconds from the command to an answer of /ready."""
    command = [str(one.folder / "bin" / "xlip"), "serve", "--model", str(model), "--port", "0"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=one.variables, cwd=one.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        url = re.findall(r"http://\S+?(?=/ )", process.stdout.readline())[0]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                opener.open(f"{url}/ready").close()
                break
            except urllib.error.URLError:  # not there yet, or not ready: an HTTPError is one
                time.sleep(0.01)
        wall = time.perf_counter() - start
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return {"wall": round(wall, 2), "cpu": round(sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"), 2)}
    finally:
        process.terminate()
        process.wait()


def measured(extras: str, wheel: Path, model: Path, folder: Path) -> dict[str, Any]:
    """What one environment can do."""
    start = time.perf_counter()
    one = Environment(folder / extras.replace(",", "-"), wheel, extras)
    found: dict[str, Any] = {"install_s": round(time.perf_counter() - start), "megabytes": one.megabytes()}
    found["heavy_modules"] = [name for name in HEAVY if one.has(name)]
    shown = films(folder / f"films-{extras.replace(',', '-')}")
    found["commands"] = {}
    for name, words in asked(model, shown).items():
        done = one.run("xlip", *words)
        said = (done.stdout + done.stderr).strip().splitlines()
        assert "Traceback" not in done.stderr, (name, done.stderr)
        found["commands"][name] = (
            "runs" if done.returncode == 0 else f"exit {done.returncode}: {said[-1][:200]}".replace(f"{folder}/", "")
        )
    if one.has("fastapi") and one.has("onnxruntime"):
        found["cold_start"] = [served(one, model) for _ in range(3)]
        wall, cpu = json.loads(one.run("python", "-c", ONE_FILM, str(model), str(shown["dicom"]), check=True).stdout)
        found["film_end_to_end"] = {"pixels": SIDE, "wall": round(wall, 4), "cpu": round(cpu, 4)}
    print(json.dumps({extras: found}, indent=1), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--only", nargs="*", default=["serve", "search", "pacs", "serve,search,pacs"])
    parser.add_argument("--also", nargs="*", default=[])
    options = parser.parse_args()
    file = ROOT / "docs" / "data" / "extras.json"
    kept = json.loads(file.read_text()) if file.is_file() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
        subprocess.run(build, check=True)
        (wheel,) = folder.glob("xlip-*.whl")
        for extras in [*options.only, *options.also]:
            found = measured(extras, wheel, options.model.resolve(), folder)
            kept = {**kept, **this_run(), "extras": {**kept.get("extras", {}), extras: found}}
            file.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

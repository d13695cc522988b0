"""Install the wheel with every extra alone in an empty environment: does it install, check, import, how large is it?

    make dist && python bench/install_sizes.py --json docs/data/install_sizes.json

`--before FILE.whl` measures the core and `[train]` of an earlier wheel too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from facts import ROOT, this_run

EXTRAS = ("", "data", "serve", "train", "onnx", "search", "pacs", "lora", "ray", "radgraph", "docs", "dev")
IMPORTS = {
    "": ("xlip", "xlip.runtime.exported", "pydicom", "PIL"),
    "data": ("xlip.preparation.run", "xlip.audit.run", "xlip.reports.tagger.registry", "matplotlib.figure"),
    "serve": ("xlip.serve.run", "onnxruntime", "tokenizers"),
    "train": ("xlip.train.loop", "xlip.evaluate.zeroshot", "xlip.finetune.run", "xlip.pages.write"),
    "onnx": ("xlip.export.run", "onnx", "onnxscript"),
    "search": ("lancedb", "duckdb", "xlip.search.lance"),
    "pacs": ("xlip.pacs.pull", "xlip.pacs.listen", "pynetdicom", "highdicom"),
    "lora": ("peft", "xlip.finetune.lora"),
    "ray": ("ray", "xlip.preparation.ray_executor"),
    "radgraph": ("radgraph", "xlip.reports.tagger.radgraph"),
    "docs": ("sphinx", "myst_nb", "pydata_sphinx_theme"),
    "dev": ("pytest", "mypy", "xlip.train.loop"),
}
"""Extra -> modules that must import with it alone."""
RUN = {
    "data": "xlip prepare phantom --out set --options.count 8 --options.size 64 --workers 0 && "
    "xlip inspect set --limit 1 && xlip tag set --out tags.parquet && { xlip audit set --workers 0; test $? -le 1; }",
    "serve": "python -c \"from xlip import ExportedModel; ExportedModel.open('phantom').encode_texts(['effusion'])\"",
}
"""Extra -> a command that must run with it alone."""


def measure(wheel: Path, extra: str, place: Path) -> dict[str, Any]:
    """What happened, and the bytes of the environment less those of an empty one."""
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    empty = size_of(place)
    python, start = str(place / "bin" / "python"), time.monotonic()
    named = f"{wheel}[{extra}]" if extra else str(wheel)
    done = ran([python, "-m", "pip", "install", "-q", "--no-compile", named], place)
    seconds, size = round(time.monotonic() - start), size_of(place) - empty
    found: dict[str, Any] = {
        "extra": extra or "core",
        "installs": not done,
        "seconds": seconds,
        "mb": round(size / 1e6, 1),
    }
    if done:
        return {**found, "fault": done}
    packages = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    found["packages"] = len(json.loads(packages.stdout))
    found["check"] = ran([python, "-m", "pip", "check"], place) or "clean"
    faults = {name: said for name in IMPORTS[extra] if (said := ran([python, "-c", f"import {name}"], place))}
    found["imports"] = faults or "all"
    if extra in RUN:
        found["runs"] = ran(["sh", "-c", f'PATH="{place}/bin:$PATH"; {RUN[extra]}'], place) or "yes"
    return found


def ran(words: list[str], place: Path) -> str:
    """'' where it ended well, else the end of what it said."""
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    return "" if not done.returncode else (done.stderr or done.stdout).strip()[-300:] or f"exit code {done.returncode}"


def size_of(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--extras", default=",".join(EXTRAS), help="separated by commas; an empty one is the core")
    parser.add_argument("--before", type=Path, help="an earlier wheel")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    (wheel,) = options.dist.glob("xlip-*.whl")
    report: dict[str, Any] = {**this_run(), "wheel": {"name": wheel.name, "bytes": wheel.stat().st_size}, "after": []}
    with tempfile.TemporaryDirectory() as work:
        for extra in options.extras.split(","):
            report["after"].append(measure(wheel, extra, Path(work) / "env"))
            print(report["after"][-1], flush=True)
            if options.json:
                options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        if options.before:
            report["before"] = [measure(options.before, extra, Path(work) / "env") for extra in ("", "train")]
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""How fast `xlip prepare` is, beside decoding alone, and how much memory it takes.

Writes docs/data/data_prepare.json and docs/measurements/data_prepare_tables.md.

Rates are marginal (a large run less a small one), so that starting processes and drawing the card do not count. The
machine may be busy: rates by CPU time (of all processes, on two cores) stand beside rates by wall time; each is the
best of several runs, and what decoding alone allows is measured in the same run. Without `--full` everything is
small and quick and the table is only printed; the figures in docs come from `--full`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facts import made_with, this_run
from xlip.images.files import decode
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.study.parquet import read_studies

CORES = 2
PIXELS = {False: 160 << 20, True: 3 << 30}
"""Of all images of a quick and of a full run's large set."""
MOST = {False: 1000, True: 12_000}
"""Images of that set at most: small files are many in real sets too, and fill whole parts of 2,048."""
SMALL = 7
"""The small set holds one in so many of them."""
STUDIES = {False: 2000, True: 100_000}
REPEATS = {False: 1, True: 5}
REAL = {
    "nih": ("nih", "nih_chestxray14_subset", {}),
    "kermany": ("kermany", "kermany_chest_xray", {}),
    "covid-chestxray": ("covid-chestxray", "covid-chestxray-dataset", {}),
    "hannover": ("hannover", "covid-19-image-repository", {}),
    "openi-kaggle": ("openi", "iu_openi", {"layout": "kaggle"}),
    "openi-nlm": ("openi", "iu_openi", {"layout": "nlm"}),
    "openi-r2gen": ("openi", "iu_openi", {"layout": "r2gen"}),
    "roco": ("roco", "roco_cxr_captions", {}),
    "dicom": ("folder", "dicom", {}),
}


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of this process and of its finished children."""
    before, start = os.times(), time.perf_counter()
    run()
    wall, now = time.perf_counter() - start, os.times()
    return wall, sum(now[:4]) - sum(before[:4])


def rates(small: list[tuple[float, float]], large: list[tuple[float, float]], extra: int) -> dict[str, float]:
    """Studies a second by wall and by CPU time, from the best runs of two sizes that differ by `extra` studies."""
    wall, cpu = (min(run[i] for run in large) - min(run[i] for run in small) for i in (0, 1))
    return {"by_wall": round(extra / wall, 1), "by_cpu": round(CORES * extra / cpu, 1)}


def images(folder: Path, side: int, count: int) -> None:
    """`count` gray JPEG files of side x side pixels (quality 90) from 40 phantoms, with film grain."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    bank = [generate(index, size=min(side, 512)).pixels for index in range(40)]
    for number in range(count):
        picture = Image.fromarray(bank[number % 40]).resize((side, side), Image.Resampling.BICUBIC)
        noisy = np.asarray(picture, np.float32) + rng.normal(0, 3, (side, side)).astype(np.float32)
        buffer = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        (folder / f"{number:05d}.jpg").write_bytes(buffer.getvalue())


def _decode_files(files: list[Path]) -> int:
    return sum(decode(file).size for file in files)


def decode_alone(folder: Path, count: int) -> Callable[[], Any]:
    """Decode the first files fully in two processes, and do nothing else."""
    files = sorted(folder.iterdir())[:count]
    parts = [files[start : start + 50] for start in range(0, count, 50)]

    def run() -> None:
        with ProcessPoolExecutor(CORES) as pool:
            list(pool.map(_decode_files, parts))

    return run


def speed(side: int, large: int, repeats: int) -> dict[str, Any]:
    """Rates of preparing and of decoding alone for `large` JPEG files of one size."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        images(root / "large", side, large)
        (root / "small").mkdir()
        few = large // SMALL
        for file in sorted((root / "large").iterdir())[:few]:
            os.link(file, root / "small" / file.name)
        runs: dict[str, list[tuple[float, float]]] = {}
        for _ in range(repeats):
            for size in ("small", "large"):
                run = lambda size=size: prepare("folder", root / size, root / "out", workers=CORES)  # noqa: E731
                runs.setdefault(size, []).append(timed(run))
                count = few if size == "small" else large
                runs.setdefault(f"decode {size}", []).append(timed(decode_alone(root / "large", count)))
    made = rates(runs["small"], runs["large"], large - few)
    alone = rates(runs["decode small"], runs["decode large"], large - few)
    return {
        "prepare": made,
        "decode_alone": alone,
        "share_of_decode_alone_by_cpu": round(made["by_cpu"] / alone["by_cpu"], 3),
        "share_of_decode_alone_by_wall": round(made["by_wall"] / alone["by_wall"], 3),
        "whole_run_of": large,
        "whole_run_wall_s": round(min(run[0] for run in runs["large"]), 2),
    }


def memory(count: int) -> dict[str, Any]:
    """Peak resident memory for a set of phantoms, in a process of its own: of all processes together, and of each."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        command = [sys.executable, "-m", "xlip.cli", "prepare", "phantom", "--root", name, "--out", str(out)]
        command += ["--workers", str(CORES), "--options.count", str(count), "--options.size", "64"]
        before, start = os.times(), time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            highest: dict[str, float] = {"all": 0.0, "one": 0.0}
            while process.poll() is None:
                sizes = [resident_mb(one) for one in family(process.pid)]
                highest = {"all": max(highest["all"], sum(sizes)), "one": max(highest["one"], *sizes, 0.0)}
                time.sleep(0.1)
        assert process.returncode == 0
        now = os.times()
        size = sum(file.stat().st_size for file in out.iterdir())
        kept = json.loads((out / "stats.json").read_bytes())["kept"]
    return {
        "studies": kept,
        "all_processes_peak_mb": round(highest["all"]),
        "largest_process_peak_mb": round(highest["one"]),
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(sum(now[:4]) - sum(before[:4]), 1),
        "written_mb": round(size / 2**20),
    }


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # it ended meanwhile
                found += map(int, task.read_text().split())
    return found


def resident_mb(pid: int) -> float:
    """Resident memory of a process, pages that it shares with others included; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def fidelity() -> dict[str, float]:
    """How far early reduction (in the JPEG decoder) is from shrinking the full image, in gray levels."""
    from xlip.images.files import load_for_storage
    from xlip.images.square import shrink

    with tempfile.TemporaryDirectory() as name:
        images(Path(name) / "x", 1024, 20)
        gaps = []
        for file in sorted((Path(name) / "x").iterdir()):
            early = decode(load_for_storage(file, 256, lossless=True).data).astype(float)
            late = shrink(decode(file), 256).astype(float)
            gaps.append(np.abs(early - late))
    return {"mean_gray_levels": round(float(np.mean(gaps)), 3), "p99.9": round(float(np.quantile(gaps, 0.999)), 2)}


def real(data: Path, out: Path) -> list[dict[str, Any]]:
    """Prepare every real set; counts and drops."""
    rows = []
    for name, (source, folder, options) in REAL.items():
        if (data / folder).exists():
            made = prepare(source, data / folder, out / name, workers=CORES, options=options)
            keys = ("kept", "images", "reports", "pairs", "patients")
            rows.append({"set": name, **{key: getattr(made, key) for key in keys}, "dropped": dict(made.dropped)})
            assert sum(1 for _ in read_studies(out / name)) == made.kept
    return rows


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["<!-- written by bench/prepare.py -->", ""]
    lines += ["| JPEG files | prepare, studies/s by CPU (wall) | decoding alone (wall) | share by CPU (wall) |"]
    lines += ["|---|---|---|---|"]
    for name, row in result.get("speed", {}).items():
        made, alone = row["prepare"], row["decode_alone"]
        shares = row["share_of_decode_alone_by_cpu"], row["share_of_decode_alone_by_wall"]
        lines.append(
            f"| {name} | {made['by_cpu']} ({made['by_wall']}) | {alone['by_cpu']} ({alone['by_wall']}) | "
            f"{shares[0]:.0%} ({shares[1]:.0%}) |"
        )
    for title in ("memory", "fidelity"):
        if title in result:
            lines += ["", f"| {title} | value |", "|---|---|"]
            lines += [f"| {key} | {value} |" for key, value in result[title].items()]
    if "real" in result:
        heads = ("set", "kept", "images", "reports", "pairs", "patients", "dropped")
        lines += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(str(row[head]) for head in heads) + " |" for row in result["real"]]
    lines += ["", *(f"- {part}: {made_with(made)}" for part, made in result.get("made", {}).items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="full sizes, and write the figures to --out")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--repeats", type=int, help="runs of which the best counts; default: 1, full 5")
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 256], help="of the speed run's images, px")
    parser.add_argument("--only", choices=("speed", "memory", "real"), help="default: everything")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("XLIP_DATA", "../shared/data")))
    parser.add_argument("--real", type=Path, default=Path("prepared"), help="where the real sets are prepared to")
    options = parser.parse_args()
    target = options.out / "data/data_prepare.json"
    result: dict[str, Any] = json.loads(target.read_text()) if options.full and target.exists() else {}
    if options.only in (None, "memory"):
        result["memory"] = memory(STUDIES[options.full])
    if options.only in (None, "speed"):
        repeats = options.repeats or REPEATS[options.full]
        for side in options.sides:
            name = f"{side} px to 256 px"
            count = min(PIXELS[options.full] // side**2, MOST[options.full])
            result.setdefault("speed", {})[name] = speed(side, count, repeats)
        result["fidelity"] = fidelity()
    if options.only == "real" or (options.only is None and options.full):
        result["real"] = real(options.data, options.real)
    if options.full:
        parts = [options.only] if options.only else ["memory", "speed", "real"]
        result.setdefault("made", {}).update(dict.fromkeys(parts, this_run()))
        target.write_text(json.dumps(result, indent=2) + "\n")
        (options.out / "measurements/data_prepare_tables.md").write_text("# Speed of preparation\n\n" + table(result))
    print(table(result))


if __name__ == "__main__":
    main()

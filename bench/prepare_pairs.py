"""Whether `xlip prepare` is as fast as at an earlier commit: docs/data/prepare_speed.json.

Both programs prepare the same invented sets at the same moment, each in a process of its own on a core of its own, so
that whatever else the machine does slows both. What counts is the median, over the pairs, of the ratio of CPU seconds
(now / then); wall seconds stand beside it. Before the clock starts each program prepares a small part of the set, so
that imports and word lists do not count. Without `--out` the table is only printed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facts import ROOT, this_run
from xlip.phantom import generate

BASE = "4cdecfd"
"""The commit before one's own archives were read."""
BANK = 60
"""Different phantoms of a set."""
COLUMNS = {"image_column": "path", "report_column": "report", "patient_column": "patient"}
CHILD = """
import importlib.util, json, os, sys, time
source, small, large, out, options, keywords = json.loads(sys.argv[1])
if importlib.util.find_spec("xlip.preparation"):
    from xlip.preparation.run import prepare
else:
    from xlip.data.prepare import prepare
prepare(source, small, out + "-small", workers=0, options=options, **keywords)
print("ready", flush=True)
sys.stdin.readline()
cpu, wall = sum(os.times()[:4]), time.perf_counter()
made = prepare(source, large, out, workers=0, options=options, **keywords)
print(json.dumps([sum(os.times()[:4]) - cpu, time.perf_counter() - wall, made.kept]))
"""


def bank(side: int) -> list[tuple[Image.Image, str, bool]]:
    """Phantoms with film grain, their reports, and whether something is found."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(BANK):
        study = generate(index, size=min(side, 512))
        picture = Image.fromarray(study.pixels).resize((side, side), Image.Resampling.BICUBIC)
        noisy = np.asarray(picture, np.float32) + rng.normal(0, 3, (side, side)).astype(np.float32)
        made.append((Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), study.report, bool(study.findings)))
    return made


def encoded(picture: Image.Image, form: str) -> bytes:
    """A picture as the bytes of a JPEG (quality 90) or PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **({"quality": 90} if form == "JPEG" else {}))
    return buffer.getvalue()


def written(path: Path, rows: list[list[Any]]) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


def folder(root: Path, count: int, side: int, form: str) -> Path:
    """Image files alone."""
    files = [encoded(picture, form) for picture, _, _ in bank(side)]
    (root / "img").mkdir(parents=True)
    for number in range(count):
        (root / "img" / f"{number:06d}.{form.lower()}").write_bytes(files[number % BANK])
    return root / "img"


def reports_of(count: int) -> list[tuple[str, bool]]:
    """Reports whose sentences are shuffled, so that hardly two are equal, and whether something is found."""
    known = [(report, found) for _, report, found in bank(64)]
    made = []
    for number in range(count):
        report, found = known[number % BANK]
        sentences = report.rstrip(".").split(". ")
        random.Random(number).shuffle(sentences)
        made.append((". ".join(sentences) + ".", found))
    return made


def table(root: Path, count: int, side: int, form: str) -> Path:
    """Image files and a table of paths, reports, patients and labels."""
    folder(root, count, side, form)
    rows: list[list[Any]] = [["path", "report", "patient", "Effusion"]]
    for number, (report, found) in enumerate(reports_of(count)):
        rows.append([f"img/{number:06d}.{form.lower()}", report, f"p{number // 2}", int(found)])
    return written(root / "table.csv", rows)


def reports(root: Path, count: int, side: int, form: str) -> Path:
    """A table of reports without images."""
    root.mkdir(parents=True)
    rows = [["report", "patient"]]
    rows += [[report, f"p{number // 2}"] for number, (report, _) in enumerate(reports_of(count))]
    return written(root / "table.csv", rows)


def nih(root: Path, count: int, side: int, form: str) -> Path:
    """The layout of ChestX-ray14."""
    folder(root, count, side, form)
    (root / "img").rename(root / "images")
    head = [
        "Image Index",
        "Finding Labels",
        "Follow-up #",
        "Patient ID",
        "Patient Age",
        "Patient Gender",
        "View Position",
    ]
    rows: list[list[Any]] = [head]
    for number in range(count):
        name = f"{number:06d}.{form.lower()}"
        rows.append([name, "Effusion" if number % 3 else "No Finding", 0, number // 2, 57, "M", "PA"])
    written(root / "Data_Entry_2017.csv", rows)
    return root


def chexpert(root: Path, count: int, side: int, form: str) -> Path:
    """The layout of CheXpert."""
    files = [encoded(picture, form) for picture, _, _ in bank(side)]
    rows: list[list[Any]] = [["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Pleural Effusion"]]
    for number in range(count):
        inside = f"train/patient{number:05d}/study1/view1_frontal.jpg"
        (root / inside).parent.mkdir(parents=True)
        (root / inside).write_bytes(files[number % BANK])
        rows.append([f"CheXpert-v1.0-small/{inside}", "Male", 57, "Frontal", "AP", "", 1.0 if number % 3 else 0.0])
    written(root / "train.csv", rows)
    return root


def dicom(root: Path, count: int, side: int, form: str) -> Path:
    """A tree of 12-bit DICOM radiographs, a file each."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    pictures = [np.asarray(picture, np.uint16) * 16 for picture, _, _ in bank(side)]
    for number in range(count):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
        meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.9.{number}.3"
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID = f"1.2.826.0.1.9.{number}", f"1.2.826.0.1.9.{number}.2"
        data.PatientID, data.PatientName, data.AccessionNumber = f"P{number // 2}", "Phantom^One", f"A{number}"
        data.Modality, data.ViewPosition, data.StudyDate = "DX", "PA", "20200101"
        data.Rows = data.Columns = side
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.PixelData = pictures[number % BANK].tobytes()
        data["PixelData"].VR = "OW"
        path = root / f"{number // 2:04d}" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(path, data, enforce_file_format=True)
    return root


Make = Callable[[Path, int, int, str], Path]
SETS: dict[str, tuple[str, Make, int, str, int, dict[str, str]]] = {
    "folder, 1024 px JPEG": ("folder", folder, 1024, "JPEG", 400, {}),
    "folder, 256 px JPEG": ("folder", folder, 256, "JPEG", 4000, {}),
    "csv, 1024 px JPEG and reports": ("csv", table, 1024, "JPEG", 400, COLUMNS),
    "csv, 256 px PNG and reports": ("csv", table, 256, "PNG", 2000, COLUMNS),
    "csv, reports alone": ("csv", reports, 64, "PNG", 4000, {"report_column": "report", "patient_column": "patient"}),
    "nih, 1024 px PNG": ("nih", nih, 1024, "PNG", 200, {}),
    "chexpert, 320 px JPEG": ("chexpert", chexpert, 320, "JPEG", 2000, {}),
    "folder of DICOM, 1024 px": ("folder", dicom, 1024, "", 200, {}),
}
"""Name -> source, what makes the set, side in pixels, form of the files, studies, options of the source."""


def tree_of(base: str, place: Path) -> Path:
    """The sources of an earlier commit, in a folder of their own."""
    place.mkdir()
    archive = subprocess.run(["git", "archive", base, "src"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x", "-C", str(place)], input=archive, check=True)
    return place / "src"


def pair(trees: tuple[Path, Path], job: list[Any], keywords: dict[str, Any], place: Path) -> list[list[float]]:
    """CPU seconds, wall seconds and studies of both programs, then and now, which run at the same moment."""
    running = []
    for index, tree in enumerate(trees):
        extra = keywords if index else {}
        words = json.dumps([*job[:3], str(place / f"out{index}"), job[3], extra])
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", CHILD, words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, env=environment, cwd=place, **pipes))  # type: ignore[call-overload]
    for child in running:
        assert child.stdout.readline() == "ready\n"
    for child in running:
        child.stdin.write("go\n")
        child.stdin.flush()
    found = [json.loads(child.communicate()[0]) for child in running]
    for made in place.glob("out*"):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    return found


def measured(name: str, trees: tuple[Path, Path], pairs: int, most: int, keywords: dict[str, Any]) -> dict[str, Any]:
    """Ratios of one set."""
    source, make, side, form, count, options = SETS[name]
    count = min(count, most)
    with tempfile.TemporaryDirectory() as folder_name:
        place = Path(folder_name)
        small, large = make(place / "small", 20, side, form), make(place / "large", count, side, form)
        runs = [pair(trees, [source, str(small), str(large), options], keywords, place) for _ in range(pairs)]
    then, now = zip(*runs, strict=True)
    assert {run[2] for run in (*then, *now)} == {count}, "both keep every study"
    row: dict[str, Any] = {"studies": count, "pairs": pairs}
    for index, unit in enumerate(("cpu", "wall")):
        ratios = [after[index] / before[index] for before, after in runs]
        row[f"{unit}_ratio"] = round(statistics.median(ratios), 3)
        row[f"{unit}_ratio_range"] = [round(min(ratios), 3), round(max(ratios), 3)]
        row[f"{unit}_ms_per_study_then"] = round(1000 * statistics.median(run[index] for run in then) / count, 3)
        row[f"{unit}_ms_per_study_now"] = round(1000 * statistics.median(run[index] for run in now) / count, 3)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=BASE, help="the earlier commit")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--most", type=int, default=10_000, help="studies of a set at most")
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--keywords", default="{}", help="more options of `prepare` as JSON, for the program of now")
    parser.add_argument("--out", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    result: dict[str, Any] = {"base": options.base, "made": this_run(), "keywords": json.loads(options.keywords)}
    with tempfile.TemporaryDirectory() as name:
        trees = (tree_of(options.base, Path(name) / "base"), ROOT / "src")
        for wanted in options.only:
            row = measured(wanted, trees, options.pairs, options.most, result["keywords"])
            result.setdefault("sets", {})[wanted] = row
            print(f"{wanted}: {row}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

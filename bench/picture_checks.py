"""False alarms and finds of the checks of pictures (black, white, uniform, inverted, writing) on all real sets.

python bench/picture_checks.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from xlip.errors import XLIPError
from xlip.images.burned_in import text_lines
from xlip.images.files import decode
from xlip.images.gray import Gray
from xlip.images.plausible import faults, sampled
from xlip.phantom import generate

ROOT = Path(__file__).parents[1]
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ""}
SETS = {
    "covid-chestxray": "covid-chestxray-dataset/images",
    "hannover": "covid-19-image-repository",
    "nih": "nih_chestxray14_subset",
    "kermany": "kermany_chest_xray",
    "openi, squashed copies": "iu_openi/images/images_normalized",
    "openi, originals": "iu_openi/NLMCXR_png",
    "dicom samples": "dicom/chest",
}


def real(folder: Path) -> Iterator[Gray]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix.lower() in SUFFIXES:
            try:
                yield decode(file)
            except XLIPError:
                continue


def counted(images: Iterator[Gray]) -> dict[str, int]:
    """Alarms on images as they are, and finds on each inverted."""
    counts: Counter[str] = Counter()
    for image in images:
        counts["images"] += 1
        if reason := faults([sampled(image)])[0]:
            counts[reason.partition(":")[0]] += 1
        counts["writing"] += text_lines(image) > 0
        counts["inverted copies found"] += bool(faults([sampled(255 - image)])[0])
    return dict(counts)


def written(count: int) -> dict[str, int]:
    """Phantoms of 768 pixels with nothing, with a side marker, and with a name and number burned in, bright or dark."""
    counts: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    names = ("WEBERBAUER, ROSALIND", "Mr. Tobias Kjeldgaard", "MRN 7731904", "12.03.2019 08:15", "Hospital of Nowhere")
    for number in range(count):
        pixels = generate(number, seed=9, size=384).pixels
        pixels = np.asarray(Image.fromarray(pixels).resize((768, 768), Image.Resampling.BICUBIC))
        counts["phantoms"] += 1
        counts["alarms on a phantom without writing"] += text_lines(pixels) > 0
        marked = Image.fromarray(pixels)
        ImageDraw.Draw(marked).text((30, 40), str(rng.choice(["L", "R", "PA", "AP"])), fill=255, font_size=42)
        counts["alarms on a side marker"] += text_lines(np.asarray(marked)) > 0
        page = Image.fromarray(pixels)
        size, left, top = int(rng.integers(14, 34)), int(rng.integers(5, 300)), int(rng.integers(5, 720))
        local = float(np.asarray(page.crop((left, top, left + 300, top + size))).mean())
        fill = 255 if local < 140 else 0
        ImageDraw.Draw(page).text((left, top), str(rng.choice(names)), fill=fill, font_size=size)
        counts["writing found"] += text_lines(np.asarray(page)) > 0
    return dict(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--phantoms", type=int, default=200)
    options = parser.parse_args()
    result = {"burned-in writing": written(options.phantoms)}
    print(result, flush=True)
    for name, folder in SETS.items():
        result[name] = counted(real(options.data / folder))
        print(name, result[name], flush=True)
    (ROOT / "docs/data/picture_checks.json").write_text(
        json.dumps({"command": "python bench/picture_checks.py --data DATA", **result}, indent=1, sort_keys=True) + "\n"
    )


if __name__ == "__main__":
    main()

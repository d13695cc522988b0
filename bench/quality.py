"""How often the quality gate refuses frontal films, and lets pass what is none: docs/data/quality.json.

python bench/quality.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facts import ROOT, facts
from picture_checks import SETS, real
from xlip.images.familiar import left_over
from xlip.images.gray import Gray
from xlip.images.view_classifier import inputs, view_probabilities
from xlip.phantom import generate
from xlip.runtime.quality import STRANGEST, judge

SIDE = 256


def films(data: Path, most: int) -> Iterator[tuple[str, list[Gray]]]:
    for name, folder in SETS.items():
        found = []
        for image in real(data / folder):
            found.append(image)
            if len(found) == most:
                break
        yield name, found
    yield "phantom", [generate(index, seed=9, size=128).pixels for index in range(min(most, 300))]


def strangers(rng: np.random.Generator) -> Iterator[tuple[str, list[Gray]]]:
    """Pictures that are no radiographs."""
    from sklearn.datasets import load_digits, load_sample_images

    grid = np.mgrid[0:SIDE, 0:SIDE]
    yield "noise", [rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8) for _ in range(50)]
    yield "stripes", [stripes(grid[index % 2], 2 + index) for index in range(50)]
    yield "ramps", [ramp(grid, angle) for angle in np.linspace(0, 6.2, 50)]
    yield "clouds", [clouds(rng) for _ in range(50)]
    yield "pages of text", [page(index) for index in range(50)]
    photos = [np.asarray(Image.fromarray(one).convert("L")) for one in load_sample_images().images]
    yield "parts of photographs", [part(one, rng) for one in photos for _ in range(50)]
    yield "digits", [enlarged(one) for one in load_digits().images[:100]]


def fit(data: Path, count: int = 40, each: int = 400) -> None:
    """The file of `xlip.images.familiar`: of each set as many films, so that none counts for more."""
    rng, rows = np.random.default_rng(0), []
    for name, images in films(data, 800):
        if name not in ("openi, originals", "dicom samples"):  # too few to be a set of their own: they stay held out
            frontal = [inputs(one) for one in images if view_probabilities(one)["frontal"] > 0.9]
            rows.append(np.stack(frontal)[rng.permutation(len(frontal))[:each]])
    x = np.concatenate(rows)
    mean = x.mean(0)
    patterns = np.linalg.svd(x - mean, full_matrices=False)[2][:count]
    np.savez_compressed(
        ROOT / "src/xlip/images/familiar.npz", mean=mean.astype(np.float16), patterns=patterns.astype(np.float16)
    )
    print(f"{count} patterns of {len(x)} films")


def held_out(data: Path, count: int = 40, each: int = 400) -> dict[str, float]:
    """Share of the films of each set above the limit, by patterns of the other sets."""
    sets = {}
    for name, images in films(data, each):
        frontal = [inputs(one) for one in images if view_probabilities(one)["frontal"] > 0.9]
        sets[name] = np.stack(frontal)
    result = {}
    for name, x in sets.items():
        others = np.concatenate([one for other, one in sets.items() if other != name])
        mean = others.mean(0)
        patterns = np.linalg.svd(others - mean, full_matrices=False)[2][:count]
        result[name] = round(float((left_over(x, mean, patterns) > STRANGEST).mean()), 4)
    return result


def stripes(along: np.ndarray, width: int) -> Gray:
    return ((along % width) * (255 / (width - 1))).astype(np.uint8)


def ramp(grid: np.ndarray, angle: float) -> Gray:
    value = np.cos(angle) * grid[0] + np.sin(angle) * grid[1]
    return ((value - value.min()) / np.ptp(value) * 255).astype(np.uint8)


def clouds(rng: np.random.Generator) -> Gray:
    small = Image.fromarray(rng.integers(0, 255, (6, 6), dtype=np.uint8))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def page(index: int) -> Gray:
    image = Image.new("L", (SIDE, SIDE), 255 if index % 2 else 0)
    words = "Lorem ipsum dolor sit amet consectetur"
    for line in range(4, SIDE, 12):
        ImageDraw.Draw(image).text((4 + (line * index) % 60, line), words, fill=0 if index % 2 else 255)
    return np.asarray(image)


def part(photo: Gray, rng: np.random.Generator) -> Gray:
    top, left = (int(rng.integers(0, side - SIDE)) for side in photo.shape)
    return photo[top : top + SIDE, left : left + SIDE]


def enlarged(digit: np.ndarray) -> Gray:
    return np.asarray(Image.fromarray((digit * 15).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def counted(images: list[Gray], view: str = "", change: Callable[[Gray], Gray] = np.asarray) -> dict[str, int]:
    reasons = Counter(judge(change(image), view).partition(":")[0] or "kept" for image in images)
    return {"images": len(images), **dict(sorted(reasons.items()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--most", type=int, default=1100, help="images of each set")
    parser.add_argument("--fit", action="store_true", help="first make the patterns of films anew")
    options = parser.parse_args()
    if options.fit:
        fit(options.data)
    result: dict[str, object] = {"command": "python bench/quality.py --data DATA", **facts()}
    result["films refused by patterns of the other sets"] = held_out(options.data)
    for name, images in films(options.data, options.most):
        turned = counted(images, change=lambda image: np.ascontiguousarray(np.rot90(image)))
        inverted = counted(images, change=lambda image: 255 - image)
        result[name] = {
            "nothing said": counted(images),
            "said to be PA": counted(images, "PA"),
            "inverted": inverted,
            "turned": turned,
        }
        print(name, result[name], flush=True)
    for name, images in strangers(np.random.default_rng(0)):
        result[name] = {"nothing said": counted(images), "said to be PA": counted(images, "PA")}
        print(name, result[name], flush=True)
    (ROOT / "docs/data/quality.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Make and measure the shipped view classifier and the model of inverted pictures.

Their errors: `docs/data/view_classifier.json`.

Frontal: the real sets and phantoms. Lateral: the laterals of covid-chestxray-dataset and of Open-i. Other: turned and
cut frontal images, phantoms that are turned, DICOM test images, pages of text, gradients and noise. Five folds by
patient for the real images; the shipped weights are trained on all.

    python bench/view_classifier.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from xlip.errors import XLIPError
from xlip.images.files import decode
from xlip.images.gray import Gray
from xlip.images.plausible import sampled, samples_of, standardised
from xlip.images.view_classifier import CLASSES, inputs
from xlip.phantom import generate

HIDDEN, FOLDS, CERTAIN = 16, 5, 0.9
ROOT = Path(__file__).parents[1]
Item = tuple[str, str, int, Gray]
"""Set, patient, class, picture."""


def covid(data: Path) -> Iterator[Item]:
    folder = data / "covid-chestxray-dataset"
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            label = {"L": 1, "PA": 0, "AP": 0, "AP Supine": 0}.get(row["view"])
            file = folder / "images" / row["filename"]
            if label is not None and file.is_file():
                yield "covid-chestxray", row["patientid"], label, decode(file)


def openi(data: Path) -> Iterator[Item]:
    folder = data / "iu_openi"
    with (folder / "indiana_projections.csv").open(encoding="utf-8") as stream:
        projections = {row["filename"].removesuffix(".png"): row["projection"] for row in csv.DictReader(stream)}
    for file in sorted((folder / "images" / "images_normalized").iterdir())[::3]:
        name = file.name.removesuffix(".png").removesuffix(".jpg")
        if name in projections:
            yield "openi", name.split("_")[0], int(projections[name] == "Lateral"), decode(file)
    # The NLM copies are the same images under other names.
    for file in sorted((folder / "images" / "images_normalized").glob("*.png")):
        name = file.name.removesuffix(".png")
        if projections.get(name) == "Lateral":
            yield "openi", name.split("_")[0], 1, decode(file)


def frontal_sets(data: Path) -> Iterator[Item]:
    with (data / "nih_chestxray14_subset" / "Data_Entry_2017_v2020.csv").open(encoding="utf-8") as stream:
        patients = {row["Image Index"]: row["Patient ID"] for row in csv.DictReader(stream)}
    for file in sorted((data / "nih_chestxray14_subset").rglob("*.png")):
        if file.name in patients:
            yield "nih", patients[file.name], 0, decode(file)
    for file in sorted((data / "kermany_chest_xray").rglob("*.jpeg"))[::5]:
        yield "kermany", file.stem.split("-")[0], 0, decode(file)
    for file in sorted((data / "covid-19-image-repository").rglob("*.png")):
        yield "hannover", file.stem, 0, decode(file)


def phantoms(count: int) -> Iterator[Item]:
    for number in range(count):
        pixels = generate(number, seed=5, size=96).pixels
        yield "phantom", str(number), 0, pixels
        yield "phantom turned", str(number), 2, np.ascontiguousarray(np.rot90(pixels, 1 + number % 3))


def others(items: list[Item], rng: np.random.Generator) -> Iterator[Item]:
    """Pictures that are no view of a chest: each fifth real frontal one turned, and a small part of it; drawn ones."""
    for number, (_, patient, label, pixels) in enumerate(items):
        if label == 0 and number % 5 == 0:
            turned = np.ascontiguousarray(np.rot90(pixels, int(rng.integers(1, 4))))
            yield "turned", patient, 2, turned
            height, width = pixels.shape
            top, left = int(rng.integers(0, height * 3 // 4)), int(rng.integers(0, width * 3 // 4))
            yield "part", patient, 2, np.ascontiguousarray(pixels[top : top + height // 4, left : left + width // 4])
    for number in range(400):
        yield "drawn", f"drawn{number}", 2, drawn(rng, number)


def drawn(rng: np.random.Generator, number: int) -> Gray:
    """A page of text, a gradient, discs, or noise."""
    side = 128
    if number % 4 == 0:
        page = Image.new("L", (side, side), int(rng.integers(0, 2)) * 255)
        ink = 255 - page.getpixel((0, 0))  # type: ignore[operator]
        for line in range(0, side, 12):
            ImageDraw.Draw(page).text((4, line), "".join(rng.choice(list("abcdefgh 0123"), 18)), fill=ink)
        return np.asarray(page)
    y, x = np.mgrid[0:side, 0:side] / side
    if number % 4 == 1:
        field = np.cos(rng.uniform(-3, 3) * x + rng.uniform(-3, 3) * y + rng.uniform(0, 6))
    elif number % 4 == 2:
        field = sum(
            rng.uniform(0.3, 1)
            * (np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8)) < rng.uniform(0.1, 0.4))
            for _ in range(3)
        )
    else:
        field = rng.normal(size=(side, side))
    low, high = field.min(), field.max()
    return np.round((field - low) / max(high - low, 1e-6) * 255).astype(np.uint8)


def changed(pixels: Gray, rng: np.random.Generator) -> Gray:
    """Cut, mirrored, of another contrast, on another border, as other machines and exports would make it."""
    height, width = pixels.shape
    top, bottom, left, right = (int(rng.uniform(0, 0.1) * side) for side in (height, height, width, width))
    image = pixels[top : height - bottom, left : width - right]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    image = (255 * (image / 255.0) ** rng.uniform(0.6, 1.6)).astype(np.uint8)
    if rng.random() < 0.3:
        rim = int(rng.integers(1, max(2, min(image.shape) // 8)))
        image = np.pad(image, rim)
    stretch = rng.uniform(0.85, 1.18)
    size = (max(8, round(image.shape[1] * stretch)), image.shape[0])
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size))


def fitted(items: list[Item], seed: int) -> MLPClassifier:
    """The network, trained on the images and on changed copies: as many of each class."""
    rng = np.random.default_rng(seed)
    counts = [sum(label == wanted for *_, label, _ in items) for wanted in range(3)]
    rows, labels = [], []
    for *_, label, pixels in items:
        rows.append(inputs(pixels))
        labels.append(label)
        copies = min(60, round(1.2 * max(counts) / max(counts[label], 1)))
        rows += [inputs(changed(pixels, rng)) for _ in range(copies)]
        labels += [label] * copies
    network = MLPClassifier((HIDDEN,), alpha=0.02, learning_rate_init=2e-3, max_iter=40, random_state=seed)
    return network.fit(np.stack(rows), np.array(labels))


def measured(items: list[Item]) -> dict[str, Any]:
    """Confusion of images whose patient was not trained on, by set, and how many frontal ones would be taken."""
    fold = np.array([hash_of(patient) % FOLDS for _, patient, *_ in items])
    found = np.zeros((len(items), 3))
    x = np.stack([inputs(pixels) for *_, pixels in items])
    for number in range(FOLDS):
        network = fitted([item for item, own in zip(items, fold, strict=True) if own != number], number)
        found[fold == number] = network.predict_proba(x[fold == number])
    table: dict[str, Any] = {}
    for (name, _, label, _), chances in zip(items, found, strict=True):
        row = table.setdefault(f"{name}: {CLASSES[label]}", {"images": 0, **dict.fromkeys(CLASSES, 0), "taken": 0})
        row["images"] += 1
        row[CLASSES[int(chances.argmax())]] += 1
        row["taken"] += int(chances[0] >= CERTAIN)
    return table


def hash_of(text: str) -> int:
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text)) * 2654435761 >> 8


def inverted(items: list[Item]) -> tuple[np.ndarray, dict[str, Any]]:
    """Weights of the linear model of inverted pictures, and its errors on sets that it was not trained on."""
    rows = standardised(samples_of([sampled(pixels) for *_, pixels in items]))
    names = np.array([name for name, *_ in items])

    def weights(x: np.ndarray) -> np.ndarray:
        both, truth = np.concatenate([x, -x]), np.repeat([1, 0], len(x))
        return LogisticRegression(C=0.003, fit_intercept=False, max_iter=500).fit(both, truth).coef_[0]

    table = {}
    for name in sorted(set(names)):
        scores = rows[names == name] @ weights(rows[names != name])
        table[name] = {
            "images": len(scores),
            **{f"below -{limit}": int((scores < -limit).sum()) for limit in (0, 2, 3, 4, 6)},
            **{f"inverted found at -{limit}": int((scores > limit).sum()) for limit in (0, 2, 3, 4, 6)},
        }
    return weights(rows), table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    data = parser.parse_args().data
    real = [*covid(data), *openi(data), *frontal_sets(data)]
    print(len(real), "real images", flush=True)
    made = list(phantoms(150))
    upright, inversion = inverted([item for item in real + made if item[2] < 2])
    np.savez_compressed(ROOT / "src/xlip/images/upright.npz", upright=upright.astype(np.float16))
    print(json.dumps(inversion, indent=1), flush=True)
    items = [*real, *made, *others(real, np.random.default_rng(0))]
    for file in sorted((data / "dicom").glob("*/*")):
        try:
            items.append(("dicom samples", file.name, 0 if file.parent.name == "chest" else 2, decode(file)))
        except XLIPError as error:
            print(error)
    table = measured(items)
    network = fitted(items, 0)
    (first, second), (bias, out) = network.coefs_, network.intercepts_
    arrays = {"first": first, "bias": bias, "second": second, "out": out}
    target = ROOT / "src/xlip/images/view_classifier.npz"
    np.savez_compressed(target, **{name: array.astype(np.float16) for name, array in arrays.items()})
    result = {
        "folds": FOLDS,
        "certain": CERTAIN,
        "bytes": target.stat().st_size,
        "held out": table,
        "inverted, on sets not trained on": inversion,
    }
    (ROOT / "docs/data/view_classifier.json").write_text(
        json.dumps({"command": "python bench/view_classifier.py --data DATA", **result}, indent=1, sort_keys=True)
        + "\n"
    )
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()

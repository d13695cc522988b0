"""How well and how fast `xlip audit` finds copies.

Writes docs/data/data_audit.json and docs/measurements/data_audit_tables.md.

Recall and false alarms on the real sets (prepared folders under --prepared, made by `bench/prepare.py --real`), speed
on 100,000 against 25,000 made-up images. The machine may be busy: CPU time stands beside wall time. Without `--full`
everything is small and quick and the tables are only printed; the figures in docs come from `--full`.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facts import made_with, this_run
from xlip.audit.candidates import candidates
from xlip.audit.index import SetPart, build_index
from xlip.audit.match import confirmed
from xlip.audit.phash import ALIKE, CANDIDATE, POSES, SAME, same_picture, signatures, thumbs, upright_signatures
from xlip.images.files import decode, encode
from xlip.phantom import generate
from xlip.preparation.splits.rule import by_hash
from xlip.study.parquet import read_studies, write_studies
from xlip.study.record import Study

Array = np.ndarray[Any, Any]
SETS = ("nih", "kermany", "covid-chestxray", "hannover")
SAMPLE = {False: 20, True: 400}
"""Images of each set that are copied in every way, in a quick and in a full run."""
SIZES = {False: (4000, 1000, 100), True: (100_000, 25_000, 1_000)}
"""Training images, test images, copies among the test images of the speed run."""
SEED, MARGIN = 0, 0.02
"""Of the half that the threshold is chosen on; what is added to the highest correlation of strangers seen there."""


def jpeg(image: Array, rng: np.random.Generator) -> Array:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(20, 60)))
    return np.asarray(Image.open(buffer))


def resized(image: Array, rng: np.random.Generator) -> Array:
    scale = rng.uniform(0.45, 1.5)
    size = (int(image.shape[1] * scale), int(image.shape[0] * scale * rng.uniform(0.97, 1.03)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def squashed(image: Array, rng: np.random.Generator) -> Array:
    return np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))


def turned(image: Array, rng: np.random.Generator) -> Array:
    return np.asarray(Image.fromarray(image).rotate(rng.uniform(-5, 5), Image.Resampling.BICUBIC))


def turned_wider(image: Array, rng: np.random.Generator) -> Array:
    return np.asarray(Image.fromarray(image).rotate(rng.uniform(-5, 5), Image.Resampling.BICUBIC, expand=True))


def gamma(image: Array, rng: np.random.Generator) -> Array:
    return (255 * (image / 255.0) ** rng.uniform(0.7, 1.4)).astype(np.uint8)


def padded(image: Array, rng: np.random.Generator) -> Array:
    height, width = image.shape
    side = max(height, width) + 20
    made = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    made[top : top + height, left : left + width] = image
    return made


def cropped(image: Array, rng: np.random.Generator) -> Array:
    height, width = image.shape
    cut = rng.uniform(0, 0.03, 4)
    return image[
        int(height * cut[0]) : height - int(height * cut[1]), int(width * cut[2]) : width - int(width * cut[3])
    ]


def everything(image: Array, rng: np.random.Generator) -> Array:
    return jpeg(resized(turned(image, rng), rng), rng)


COPIES: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "re-compressed (JPEG 20 to 60)": jpeg,
    "resized (0.45 to 1.5 x, aspect 3 % off)": resized,
    "squashed to 224 x 224": squashed,
    "rotated (up to 5 degrees)": turned,
    "rotated on a wider canvas (up to 5 degrees)": turned_wider,
    "rotated, resized and re-compressed": everything,
    "gamma (0.7 to 1.4)": gamma,
    "padded to a square": padded,
    "cropped (up to 3 % each side)": cropped,
}


def recall(prepared: Path, sample: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Share of the copies of each kind, per set, that both steps accept."""
    table: dict[str, dict[str, float]] = {name: {} for name in COPIES}
    for set_ in SETS:
        images = [decode(study.image) for study in read_studies(prepared / set_) if study.image]
        chosen = [images[i] for i in rng.permutation(len(images))[:sample]]
        for name, copy in COPIES.items():
            table[name][set_] = round(float(np.mean([_found(image, copy(image, rng)) for image in chosen])), 4)
    return table


def _found(first: Array, second: Array) -> bool:
    rows = upright_signatures(thumbs(first))
    cosines = (signatures(thumbs(second)) @ rows.T).max(1)
    return bool(cosines.max() >= CANDIDATE) and same_picture(first, second, POSES[int(cosines.argmax())]) >= SAME


@dataclass(frozen=True)
class Stranger:
    """Two pictures of different patients that are at least `ALIKE`."""

    sets: tuple[str, str]
    train: str
    test: str
    score: float


def strangers(prepared: Path) -> tuple[list[dict[str, Any]], list[Stranger], dict[str, list[str]]]:
    """Every set against every set: a row for each pair of sets, the strangers that look alike, the ids of each set."""
    train = {name: build_index(SetPart(prepared / name), posed=False, prefer="", workers=2) for name in SETS}
    test = {name: build_index(SetPart(prepared / name), posed=True, prefer="", workers=2) for name in SETS}
    rows, close = [], []
    for first, second in product(SETS, SETS):
        one, two = train[first], test[second]
        pairs = [c for c in candidates(one, two, workers=2) if one.patients[c.train] != two.patients[c.test]]
        found = [Stranger((first, second), i.train, i.test, i.score) for i in confirmed(one, two, pairs, 2)]
        close += found
        rows.append(
            {
                "train": first,
                "test": second,
                "pairs": len(one.ids) * len(two.ids),
                "test_images": len(two.ids),
                "close_signatures": len(pairs),
                "called_same": sum(item.score >= SAME for item in found),
                "called_alike": sum(item.score < SAME for item in found),
                "highest_correlation": max((item.score for item in found), default=None),
            }
        )
    return rows, close, {name: index.ids for name, index in test.items()}


def chosen_half(study_id: str) -> bool:
    """Whether an image is in the half that the threshold is chosen on: a hash of its id and of the seed."""
    return by_hash(study_id, SEED, 0.5)


def halves(close: list[Stranger], ids: dict[str, list[str]]) -> dict[str, Any]:
    """The threshold that one half of the images asks for, and the false alarms among those of the other half.

    The rule: `MARGIN` above the highest correlation of strangers that both are in the first half, rounded up to 0.01.
    """
    counts = {part: {n: sum(chosen_half(i) == part for i in ids[n]) for n in SETS} for part in (True, False)}
    inside = {part: [c for c in close if chosen_half(c.train) == chosen_half(c.test) == part] for part in counts}
    highest = max((item.score for item in inside[True]), default=ALIKE)
    threshold = math.ceil(round((highest + MARGIN) * 100, 6)) / 100
    result: dict[str, Any] = {
        "seed": SEED,
        "images_of_the_half_chosen_on": sum(counts[True].values()),
        "highest_correlation_there": highest,
        "threshold_it_asks_for": threshold,
        "threshold_in_use": SAME,
        "images_of_the_other_half": sum(counts[False].values()),
        "pairs_of_the_other_half": sum(counts[False].values()) ** 2,
        "highest_correlation_of_the_other_half": max((item.score for item in inside[False]), default=None),
    }
    for name, level in (("asked_for", threshold), ("in_use", SAME)):
        wrong = [item for item in inside[False] if item.score >= level]
        images, pairs = len({item.test for item in wrong}), len(wrong)
        result |= {
            f"false_alarms_at_the_threshold_{name}": pairs,
            f"a_pair_{name}": pairs / result["pairs_of_the_other_half"],
            f"an_image_{name}": images / result["images_of_the_other_half"],
        }
    # None of n: the rate that would still show none with a chance of 5 %.
    result["upper_bound_an_image_where_none_is_seen"] = round(1 - 0.05 ** (1 / result["images_of_the_other_half"]), 6)
    return result


def speed(folder: Path, train: int, test: int, planted: int) -> dict[str, Any]:
    """Seconds for an audit of made-up images, and what it found of the planted copies."""
    if not (folder / "train").exists():
        _make(folder, train, test, planted)
    usage, start = os.times(), time.perf_counter()
    marks: dict[str, float] = {}
    one = build_index(SetPart(folder / "train"), posed=False, prefer="", workers=2)
    two = build_index(SetPart(folder / "test"), posed=True, prefer="", workers=2)
    marks["hashing"] = time.perf_counter() - start
    pairs = candidates(one, two, workers=2)
    marks["comparing"] = time.perf_counter() - start - marks["hashing"]
    found = [item for item in confirmed(one, two, pairs, 2) if item.kind == "picture"]
    wall = time.perf_counter() - start
    marks["looking closely"] = wall - marks["hashing"] - marks["comparing"]
    now = os.times()
    right = {item.test for item in found if item.train.split("/")[1] == item.test.split("/")[1]}
    return {
        "train": len(one.ids),
        "test": len(two.ids),
        "wall_s": round(wall, 1),
        "cpu_s": round(sum(now[:4]) - sum(usage[:4]), 1),
        "wall_s_by_step": {name: round(seconds, 1) for name, seconds in marks.items()},
        "close_pairs": len(pairs),
        "planted": planted,
        "planted_found": len(right),
        "others_called_same": sum(item.train.split("/")[1] != item.test.split("/")[1] for item in found),
        "test_images_falsely_called": len({i.test for i in found if i.train.split("/")[1] != i.test.split("/")[1]}),
    }


def _make(folder: Path, train: int, test: int, planted: int) -> None:
    """Images of 256 pixels: blends of phantoms under random warps; some test images are changed training images."""
    from concurrent.futures import ProcessPoolExecutor

    jobs = [(folder / "train" / f"part-{n:03d}.parquet", n * 2000, min(2000, train - n * 2000), 0)
            for n in range(-(-train // 2000))]  # fmt: skip
    jobs += [(folder / "test" / f"part-{n:03d}.parquet", 10**6 + n * 2000, min(2000, test - n * 2000),
              planted if n == 0 else 0) for n in range(-(-test // 2000))]  # fmt: skip
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_make_file, jobs))


def _make_file(job: tuple[Path, int, int, int]) -> None:
    path, first, count, planted = job
    bank = [generate(index, size=256).pixels.astype(np.float32) for index in range(160)]
    studies = []
    for number in range(first, first + count):
        copied = number - first < planted
        index = number - first if copied else number
        image = _blend(bank, index)
        if copied:
            image = everything(image, np.random.default_rng(index))
        studies.append(Study(f"x/{index}/{number}", f"x/{number}", "x", image=encode(image)))
    write_studies(studies, path)


def _blend(bank: list[Array], index: int) -> Array:
    rng = np.random.default_rng(index)
    first, second = rng.choice(len(bank), 2, replace=False)
    matrix = (1 + rng.uniform(-0.12, 0.12), rng.uniform(-0.1, 0.1), rng.uniform(-20, 20),
              rng.uniform(-0.1, 0.1), 1 + rng.uniform(-0.12, 0.12), rng.uniform(-20, 20))  # fmt: skip
    other = Image.fromarray(bank[second]).transform(
        (256, 256), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    share = rng.uniform(0.35, 0.65)
    picture = Image.fromarray(share * bank[first] + (1 - share) * np.asarray(other))
    matrix = (1 + rng.uniform(-0.12, 0.12), rng.uniform(-0.1, 0.1), rng.uniform(-20, 20),
              rng.uniform(-0.1, 0.1), 1 + rng.uniform(-0.12, 0.12), rng.uniform(-20, 20))  # fmt: skip
    moved = picture.transform((256, 256), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.clip(np.asarray(moved), 0, 255).astype(np.uint8)


def tables(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["<!-- written by bench/audit.py -->"]
    if "recall" in result:
        lines += ["", f"Recall of copies ({SAMPLE[True]} images a set, fewer where the set is smaller):", ""]
        rows = [[name, *(f"{row[s]:.4f}" for s in SETS)] for name, row in result["recall"].items()]
        lines += markdown(["copy", *SETS], rows)
    if "halves" in result:
        lines += ["", "Threshold chosen on one half of the real images, false alarms of the other half:", ""]
        lines += markdown(["", "value"], [[n.replace("_", " "), v] for n, v in result["halves"].items()])
    if "false_alarms" in result:
        lines += ["", f"Different patients, all real images (same: correlation >= {SAME}; alike: >= {ALIKE}):", ""]
        keys = ("train", "test", "pairs", "close_signatures", "called_same", "called_alike", "highest_correlation")
        rows = [["-" if row[key] is None else row[key] for key in keys] for row in result["false_alarms"]]
        lines += markdown([key.replace("_", " ") for key in keys], rows)
    if "speed" in result:
        lines += ["", *markdown(["speed", "value"], [[name, value] for name, value in result["speed"].items()])]
    lines += ["", *(f"- {part}: {made_with(made)}" for part, made in result.get("made", {}).items())]
    return "\n".join(lines) + "\n"


def markdown(head: list[str], rows: list[list[Any]]) -> list[str]:
    """A Markdown table."""
    body = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="full sizes, and write the figures to --out")
    parser.add_argument(
        "--prepared", type=Path, default=Path("prepared"), help="what bench/prepare.py --only real made"
    )
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--speed", action="store_true", help="seconds for made-up images")
    parser.add_argument("--recall", action="store_true", help="copies of real images that are found")
    parser.add_argument("--alarms", action="store_true", help="strangers among the real images that are called copies")
    parser.add_argument("--images", type=Path, help="folder that keeps the made-up images for the next time")
    options = parser.parse_args()
    every = not (options.recall or options.alarms or options.speed)
    target = options.out / "data/data_audit.json"
    result: dict[str, Any] = json.loads(target.read_text()) if options.full and target.exists() else {}
    there = options.prepared.is_dir()
    if options.recall or (every and there):
        result["recall"] = recall(options.prepared, SAMPLE[options.full], np.random.default_rng(0))
    if options.alarms or (every and there and options.full):
        result["false_alarms"], close, ids = strangers(options.prepared)
        result["halves"] = halves(close, ids)
    if options.speed or every:
        with tempfile.TemporaryDirectory() as folder:
            result["speed"] = speed(options.images or Path(folder), *SIZES[options.full])
    if options.full:
        chosen = [part for part in ("recall", "alarms", "speed") if every or getattr(options, part)]
        result.setdefault("made", {}).update(dict.fromkeys(chosen, this_run()))
        target.write_text(json.dumps(result, indent=2) + "\n")
        (options.out / "measurements/data_audit_tables.md").write_text("# Figures of the audit\n\n" + tables(result))
    print(tables(result))


if __name__ == "__main__":
    main()

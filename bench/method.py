"""The pictures of docs/method.md from a run: maps, masks as training goes on, reconstructions, recovered words.

`python bench/method.py` draws them with the model that comes with the package, `--run demo/xlip` with that of a run. It
writes docs/method/*.webp and the table of words between the marks of docs/method.md. Phantoms only.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image

from facts import ROOT
from xlip.evaluate.interaction_run import attmim_of
from xlip.identity import checkpoint_id
from xlip.models.loading import load_checked
from xlip.pages.interaction_pictures import (
    WORDS_HEADER,
    examples,
    maps,
    masks,
    reconstructions,
    recovered_words,
)
from xlip.shipped import model_place

SEED = 1_000_003
SHARES = (0.0, 0.5, 1.0)
SHOWN = 4
SCALE = 0.72
LARGEST = 60_000
"""Bytes of a picture."""
MARKS = ("<!-- words: written by `python bench/method.py` -->", "<!-- end of words -->")
PAGE = ROOT / "docs" / "method.md"


def compact(picture: bytes) -> bytes:
    """The picture with fewer pixels: pages show it no wider than that, and the repository keeps it."""
    image = Image.open(io.BytesIO(picture))
    image = image.resize((round(image.width * SCALE), round(image.height * SCALE)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "webp", quality=75, method=6)
    return buffer.getvalue()


def words_of(rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown of what was hidden and what came back."""
    lines = [WORDS_HEADER, ["---"] * len(WORDS_HEADER), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()) for cell in row) + " |" for row in lines)


def with_words(page: str, table: str, checkpoint: str) -> str:
    """The page with another table between its marks."""
    before, rest = page.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    said = f"Pictures and words are of the checkpoint `{checkpoint}`, on phantoms that it never saw."
    return f"{before}{MARKS[0]}\n{table}\n\n{said}\n{MARKS[1]}{after}"


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="phantom")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "method")
    options = parser.parse_args()
    place = str(model_place(options.run))
    model, attmim = load_checked(place), attmim_of(place)
    options.out.mkdir(parents=True, exist_ok=True)
    few = examples(model, seed=SEED, start=0, count=1)[:SHOWN]
    two = [few[0], few[2]]
    pictures = {
        "maps": maps(model, few),
        "masks": masks(model, two, attmim, SHARES, SEED),
        "reconstructions": reconstructions(model, two, attmim, SEED),
    }
    for name, picture in ((name, compact(picture)) for name, picture in pictures.items()):
        if len(picture) > LARGEST:
            raise SystemExit(f"{name}.webp: {len(picture)} bytes, at most {LARGEST} are kept in the repository")
        (options.out / f"{name}.webp").write_bytes(picture)
    table = words_of(recovered_words(model, two))
    PAGE.write_text(with_words(PAGE.read_text("utf-8"), table, checkpoint_id(place)), "utf-8")


if __name__ == "__main__":
    main()

"""The figures of docs/method.md from a run: maps, masks as training goes on, reconstructions, recovered words.

`python bench/method.py --run demo/xlip` writes docs/method/*.webp and docs/method/words.md; phantoms only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from xlip.evaluate.interaction_run import attmim_of
from xlip.models.loading import load_checked
from xlip.pages.interaction_pictures import (
    WORDS_HEADER,
    examples,
    maps,
    masks,
    reconstructions,
    recovered_words,
)

SEED = 1_000_003
SHARES = (0.0, 0.33, 0.67, 1.0)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--out", default="docs/method")
    options = parser.parse_args()
    out, model, attmim = Path(options.out), load_checked(options.run), attmim_of(options.run)
    out.mkdir(parents=True, exist_ok=True)
    two = examples(model, seed=SEED, start=0, count=2)
    four = examples(model, seed=SEED, start=0, count=1)[:4]
    pictures = {
        "maps": maps(model, two),
        "masks": masks(model, four, attmim, SHARES, SEED),
        "reconstructions": reconstructions(model, four, attmim, SEED),
    }
    for name, picture in pictures.items():
        (out / f"{name}.webp").write_bytes(picture)
    rows = [WORDS_HEADER, ["---"] * len(WORDS_HEADER), *recovered_words(model, four)]
    lines = ["| " + " | ".join(" ".join(cell.split()) for cell in row) + " |" for row in rows]
    (out / "words.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

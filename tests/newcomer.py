"""Run by `newcomer.sh` in an environment that holds nothing but the wheel: what a newcomer tries first."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

XLIP = str(Path(sys.executable).parent / "xlip")
PYTHON_OF_THE_README = """
from xlip import XLIPModel, evaluate_zero_shot

model = XLIPModel.from_pretrained("phantom")
images = model.encode_image(["chest.png", "other.png"])
texts = model.encode_text(["pleural effusion", "no pleural effusion"])
print((images @ texts.T * model.logit_scale_exp()).softmax(-1)[:, 0].tolist())
result = evaluate_zero_shot(model, "films", kinds="Effusion")
print(result.macro_auroc)
"""


def run(*words: str) -> str:
    start = time.monotonic()
    done = subprocess.run([XLIP, *words], capture_output=True, text=True, check=False)
    print(f"xlip {' '.join(words)}: {time.monotonic() - start:.0f} s", flush=True)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def without_torch() -> None:
    """What needs no torch."""
    assert "exit codes" in run("--help")
    run("doctor", "--command", "prepare")
    run("doctor", "--command", "serve")
    run("prepare", "phantom", "--out", "films", "--options.count", "60", "--options.size", "128", "--workers", "0")
    assert Path("films/croissant.json").is_file()
    run("tag", "films", "--out", "tags.parquet")
    run("inspect", "films", "--limit", "1")
    from xlip import ExportedModel
    from xlip.phantom import generate

    model = ExportedModel.open("phantom")
    texts = model.encode_texts(["pleural effusion", "no pleural effusion"])
    phantoms = [generate(number, seed=77, size=128) for number in range(40)]
    margins: dict[bool, list[float]] = {True: [], False: []}
    for one in phantoms:
        close = model.encode_squares(one.pixels[None]) @ texts.T
        margins[bool(one.labels["Effusion"])].append(float(close[0, 0] - close[0, 1]))
    assert min(map(len, margins.values())) > 0
    means = {has: sum(values) / len(values) for has, values in margins.items()}
    assert means[True] > means[False], means
    assert "torch" not in sys.modules


def main() -> None:
    import xlip

    assert Path(xlip.__file__).is_relative_to(sys.prefix), f"{xlip.__file__} is not that of the wheel"
    if sys.argv[1:] == ["--no-torch"]:
        without_torch()
        return
    run("doctor")
    run("prepare", "phantom", "--out", "films", "--options.count", "60", "--options.size", "128", "--workers", "0")
    from xlip.images.files import encode
    from xlip.phantom import generate

    for name, number in (("chest.png", 3), ("other.png", 4)):
        Path(name).write_bytes(encode(generate(number, size=128).pixels))
    run("zeroshot", "--model", "phantom", "--data", "films", "--out", "results", "--replicates", "50")
    card = Path("results/README.md").read_text("utf-8")
    assert "phantoms alone" in card, "the card does not say what the model knows"
    run("explain", "chest.png", "--model", "phantom", "--kinds", "Effusion", "--out", "maps")
    run("embed", "--model", "phantom", "--data", "films", "--out", "index", "--workers", "0")
    found = json.loads(run("search", "index", "--text", "left pleural effusion", "--json"))
    assert len(found["tables"][0]["rows"]) > 3, found
    done = subprocess.run([sys.executable, "-c", PYTHON_OF_THE_README], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout, flush=True)
    said = run("demo", "--quick", "--out", "demo")
    assert "not for quoting" in said
    assert "not for quoting" in Path("demo/index.html").read_text("utf-8")


if __name__ == "__main__":
    main()

"""Write the checkpoint that comes with the package, `src/xlip/shipped/phantom`, from a run of `xlip demo`.

    make demo
    python bench/phantom_checkpoint.py --demo demo

The weights are those of the run, to the bit; the card has the figures of an evaluation on the demo's held-out phantoms.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from facts import ROOT
from xlip.cli import main as xlip
from xlip.files import whole_folder, write_json, write_whole
from xlip.identity import checkpoint_id
from xlip.runtime.export_facts import is_exported
from xlip.shipped import FOLDER, GRAPHS, WARNING

KEPT = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "xlip_processor.json")
LARGEST = 10_000_000
"""Bytes of the weights; the wheel has its own limit in tests/test_packaging.py."""
LICENSE = ("license: other\nlicense_name: terms-of-the-training-data\n", "license: apache-2.0\n")


def run(*words: str) -> None:
    if code := xlip(list(words)):
        raise SystemExit(f"xlip {' '.join(words)}: exit code {code}")


def records(demo: Path, folder: Path) -> None:
    """What the card and `xlip save` read of a run, without the places of the machine that trained it."""
    written = json.loads((demo / "xlip" / "run.json").read_text("utf-8"))["config"]
    streams: dict[str, Any] = {}
    for name in ("pairs", "images", "texts"):
        stats = json.loads((demo / "data" / name / "stats.json").read_text("utf-8"))
        kept = {key: stats[key] for key in ("source", "kept", "images", "reports", "patients", "split_name")}
        (folder / "data" / name).mkdir(parents=True)
        write_json(folder / "data" / name / "stats.json", kept)
        streams[name] = [{**written["data"][name][0], "path": f"{FOLDER.name}/data/{name}"}]
    config = {**written, "out": "demo/xlip", "data": {**written["data"], **streams}}
    write_json(folder / "run.json", {"config": config})


def card(text: str) -> str:
    """The card of `xlip save`, which begins with what this model is not."""
    assert LICENSE[0] in text
    head, title, rest = text.replace(*LICENSE).partition("\n# phantom\n")
    said = (
        f"**{WARNING[0].upper()}{WARNING[1:]}.** Its figures below are of phantoms too.\n\n"
        "Made by `make demo` and `python bench/phantom_checkpoint.py --demo demo` (in the repository), which also "
        f"wrote `{GRAPHS}/`, the same model for use without torch. Wherever a model is named it is called `phantom`: "
        '`xlip zeroshot --model phantom`, `XLIPModel.from_pretrained("phantom")`.'
    )
    return f"{head}{title}\n{said}\n{rest}"


def build(demo: Path, graphs: Path | None, work: Path, folder: Path) -> None:
    model, scores, saved = str(demo / "xlip"), work / "scores", work / "phantom"
    run("zeroshot", "--model", model, "--data", str(demo / "data" / "test"), "--out", str(scores))
    records(demo, folder)
    run("save", "--model", model, "--evaluation", str(scores), "--name", "phantom", "--out", str(saved))
    for name in (*KEPT, "checksums.json"):
        shutil.copy(saved / name, folder / name)
    if checkpoint_id(str(folder)) != checkpoint_id(model):
        raise SystemExit("the weights are not those of the run any more")
    write_whole(folder / "README.md", card((saved / "README.md").read_text("utf-8")).encode())
    if graphs is None:
        graphs = work / GRAPHS
        run("export", "--model", model, "--out", str(graphs))
    assert is_exported(graphs)
    shutil.copytree(graphs, folder / GRAPHS)
    size = (folder / "model.safetensors").stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{size} bytes of weights; at most {LARGEST} come with the package")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=ROOT / "demo")
    parser.add_argument("--graphs", type=Path, help="the run as `xlip export` wrote it; default: it is exported now")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, whole_folder(FOLDER) as folder:
        build(options.demo, options.graphs, Path(work), folder)
    for file in sorted(FOLDER.rglob("*")):
        if file.is_file():
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

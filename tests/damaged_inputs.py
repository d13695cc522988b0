"""One small example of everything that a command reads, for tests that damage it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from layouts import LAYOUTS
from runs import small_run, written
from tiny import CONFIG, tiny_batch, tiny_model, tiny_processor
from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.cli import main
from xlip.objectives.registry import OBJECTIVE_DEFAULTS
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.study.prompts import prompt_sets
from xlip.train.faults import write_batch, write_notes
from xlip.train.loop import pretrain

KINDS = ("Effusion", "Cardiomegaly", "No_Finding")
FINETUNE = (
    "--recipe.least_steps 1 --recipe.most_steps 1 --recipe.checks 1 --recipe.batch_size 8 --augment null --validation 0"
    f" --kinds {','.join(KINDS)} --replicates 20 --precision fp32"
)
FEW = 6
"""Phantoms with one finding on which an ablation is measured (a quick one takes a quarter of those of a whole one)."""
_SETTLED = {
    "csv": "--image_column file --report_column text",
    "dicom": "--key {}/raw/dicom/key --reports {}/raw/dicom/reports.csv",
}
"""Words for options of a layout that are no plain values."""
_ROOTS = {"csv": "/mine.csv", "dicom": "/archive"}
RAW = {
    name: f"--root {{}}/raw/{name}{_ROOTS.get(name, '')} " + _SETTLED.get(name, "")
    for name in LAYOUTS
    if name != "phantom"
}
"""Source -> the words that prepare its layout."""
PLAN = """
base: base.yaml
test: {root}/other
variants:
  whole: {{}}
  less: {{steps: 2}}
"""
SUITE = """
suite: mine
data:
  mine: {split: test}
entries:
  zeroshot: {evaluator: zeroshot, data: mine, prompts: all}
"""


@contextmanager
def light() -> Iterator[pytest.MonkeyPatch]:
    """Commands without the pictures of their pages, and with few phantoms: most of the time of a small set."""
    import io

    from matplotlib.figure import Figure
    from PIL import Image

    from xlip.ablation import run
    from xlip.preparation import card

    dot = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(dot, "png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, buffer, **options: buffer.write(dot.getvalue()))
        patch.setattr(run, "SINGLES", 4 * FEW)
        for name in ("histograms", "contact_sheet"):
            patch.setattr(card, name, lambda *arguments: b"")
        yield patch


def build_inputs(root: Path) -> Path:
    """Raw sets, prepared sets, tables, reports, runs, models, evaluations, plans: all below `root`."""
    with light() as patch:
        patch.setenv("XLIP_CACHE", str(root / "cache"))
        _raw(root / "raw")
        _prepared(root / "set", start=0)
        _prepared(root / "other", start=500)
        _table(root)
        _reports(root)
        (root / "exclusions.csv").write_text(
            "study_id,kind,test_study_id,score\nphantom/0-900,pixels,phantom/0-901,1.0\n"
        )
        (root / "prompts.yaml").write_text(_prompts())
        (root / "suite.yaml").write_text(SUITE)
        _run(root)
        _towers(root)
        _fault(root / "fault")
        _evaluations(root)
        _asked(root)
    return root


def _raw(root: Path) -> None:
    for name, (build, *_) in LAYOUTS.items():
        build(root / name)


def _prepared(folder: Path, start: int) -> None:
    options = {"count": 24, "size": 64, "start": start}
    prepare("phantom", Path(), folder, workers=0, holdout=0.4, options=options)
    for file in folder.iterdir():  # what is only looked at
        if file.suffix in (".md", ".png", ".csv") or file.name == "croissant.json":
            file.unlink()


def _table(root: Path) -> None:
    """A table of images: most of them lie elsewhere, so that few files stand for all."""
    from PIL import Image

    (root / "table").mkdir()
    (root / "pictures").mkdir()
    rows = ["path,patient,split,report," + ",".join(KINDS)]
    for number in range(24):
        phantom = generate(900 + number, size=64)
        folder = "." if number < 2 else "../pictures"
        Image.fromarray(phantom.pixels).save(root / "table" / folder / f"{number}.png")
        labels = ",".join(str(phantom.labels[kind]) for kind in KINDS)
        split = "test" if number % 3 == 0 else "train"
        rows.append(f'{folder}/{number}.png,p{number},{split},"{phantom.report}",{labels}')
    (root / "table" / "mine.csv").write_text("\n".join(rows) + "\n")


def _reports(root: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = root / "reports"
    folder.mkdir()
    texts = [generate(number, size=64).report for number in range(8)]
    (folder / "one.txt").write_text(texts[0])
    (folder / "lines.jsonl").write_text("".join(f'{{"id": "{n}", "report": "{t}"}}\n' for n, t in enumerate(texts)))
    (folder / "table.csv").write_text("id,report\n" + "".join(f'{n},"{t}"\n' for n, t in enumerate(texts)))
    pq.write_table(pa.table({"id": [str(n) for n in range(8)], "report": texts}), folder / "table.parquet")


def _prompts() -> str:
    import yaml

    one = prompt_sets()["chexzero"]
    pair = {"positive": ["a normal chest."], "negative": ["an abnormal chest."]}
    templates = {"positive": list(one.templates[True]), "negative": list(one.templates[False])}
    return yaml.safe_dump({"sets": {"mine": {"version": 1, **templates, "kinds": {"No_Finding": pair}}}})


def _run(root: Path) -> None:
    streams = Streams(pairs=[SetConfig(str(root / "set"))], mix={"pairs": 4})
    config = small_run({}, root / "run", objectives={"contrastive": {}}, steps=2, checkpoint_every=1)
    config = replace(config, data=streams)
    written(config, root / "run.yaml")
    pretrain(config)
    model = root / "model"
    model.mkdir()
    for file in [*(root / "run").iterdir()]:
        if file.is_file() and file.name != "log.jsonl":
            shutil.copy(file, model / file.name)
            if file.name not in ("run.json", "config.yaml"):
                file.unlink()
    shutil.rmtree(root / "run" / "tensorboard")
    written(replace(config, out="out", steps=1, checkpoint_every=0), root / "base.yaml")
    (root / "base.yaml").write_text((root / "base.yaml").read_text().replace("out: out\n", ""))
    (root / "plan.yaml").write_text(PLAN.format(root=root))


def _towers(root: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes["intermediate_size"] = 64
    tokenizer = tiny_processor().tokenizer
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)).save_pretrained(root / "bert")
    tokenizer.save_pretrained(root / "bert")
    ViTModel(ViTConfig(image_size=CONFIG.image_size, patch_size=16, **sizes)).save_pretrained(root / "vit")


def _fault(folder: Path) -> None:
    model = tiny_model()
    batch = tiny_batch(model)
    write_batch(folder, batch, 0)
    notes = {"step": 1, "progress": 0.5, "values": {"total": 1.0}, "objectives": dict(OBJECTIVE_DEFAULTS), "ranks": 1}
    write_notes(folder, model, notes)


def _evaluations(root: Path) -> None:
    zeroshot = f"zeroshot --model {root}/model --replicates 20 --data {root}/set"
    calls = [
        f"{zeroshot} --prompts {root}/prompts.yaml --out {root}/scores",
        f"{zeroshot} --prompts {root}/prompts.yaml --seed 1 --out {root}/others",
        f"finetune --model {root}/model --data {root}/set {FINETUNE} --out {root}/classifier",
        f"ablate {root}/plan.yaml --quick --replicates 20 --out {root}/ablation",
    ]
    for words in calls:
        assert main(words.split()) == 0, words
    for name in ("scores", "others", "classifier", "ablation"):
        for file in (root / name).rglob("*"):
            if file.suffix in (".html", ".md", ".png"):
                file.unlink()


def _asked(root: Path) -> None:
    """What explain, triage, search, serve and the commands that speak DICOM read."""
    (root / "films").mkdir()
    for number in range(2):
        _film(root / "films" / f"{number}.dcm", number)
    (root / "key").write_text("0123456789abcdef" * 4 + "\n")
    (root / "tokens.txt").write_text("ann:0123456789abcdef0123456789abcdef\n")
    (root / "uids.txt").write_text("1.2.3\n1.2.4\n")
    calls = [
        f"abstain --model {root}/model --data {root}/set --split train --specificity 0.5 --out {root}/rule.json",
        f"embed --model {root}/model --data {root}/set --workers 0 --out {root}/index",
    ]
    for words in calls:
        assert main(words.split()) == 0, words


def _film(path: Path, number: int) -> None:
    from films import encoded, film

    path.write_bytes(encoded(film(number)))

"""What people type by mistake: nothing of theirs is written over, and one line says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from damages import without_override
from tiny import tiny_model
from xlip.cli import main
from xlip.phantom import generate
from xlip.preparation.run import prepare

SUITE = "suite: mine\ndata: {mine: {split: test}}\nentries: {one: {evaluator: zeroshot, data: mine}}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    tiny_model().save_pretrained(root / "model")
    prepare("phantom", Path(), root / "set", workers=0, options={"count": 8, "size": 64})
    (root / "table").mkdir()
    rows = ["path,Effusion,report"]
    for number in range(4):
        phantom = generate(number, size=64)
        Image.fromarray(phantom.pixels).save(root / "table" / f"{number}.png")
        rows.append(f'{number}.png,{phantom.labels["Effusion"]},"{phantom.report}"')
    (root / "table" / "mine.csv").write_text("\n".join(rows) + "\n")
    (root / "notes.jsonl").write_text('{"report": "No effusion."}\n')
    (root / "note").write_text("a file")
    (root / "header.csv").write_text("path,Effusion\n")
    (root / "list.yaml").write_text("- 1\n")
    (root / "suite.yaml").write_text(SUITE)
    (root / "plan.yaml").write_text(f"test: {root / 'set'}\nvariants: {{whole: {{}}}}\n")
    (root / "locked").mkdir(mode=0o555)
    return root


ZEROSHOT = "zeroshot --model {}/model --replicates 20 --no_cache"
CALLS = {
    # an output that is something of the user's
    f"{ZEROSHOT} --data {{}}/set --out {{}}/set": "holds something else than an evaluation",
    f"{ZEROSHOT} --data {{}}/table/mine.csv --out {{}}/table": "holds something else than an evaluation",
    f"{ZEROSHOT} --data {{}}/set --out {{}}/model": "holds something else than an evaluation",
    f"{ZEROSHOT} --data {{}}/set --out {{}}/note": "a file is there already",
    f"{ZEROSHOT} --data {{}}/set --query fluid --out {{}}/table": "holds something else than an evaluation",
    "tag {}/notes.jsonl --out {}/notes.jsonl": "would write over the input",
    "inspect {}/set --out {}/set/part-00000-of-00001.parquet": "would write over the input",
    "audit {}/set --out {}/set/stats.json": "would write over the input",
    "audit {}/set --out {}/table": "a folder is there already",
    "prepare csv --root {}/table/mine.csv --image_column path --workers 0 --out {}/table": "",
    "prepare csv --root {}/table/mine.csv --image_column path --workers 0 --out {}/note": "",
    "probe {}/model --singles 8 --out {}/note": "a file is there already",
    'pretrain --out {}/note --data.pairs [{"path":"{}/set"}] --data.mix {"pairs":2}': "a file is there already",
    # nowhere to write
    f"{ZEROSHOT} --data {{}}/set --out {{}}/locked/x": "cannot write",
    "tag {}/notes.jsonl --out {}/locked/x.jsonl": "cannot write",
    "audit {}/set --out {}/locked/x.json": "cannot write",
    "probe {}/model --singles 8 --out {}/locked/x": "Permission denied",
    "finetune --model {}/model --data {}/set --out {}/note": "a file is there already",
    "evaluate --suite {}/suite.yaml --model {}/model --data mine={}/set --out {}/note": "a file is there already",
    "ablate {}/plan.yaml --out {}/note": "a file is there already",
    # numbers that cannot be
    f"{ZEROSHOT} --data {{}}/set --out {{}}/x --seed -1": "seed: expected at least 0, got -1",
    f"{ZEROSHOT} --data {{}}/set --out {{}}/x --replicates -5": "replicates: expected at least 0, got -5",
    f"{ZEROSHOT} --data {{}}/set --out {{}}/x --batch_size 0": "batch_size: expected at least 1, got 0",
    "compare {}/x {}/y --replicates -5": "replicates: expected at least 0, got -5",
    "probe {}/model --out {}/x --seed -1": "seed: expected at least 0, got -1",
    "pretrain --out {}/x --optim.lr -1": "optim.lr: expected at least 0, got -1",
    "pretrain --out {}/x --seed 99999999999999": "seed: expected at most 4294967295, got 99999999999999",
    "pretrain --out {}/x --workers -1": "workers: expected at least 0, got -1",
    "prepare phantom --out {}/x --workers -2": "workers: expected at least 0, got -2",
    "explain {}/set --model {}/model --out {}/x --side 0": "side: expected at least 1, got 0",
    "serve --model {}/model --port 70000": "port: expected",
    "pretrain --out {}/x --optim.beta2 1.5": "optim.beta2: expected at least 0 and below 1, got 1.5",
    "pretrain --out {}/x --optim.text_rate -1": "optim.text_rate: expected at least 0, got -1",
    "pretrain --out {}/x --model.patch_size 0": "model.patch_size: expected at least 1, got 0",
    "pretrain --out {}/x --model.image_size -16": "model.image_size: expected at least 1, got -16",
    "pretrain --out {}/x --model.text_heads 5": "model.text_heads: expected a divisor of model.text_width 384, got 5",
    "pretrain --out {}/x --model.max_tokens 2": "model.max_tokens: expected at least 8, got 2",
    "pretrain --out {}/x --model.dropout 2": "model.dropout: expected at least 0 and below 1, got 2",
    "pretrain --out {}/x --model.preprocess crop": "model.preprocess: expected one of letterbox, clip, squash",
    'pretrain --out {}/x --objectives {"contrastive":{"weight":"x"}}': "weight: expected a number, got 'x'",
    'pretrain --out {}/x --objectives {"contrastive":{"weight":-1}}': "weight: expected at least 0, got -1",
    'pretrain --out {}/x --objectives {"kind_contrast":{"denials":1}}': "denials: expected true or false, got 1",
    'pretrain --out {}/x --data.pairs [{"path":"{}/set"}] --data.mix {"pairs":-2}': "data.mix.pairs: expected a number",
    "pretrain --out {}/x --log_every 0": "log_every: expected at least 1, got 0",
    "pretrain --out {}/x --evaluate.every -1": "evaluate.every: expected at least 0, got -1",
    # something of another kind
    f"{ZEROSHOT} --data {{}}/table --out {{}}/x": "expected a Parquet file",
    f"{ZEROSHOT} --data {{}}/note --out {{}}/x": "cannot be read",
    f"{ZEROSHOT} --data {{}}/header.csv --out {{}}/x": "no labels to compare with",
    f"{ZEROSHOT} --data {{}}/set --prompts {{}}/list.yaml --out {{}}/x": "expected `sets:",
    "zeroshot --model {}/set --data {}/set --out {}/x": "expected an XLIP model",
    "report {}/set --out {}/x": "expected the folder of an evaluation",
    "replay {}/set": "fault.json: cannot be read",
    "ablate {}/list.yaml --out {}/x": "found no option in it",
}


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", CALLS)
def test_a_mistake_is_one_line_and_costs_nothing(words: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(place)
    with without_override():
        code = main([word.replace("{}", str(place)) for word in words.split(" ")])
    error = capsys.readouterr().err
    assert contents(place) == before
    if code or CALLS[words]:
        assert code == 2, error
        assert [line.startswith("xlip: ") for line in error.splitlines()[-1:]] == [True]
        assert CALLS[words] in error.splitlines()[-1]
        assert "Traceback" not in error

"""Every code block and every command of the documentation, page by page, in its order, on phantoms."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from doc_blocks import DOCS, ROOT, SHELL, Block, blocks, check, pages, run
from tiny import CONFIG, tiny_processor
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.train.build import build_model

ELSEWHERE = {
    "howto/export.md": "tests/export/test_export_docs.py",
    "howto/explain.md": "tests/explain/test_docs.py",
    "howto/pacs.md": "tests/pacs/test_orthanc.py",
    "howto/search.md": "tests/search/test_search_page.py",
    "howto/serve.md": "tests/serve/test_service_docs.py",
    "tutorials/pacs_to_training.md": "tests/sources/test_pacs_page.py",
}
"""Pages whose tests need a service, an archive or a browser, and the file that runs them."""
SLOW = {
    "concepts/attmim.md",
    "concepts/contrastive.md",
    "concepts/entmlm.md",
    "concepts/prompts.md",
    "concepts/resampling.md",
    "concepts/response.md",
    "howto/evaluate.md",
    "howto/finetune.md",
    "howto/leaks.md",
    "howto/report.md",
    "howto/compare.md",
    "howto/slurm.md",
    "tutorials/phantom_archive.md",
    "tutorials/csv_to_report.md",
    "tutorials/checkpoint_to_finetuning.md",
}
"""Pages that take longer than a few seconds on a busy machine; the default tests check their blocks without running."""
WITH_CODE = [page for page in pages() if blocks(page)]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of the how-to guides has: a table, films, a prepared set, a checkpoint, two published towers."""
    place = tmp_path_factory.mktemp("reader")
    with (place / "my.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "report", "patient", "Effusion", "Cardiomegaly"])
        for number in range(24):
            film = generate(number, size=64)
            (place / f"{number}.png").write_bytes(encode(film.pixels))
            labels = [film.labels[kind] for kind in ("Effusion", "Cardiomegaly")]
            table.writerow([f"{number}.png", film.report, number, *labels])
    shutil.copy(place / "3.png", place / "chest.png")
    (place / "report.txt").write_text("Left pleural effusion. No pneumothorax.\n", "utf-8")
    prepare(
        "phantom",
        Path(),
        place / "data/mine",
        workers=0,
        holdout=0.4,
        validation=0.2,
        options={"count": 60, "size": 64},
    )
    build_model(replace(CONFIG, local=True), tiny_processor(), 0).save_pretrained(place / "runs/mine")
    return place


def published_towers(place: Path) -> None:
    """A ViT and a BERT in the form of the hub, small and at random."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    ViTModel(ViTConfig(image_size=112, patch_size=14, **sizes)).save_pretrained(place / "checkpoints/image")
    tokenizer = tiny_processor().tokenizer
    bert = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **sizes))
    bert.save_pretrained(place / "checkpoints/text")
    tokenizer.save_pretrained(place / "checkpoints/text")


@pytest.mark.parametrize("page", WITH_CODE)
def test_every_block_names_its_language_and_is_understood(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if "file" in block.words:
            Path(block.words["file"]).write_text(block.text, "utf-8")
        check(block)


@pytest.mark.parametrize(("page", "file"), ELSEWHERE.items())
def test_a_page_with_a_test_of_its_own_is_named_there(page: str, file: str) -> None:
    assert page in WITH_CODE
    assert page.rpartition("/")[2] in (ROOT / file).read_text("utf-8")


Runner = Callable[[str, bool], None]


@pytest.fixture
def run_page(material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    def run_blocks(page: str, slow: bool) -> None:
        shutil.copytree(material, tmp_path, dirs_exist_ok=True)
        if "checkpoint" in page:
            published_towers(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))  # modules that a page writes
        names: dict[str, Any] = {"__name__": page}
        for block in blocks(page):
            run(block, names, slow=slow)
        for file in tmp_path.glob("*.py"):
            sys.modules.pop(file.stem, None)

    return run_blocks


@pytest.mark.parametrize("page", sorted(set(WITH_CODE) - set(ELSEWHERE) - SLOW))
def test_the_blocks_of_a_page_run_one_after_another(page: str, run_page: Runner) -> None:
    run_page(page, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(SLOW))
def test_the_blocks_of_a_long_page_run_one_after_another(page: str, run_page: Runner) -> None:
    run_page(page, slow=True)


def test_the_lists_name_pages_that_exist() -> None:
    assert SLOW | set(ELSEWHERE) <= set(WITH_CODE)
    assert not SLOW & set(ELSEWHERE)


def test_a_command_that_does_not_exist_is_found(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unknown command"):
        check(Block("x.md", 1, "sh", "xlip prepair phantom\n"))
    with pytest.raises(SyntaxError):
        check(Block("x.md", 1, "python", "import\n"))
    with pytest.raises(AssertionError, match="names its language"):
        check(Block("x.md", 1, "", "xlip demo\n"))
    assert SHELL


@pytest.mark.parametrize("page", ["tutorials/index.md", "howto/index.md", "concepts/index.md", "reference/index.md"])
def test_each_of_the_four_parts_has_its_pages(page: str) -> None:
    folder = (DOCS / page).parent
    text = (DOCS / page).read_text("utf-8")
    for file in folder.glob("*.md"):
        assert file.name == "index.md" or f"\n{file.stem}\n" in text or f"\n{file.stem}\n" in text + "\n", file

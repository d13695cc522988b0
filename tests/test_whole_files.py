"""No half file under its final name, whatever writes it and whenever it is killed."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import xlip
from evaluations import predictions, result
from xlip.evaluate import embeddings, suite
from xlip.evaluate.suite_file import Suite
from xlip.files import whole_text, write_json
from xlip.finetune.classifier import XLIPClassifier
from xlip.finetune.predict import PredictConfig, predict_to
from xlip.images.files import encode
from xlip.pages.write import add_pages
from xlip.results.compare import CompareConfig, compare, write_comparison
from xlip.results.folder import write_files, write_folder
from xlip.results.scores_file import write_scores

ROOT = Path(xlip.__file__).parent
OWN_WAY = {
    "files.py": "the one place that opens files to write",
    "finetune/cell.py": "inside `whole_folder`",
    "train/checkpoint.py": "inside `whole_folder`",
    "train/loop.py": "inside `whole_folder`",
    "train/log.py": "a log grows line by line",
    "ablation/run.py": "inside `whole_folder`",
    "sources/pseudonyms.py": "a key is made once, by its maker alone, and never written over",
    "train/faults.py": "values that are not finite, which `write_json` refuses, of a run that has stopped",
    "preparation/target.py": "a lock without content",
    "pacs/journal.py": "a journal grows line by line; a line cut short is dropped when it is read",
    "batches/group_cache.py": "a lock without content; Arrow writes beside a group of rows, which is then renamed",
    "search/manifest.py": "files that count only once the manifest, written whole, names them",
}
SLOW_WRITER = """
import sys, time
from pathlib import Path
from xlip.files import whole_text
with whole_text(Path(sys.argv[1])) as stream:
    while True:
        stream.write("half a line" * 1000)
        time.sleep(0.001)
"""


class Fixed(XLIPClassifier):
    """A classifier without weights."""

    def __init__(self) -> None:
        self.__dict__.update(kinds=("Mass",), image_size=8, preprocess="squash")

    def predict_pixels(self, pixels: np.ndarray, batch_size: int = 64) -> np.ndarray:
        return np.full((len(pixels), 1), 0.5)


def scores(folder: Path) -> None:
    write_scores(folder / "scores.csv", predictions())


def folder_of_files(folder: Path) -> None:
    write_files(result(), folder)


def comparison(folder: Path) -> None:
    write_folder(result(), folder / "one")
    write_comparison(compare(CompareConfig([str(folder / "one")] * 2, replicates=2)), folder)


def summary(folder: Path) -> None:
    suite._write_summary(folder, Suite("s", "", {}, ()), [])


def cached(folder: Path) -> None:
    embeddings._write(
        folder / "a.safetensors",
        embeddings.Embedded([], np.zeros((3, 2), np.float32), np.zeros((3, 0), np.float32)),
        [],
    )


def predicted(folder: Path) -> None:
    (folder / "image").mkdir(exist_ok=True)
    (folder / "image" / "a.png").write_bytes(encode(np.zeros((8, 8), np.uint8)))
    predict_to(PredictConfig("", str(folder / "image" / "a.png"), str(folder / "scores.csv")), Fixed())


def page(folder: Path) -> None:
    add_pages(result(), folder)


def json_file(folder: Path) -> None:
    write_json(folder / "a.json", {"a": 1})


WRITERS = (scores, folder_of_files, comparison, summary, cached, predicted, page, json_file)


def killed(write: Callable[[Path], None], folder: Path) -> bool:
    """Whether the writer was killed when the content of its first file was written and had not its name yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, in newer Pythons
        child = os.fork()
    if child == 0:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        try:
            write(folder)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("earlier", [False, True])
def test_a_killed_writer_leaves_the_old_file_or_none(
    write: Callable[[Path], None], earlier: bool, tmp_path: Path
) -> None:
    if earlier:
        write(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    if write is comparison and not earlier:
        write_folder(result(), tmp_path / "one")
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert killed(write, tmp_path)
    whole = [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]
    new = [path for path in whole if path not in before and path.suffix != ".png"]
    assert not new
    assert all(path.read_bytes() == content for path, content in before.items() if path.name != "a.png")


def test_a_writer_that_is_killed_in_the_middle_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(tmp_path / "long.csv")]) as writer:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 50_000 for path in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            assert writer.poll() is None
            time.sleep(0.01)
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
    assert not (tmp_path / "long.csv").exists()
    with whole_text(tmp_path / "long.csv") as stream:  # what is left over does not stand in the way of the next
        stream.write("whole\r\n")
    assert (tmp_path / "long.csv").read_bytes() == b"whole\r\n"


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with whole_text(tmp_path / "a") as stream:
            stream.write("half")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert list(tmp_path.iterdir()) == []


def writes(node: ast.AST) -> bool:
    """A call that puts content under a name at once: write_text, write_bytes, save_file, open for writing."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    modes = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    modes += [one.value.value for one in node.keywords if one.arg == "mode" and isinstance(one.value, ast.Constant)]
    opened = name == "open" and any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax") for mode in modes)
    return opened or name in ("write_text", "write_bytes", "save_file")


def test_everything_is_written_by_way_of_whole_files() -> None:
    found = {
        str(file.relative_to(ROOT))
        for file in ROOT.rglob("*.py")
        if any(writes(node) for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    }
    assert found <= set(OWN_WAY), "write with xlip.files, or say here why not"

"""Mutation testing of the method's core: `make mutants`.

Each entry of `mutants.yaml` is a small wrong change of a source file and the tests that ought to notice. Every one is
made in a copy of the tree, and its tests are run there, first without it: a test that fails anyway proves nothing. The
results go to `bench/mutants.json` and, as a table, to `docs/measurements/mutants.md`; the exit status is 1 while one
survives without an explanation, or is explained and killed.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import multiprocessing
import os
import py_compile
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LIST, RESULTS = ROOT / "bench" / "mutants.yaml", ROOT / "bench" / "mutants.json"
TABLE = ROOT / "docs" / "measurements" / "mutants.md"
SECONDS = 900
"""After which a mutant's tests are stopped: one that never ends is noticed too."""
LOADED = (
    *("torch", "torch._dynamo", "transformers.modeling_utils", "transformers.models.vit.modeling_vit"),
    *("transformers.models.bert.modeling_bert", "transformers.models.auto.modeling_auto", "accelerate"),
    *("hypothesis", "pytest", "safetensors.torch", "scipy.stats", "sklearn.linear_model", "spacy"),
)
"""Imported once and shared with the forked processes: importing them takes longer than most of the tests."""


@dataclass(frozen=True)
class Mutant:
    """One wrong change."""

    name: str
    """What is wrong then, in words."""
    file: str
    """Below src/xlip."""
    old: str
    """Text that stands in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """Files, or tests, below tests."""
    survives: str = ""
    """Why no test can or should notice; empty: one must."""

    def applied(self, text: str) -> str:
        """The source with the change.

        Raises:
            ValueError: `old` does not stand there exactly once.
        """
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: expected once in {self.file}, found {text.count(self.old)} times: {self.old!r}"
            )
        return text.replace(self.old, self.new)


def read_mutants() -> list[Mutant]:
    """The entries of `mutants.yaml`, by source file and then by the tests that each group shares."""
    groups = yaml.safe_load(LIST.read_text("utf-8"))
    return [
        Mutant(
            one["name"], file, one["old"], one["new"], tuple(one.get("tests", group["tests"])), one.get("survives", "")
        )
        for file, group in groups.items()
        for one in group["mutants"]
    ]


def source(mutant: Mutant, root: Path = ROOT) -> Path:
    """The file that it changes."""
    return root / "src" / "xlip" / mutant.file


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[str, str]:
    """Run tests of a tree in a process of their own; the name of the first that fails, or nothing, and why it does."""
    forked = multiprocessing.get_context("fork")
    ours, theirs = forked.Pipe(duplex=False)
    process = forked.Process(target=_in_process, args=(tree, tests, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            return f"stopped after {SECONDS} s", ""
        name, why = ours.recv()
        return name, why
    except EOFError:
        return "the process died", ""
    finally:
        process.kill()
        process.join()


class _FirstFailure:
    """A pytest plugin that notes the first test, or the first file, that fails, and why."""

    name, why = "", ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._note(report)

    def pytest_collectreport(self, report: Any) -> None:
        self._note(report)

    def _note(self, report: Any) -> None:
        if report.failed and not self.name:
            self.name, self.why = report.nodeid.removeprefix("tests/").partition("[")[0], report.longreprtext


def _in_process(tree: Path, tests: Sequence[str], answer: Any) -> None:
    import pytest
    from hypothesis import Phase, settings

    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree / "src")
    sys.path.insert(0, str(tree / "src"))
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    settings.register_profile("mutants", derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutants")
    found = _FirstFailure()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore:Module already imported"]
    status = pytest.main([*options, *(f"tests/{test}" for test in tests)], plugins=[found])
    answer.send((found.name or ("" if status == 0 else f"pytest: {status!r}"), found.why))


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of what the tests need. Compiled files go by content, for two mutants may be written within one second."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        compileall.compile_dir(tree / "src", quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
        yield tree


def check(tree: Path, mutants: Sequence[Mutant]) -> None:
    """Fail where the tests fail without a mutant."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    failed, why = run_tests(tree, tests)
    if failed:
        sys.exit(f"{why}\na test fails without any mutant: {failed}")


def read_results() -> dict[str, str]:
    """Name of a mutant -> the test that noticed it, or nothing, of the runs so far."""
    found: dict[str, str] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return found


def table(mutants: Sequence[Mutant], results: dict[str, str]) -> str:
    """The results as Markdown."""
    killed = sum(bool(results[one.name]) for one in mutants)
    lines = [
        "# Mutants",
        "",
        "Made by `make mutants`, not by hand. Each row is a wrong change of the source that was made in",
        f"a copy, and the first test that failed then: {killed} of {len(mutants)} were noticed.",
        "",
        "| file | what is wrong | noticed by |",
        "|---|---|---|",
    ]
    for one in mutants:
        noticed = f"`{results[one.name]}`" if results[one.name] else f"nothing: {one.survives}"
        lines.append(f"| {one.file} | {one.name} | {noticed} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all mutants, or those whose name or file holds a text, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only",
        nargs="*",
        default=[""],
        help="parts of the names or files of the mutants to run; others keep their result",
    )
    parts = parser.parse_args().only
    mutants = read_mutants()
    chosen = [one for one in mutants if any(part in one.name or part in one.file for part in parts)]
    for one in mutants:
        one.applied(source(one).read_text("utf-8"))
    for name in LOADED:
        importlib.import_module(name)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with copied_tree() as tree:
        check(tree, chosen)
        for one in chosen:
            text, start = source(one, tree).read_text("utf-8"), time.perf_counter()
            source(one, tree).write_text(one.applied(text), "utf-8")
            noticed, _ = run_tests(tree, one.tests)
            source(one, tree).write_text(text, "utf-8")
            seconds = time.perf_counter() - start
            print(f"{one.file}: {one.name}: {noticed or 'SURVIVES'} ({seconds:.0f} s)", flush=True)
            results = read_results() | {one.name: noticed}
            kept = {one.name: results[one.name] for one in mutants if one.name in results}
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    results = read_results()
    if all(one.name in results for one in mutants):
        TABLE.write_text(table(mutants, results), "utf-8")
    wrong = [one for one in chosen if bool(results[one.name]) == bool(one.survives)]
    for one in wrong:
        print(f"{one.name}: " + ("explained, but killed" if one.survives else "survives without an explanation"))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

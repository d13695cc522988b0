"""`xlip export`: a checkpoint or a fine-tuned classifier as files that need no torch, with a proof that they agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

import xlip
from xlip.errors import XLIPError
from xlip.evaluate.cases import Cases, open_cases
from xlip.explain.abstention import FILE as RULE
from xlip.export.formats import OPSET, needs_onnx, write_int8, write_onnx, write_program
from xlip.export.graphs import Graph, quiet
from xlip.export.parity import Parity, phantoms, program_runner
from xlip.export.shared_weights import share_weights
from xlip.export.subjects import Subject, subject_of
from xlip.files import check_target, whole_folder, write_json, write_whole, writing
from xlip.images.gray import Gray
from xlip.runtime.export_facts import WEIGHTS, ExportFacts, is_exported, read_facts

FORMATS = ("onnx", "pt2", "both")
PARITY = "parity.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class ExportConfig:
    """`xlip export`."""

    model: str
    """Folder of a run or a saved model, or a hub id; or a folder that `xlip finetune` wrote."""
    out: str
    """Folder to write: graphs, tokenizer.json, export.json, parity.json. An exported folder there is replaced."""
    format: str = "onnx"
    """onnx (ONNX Runtime, any language), pt2 (`torch.export.load`), or both."""
    int8: bool = False
    """Round the matrices of the ONNX graphs to 8 bits: smaller files, at a cost that is reported."""
    data: str = ""
    """Prepared Parquet or CSV with labels: compares the AUROC too, and says what int8 costs."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    split: str = ""
    """Parquet: only this split; default: `test` where there is one, else everything."""
    kinds: str = ""
    """Kinds to compare on the data, separated by commas; default: all that the data label."""
    prompts: str = "xlip"
    """Prompt set of the comparison."""


@dataclass(frozen=True)
class Exported:
    """What `export` wrote."""

    folder: Path
    facts: ExportFacts
    parity: Parity


def export(config: ExportConfig, say: Say = lambda line: None) -> Exported:
    """Write the graphs, then open them as a user would and compare them with the checkpoint; whole or not at all.

    Args:
        config: see `ExportConfig`.
        say: called with a line for each step.

    Raises:
        XLIPError: nothing usable at `config.model`, a place that cannot be written, a missing package, or graphs that
            differ from the checkpoint by more than `TOLERANCE`; nothing is left behind then.
    """
    _check(config)
    if config.data:
        _cases(config)  # a set that cannot be read is a fault before minutes of work
    subject = subject_of(config.model)
    squares = phantoms(subject.image_size)
    out, parity = Path(config.out), Parity(len(squares), Path(config.data).name)
    with writing(out), whole_folder(out) as partial:
        work = _Work(config, subject, partial, squares, parity, say)
        work.trace()
        if config.format != "pt2":
            work.onnx()
        if config.format != "onnx":
            work.programs()
        work.write_facts("int8" if config.int8 else "fp32")
        rule = Path(config.model) / RULE
        if rule.is_file() and not config.int8:  # rounded scores need thresholds of their own
            write_whole(partial / RULE, rule.read_bytes())
        write_json(partial / PARITY, parity.to_json())
        facts = read_facts(partial)
    return Exported(out, facts, parity)


def _check(config: ExportConfig) -> None:
    out = Path(config.out)
    if config.format not in FORMATS:
        raise XLIPError(f"format: expected one of {', '.join(FORMATS)}, got {config.format!r}")
    if config.int8 and config.format == "pt2":
        raise XLIPError("int8: rounds ONNX graphs; take --format onnx or both")
    if config.format != "pt2":
        needs_onnx()
    check_target(out, folder=True)
    if out.is_dir() and any(out.iterdir()) and not is_exported(out):
        raise XLIPError(f"{out}: holds something that `xlip export` did not write; choose another --out")


def _cases(config: ExportConfig) -> Cases:
    columns = {name: getattr(config, name) for name in ("image_column", "kinds", "split")}
    return open_cases(config.data, **columns)


@dataclass
class _Work:
    """One export in the folder that will take the place of `config.out`."""

    config: ExportConfig
    subject: Subject
    folder: Path
    squares: Gray
    parity: Parity
    say: Say
    traced: dict[str, tuple[Graph, ExportedProgram]] = field(default_factory=dict)

    def trace(self) -> None:
        for graph in self.subject.graphs():
            if graph.joint and self.config.format == "pt2":
                continue
            self.traced[graph.name] = graph, graph.traced()
            self.say(f"traced: {graph.name}")
        self.subject.write_beside(self.folder)

    def onnx(self) -> None:
        """Written and compared; then, where it is asked for, rounded and compared again."""
        for name, (graph, program) in self.traced.items():
            write_onnx(graph, program, self.folder / f"{name}.onnx")
        self._share()
        if self.config.data:
            areas = self.subject.areas(_cases(self.config), self.config.prompts, None)
            self.parity.add_areas("checkpoint", areas)
        self._compare("onnx", "fp32")
        if not self.config.int8:
            return
        for name in self.traced:
            file = self.folder / f"{name}.onnx"
            write_int8(file, file.with_suffix(".int8"))
            file.with_suffix(".int8").replace(file)
        self._share()
        self._compare("int8", "int8")

    def _share(self) -> None:
        """Where a graph is others in one pass, its weights and theirs are one file."""
        if any(graph.joint for graph, _ in self.traced.values()):
            files = [self.folder / f"{name}.onnx" for name in self.traced if name != "text"]
            share_weights(files, self.folder / WEIGHTS)

    def _compare(self, form: str, numbers: str) -> None:
        self.write_facts(numbers)
        with quiet():  # a text of the comparison is too long on purpose
            self.subject.compare(self.parity, form, self.folder, self.squares)
        self.say(f"compared with the checkpoint: {form}")
        if self.config.data:
            self.parity.add_areas(form, self.subject.areas(_cases(self.config), self.config.prompts, self.folder))

    def programs(self) -> None:
        """The `.pt2` files, written and compared."""
        for name, (graph, program) in self.traced.items():
            if graph.joint:
                continue
            write_program(program, self.folder / f"{name}.pt2")
            run, pairs = program_runner(self.folder / f"{name}.pt2"), []
            with quiet():
                several = list(self.subject.inputs(graph, self.squares))
            for inputs in several:
                with torch.no_grad():
                    pairs.append((graph.module(**inputs).numpy(), run(**inputs)))
            self.parity.add("pt2", name, pairs)

    def write_facts(self, numbers: str) -> None:
        there = {form: {name: f"{name}.{form}" for name in self.traced} for form in ("onnx", "pt2")}
        made = {
            form: {name: file for name, file in files.items() if (self.folder / file).is_file()}
            for form, files in there.items()
        }
        weights = WEIGHTS if (self.folder / WEIGHTS).is_file() else ""
        names = [file for files in made.values() for file in files.values()] + [weights] * bool(weights)
        sizes = {file: (self.folder / file).stat().st_size for file in names}
        given: dict[str, Any] = {"numbers": numbers, "graphs": made["onnx"], "programs": made["pt2"], "bytes": sizes}
        given["weights"] = weights
        facts = ExportFacts(**self.subject.facts(), **given)
        facts.write(self.folder, {"xlip": xlip.__version__, "opset": OPSET})

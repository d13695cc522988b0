"""`xlip evaluate`: every entry of a suite on every model; one that fails costs a line, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel, XLIPAdapter, load_model
from xlip.evaluate.cases import Cases, open_cases
from xlip.evaluate.classification import one_class_kinds
from xlip.evaluate.classifier import ClassifierModel
from xlip.evaluate.registry import NEEDS_WEIGHTS, evaluator_class
from xlip.evaluate.suite_file import Suite, SuiteData, SuiteEntry
from xlip.files import check_target, reading, write_json, write_whole
from xlip.identity import split_id
from xlip.markdown import markdown_table
from xlip.preparation.run import prepare
from xlip.results.figures import READING_TITLES, ReadingFigures
from xlip.results.folder import write_folder
from xlip.results.lines import paper_lines
from xlip.results.result import Result
from xlip.results.typed import Headline
from xlip.runtime.encoder import IN_MEMORY

Say = Callable[[str], None]


@dataclass(frozen=True)
class EvaluateConfig:
    """`xlip evaluate`."""

    suite: str
    """A suite that comes with the package (`phantom`, `real_mini`, `nih` ...) or a YAML file."""
    out: str
    """Folder: one folder per entry, and the summary."""
    model: list[str] = field(default_factory=list)
    """Folders of runs, saved, exported or fine-tuned models, or hub ids; hf:NAME_OR_PATH for a checkpoint of images and
    texts of transformers (CLIP, SigLIP, ALIGN, AltCLIP, Chinese-CLIP, dual encoders)."""
    root: str = ""
    """Folder with the prepared sets of the suite, each under its name."""
    data: list[str] = field(default_factory=list)
    """NAME=PATH: where a set of the suite is, if not under the root."""
    reference: str = ""
    """Training images of the models (a prepared set, or a search index of them): adds abstention by the distance from
    these."""
    chosen_on: str = ""
    """Split of each set (val, say) whose labels choose thresholds and, of several prompt sets, the headline's."""
    refit: str = "25,50,100,200"
    """Transport: numbers of labelled images of the other set that calibration is refitted on, separated by commas."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    no_cache: bool = False
    """Neither read nor keep image embeddings (in $XLIP_CACHE, default ~/.cache/xlip)."""


@dataclass(frozen=True)
class Outcome:
    """What became of one entry on one model."""

    model: str
    entry: str
    result: Result | None
    problems: tuple[str, ...]
    """One line each; an entry with a problem may still have a result (a kind of one class, say)."""
    spec: str = ""
    """The model as `load_model` takes it."""
    data: str = ""
    """Path of the set."""
    folder: Path | None = None
    """Where the result was written."""
    prompts: str = ""
    """Prompt sets that the entry asks for, as the evaluator takes them."""
    set_name: str = ""
    """Of the suite."""

    @property
    def headline(self) -> list[Headline]:
        """What stands for it in a table; nothing where it failed."""
        return self.result.figures.headline() if self.result else []


def run_suite(
    models: Sequence[str],
    suite: Suite,
    out: Path,
    *,
    root: str = "",
    places: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    say: Say = lambda line: None,
) -> list[Outcome]:
    """Run a suite; writes `out/ENTRY/` (`out/MODEL/ENTRY/` for several models), `summary.json` and `summary.md`.

    Args:
        models: as for `load_model`.
        suite: from `load_suite`.
        out: folder to write.
        root: what `{root}` in the suite's paths stands for.
        places: name of a set -> path, instead of the suite's own.
        options: set on every evaluator that has them (`cache`, `replicates`), unless the entry does.
        say: called with a line for every entry.

    Raises:
        XLIPError: `places` names a set that the suite does not have; `out` cannot be written.
    """
    check_target(out, folder=True)
    for name in places or {}:
        if name not in suite.data:
            raise XLIPError(f"--data {name}=...: suite {suite.name} has no such set; expected {', '.join(suite.data)}")
    found = {name: _Place(name, item, root, (places or {}).get(name, ""), out) for name, item in suite.data.items()}
    outcomes: list[Outcome] = []
    names = _folder_names(models)
    for spec in models:
        folder = out / names[spec] if len(models) > 1 else out
        try:
            model = load_model(spec)
        except XLIPError as error:
            outcomes.append(_said(say, Outcome(names[spec], "*", None, (str(error),))))
            continue
        for entry in suite.entries:
            outcome = _run_entry(names[spec], spec, model, entry, found[entry.data], folder, options or {})
            outcomes.append(_said(say, outcome))
    _write_summary(out, suite, outcomes)
    return outcomes


def summary_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """A table with a header: the headline of every entry of every model."""
    rows: list[tuple[str, ...]] = [("model", "entry", "figure", "value", "95 % interval", "images", "split")]
    for one in outcomes:
        if one.result is None:
            rows.append((one.model, one.entry, "failed", "-", "-", "-", "-"))
            continue
        for figure, value, bounds in one.headline:
            low, high = (_number(bound) for bound in bounds)
            shown = f"{low} to {high}" if low != "-" else "-"
            images, split = str(one.result.figures.images), one.result.identity["split"]
            rows.append((one.model, one.entry, figure, _number(value), shown, images, split))
    return rows


def negation_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """A table with a header: every reading of the prompts, of every zero-shot entry and prompt set of every model."""
    columns = tuple(cell for name in READING_TITLES.values() for cell in (name, "95 % interval"))
    rows: list[tuple[str, ...]] = [("model", "entry", "prompts", *columns)]
    for one in outcomes:
        found = getattr(one.result.figures, "negation", None) if one.result else None
        for prompts, negation in (found or {}).items():
            cells = [_reading_cells(getattr(negation, name)) for name in READING_TITLES]
            rows.append((one.model, one.entry, prompts, *(cell for pair in cells for cell in pair)))
    return rows


def prompt_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """A table with a header: the worst prompt set beside the best, and how many AUROCs the wording changes."""
    rows: list[tuple[str, ...]] = [("model", "entry", "worst prompts", "macro AUROC", "best prompts", "macro AUROC",
                                    "AUROCs changed")]  # fmt: skip
    for one in outcomes:
        found = getattr(one.result.figures, "sensitivity", None) if one.result else None
        if found is None or found.worst_and_best is None:
            continue
        worst, best = found.worst_and_best
        areas = {name: _number(found.sets[name].macro_auroc) for name in (worst, best)}
        changed, count = found.changed
        rows.append((one.model, one.entry, worst, areas[worst], best, areas[best], f"{changed} of {count}"))
    return rows


def _reading_cells(reading: ReadingFigures | None) -> tuple[str, str]:
    if reading is None or reading.macro_auroc is None:
        return "-", "-"
    low, high = (_number(bound) for bound in reading.macro_ci95)
    return _number(reading.macro_auroc), f"{low} to {high}"


@dataclass
class _Place:
    """Where a set is, made or checked when it is first needed."""

    name: str
    declared: SuiteData
    root: str
    given: str
    out: Path

    def open(self, require: str) -> Cases:
        """The cases to evaluate.

        Raises:
            XLIPError: no such set, or not the one that the suite declares.
        """
        path = self._path()
        if not Path(path).exists():
            how = f"; make it with `{self.declared.prepare}`" if self.declared.prepare else ""
            raise XLIPError(
                f"{self.name}: no prepared set at {path}{how}, or name its place with --data {self.name}=PATH"
            )
        self._check_named_split(path)
        kinds = ",".join(self.declared.kinds)
        wanted = {"kinds": kinds, "split": self.declared.split, "require": require}
        cases = open_cases(path, laterals=self.declared.laterals, **wanted)
        if require == "labels":
            self._check_studies(cases)
        return cases

    def _path(self) -> str:
        if self.given:
            return self.given
        if self.declared.phantom:
            folder = self.out / "data" / self.name
            if not folder.exists():
                wanted = dict(self.declared.phantom)
                prepare("phantom", Path(), folder, workers=0, holdout=wanted.pop("holdout", 0.0), options=wanted)
            return str(folder)
        if "{root}" in self.declared.path and not self.root:
            raise XLIPError(
                f"{self.name}: name the folder of prepared sets with --root DIR, or --data {self.name}=PATH"
            )
        return self.declared.path.replace("{root}", self.root)

    def _check_named_split(self, path: str) -> None:
        if not self.declared.named_split:
            return
        file, found = Path(path) / "stats.json", ""
        if file.is_file():
            with reading(file, "copy or prepare it again"):
                found = json.loads(file.read_text("utf-8")).get("split_name", "")
        if found != self.declared.named_split:
            raise XLIPError(
                f"{self.name}: {path} was prepared with the split {found or 'of its source'!r}, the suite needs "
                f"{self.declared.named_split!r}; prepare it with --split {self.declared.named_split}"
            )

    def _check_studies(self, cases: Cases) -> None:
        declared = self.declared
        if not (declared.images or declared.studies or declared.checksum):
            return
        ids = [case.study_id for case in cases.items]
        checksum = split_id("", ids).rsplit(":", 1)[1]
        counts = {"images": len(ids), "studies": len({id_.rpartition("/")[0] for id_ in ids}), "checksum": checksum}
        for what, found in counts.items():
            wanted = getattr(declared, what)
            if wanted and wanted != found:
                raise XLIPError(
                    f"{self.name}: split {cases.name}: {what} {found}, the suite declares {wanted}; figures would not "
                    "be comparable: prepare the right split, or change the suite file"
                )


def _run_entry(
    name: str,
    spec: str,
    model: ImageTextModel,
    entry: SuiteEntry,
    place: _Place,
    folder: Path,
    options: Mapping[str, Any],
) -> Outcome:
    try:
        entry = _as_classifier(model, entry)
        cls = evaluator_class(entry.evaluator)
        cases = place.open(getattr(cls, "require", "labels"))
        known = {item.name for item in fields(cls)}
        data = cases.origin.data if cases.origin else ""
        given = {"data": data, **options}
        evaluator = entry.build({key: value for key, value in given.items() if key in known})
        subject = model.with_preprocess(entry.preprocess) if entry.preprocess else model
        result = evaluator.run(_weights(subject, entry), cases)
        if result.identity["checkpoint"] == IN_MEMORY:
            identity = {**result.identity, "checkpoint": model.identity}
            result = replace(result, identity=identity)
        write_folder(result, folder / entry.name)
    except XLIPError as error:
        return Outcome(name, entry.name, None, (str(error),))
    problems = tuple(one_class_kinds(result))
    if unknown := getattr(result.figures, "not_trained_on", ()):
        problems += (f"left out, the classifier was not trained on them: {', '.join(unknown)}",)
    prompts = str(entry.options.get("prompts", ""))
    return Outcome(name, entry.name, result, problems, spec, data, folder / entry.name, prompts, entry.data)


def _as_classifier(model: ImageTextModel, entry: SuiteEntry) -> SuiteEntry:
    """Where prompts are asked of a fine-tuned classifier, its own answers to the kinds are evaluated instead."""
    if entry.evaluator != "zeroshot" or not isinstance(model, ClassifierModel):
        return entry
    known = {item.name for item in fields(evaluator_class("classify"))}
    return replace(
        entry, evaluator="classify", options={key: value for key, value in entry.options.items() if key in known}
    )


def _weights(model: ImageTextModel, entry: SuiteEntry) -> Any:
    """What the evaluator takes: the model as evaluators see it, or the weights themselves for one that trains them."""
    if entry.evaluator not in NEEDS_WEIGHTS:
        return model
    if not isinstance(model, XLIPAdapter):
        raise XLIPError(f"{entry.evaluator}: only XLIP checkpoints can be trained; got {model.identity}")
    return model.model


def _said(say: Say, outcome: Outcome) -> Outcome:
    where = f"{outcome.model} {outcome.entry}"
    if outcome.result is not None:
        figures = ", ".join(f"{name.strip()} {_number(value)}" for name, value, _ in outcome.headline)
        identity = ", ".join(f"{key} {value}" for key, value in outcome.result.identity.items())
        say(f"{where}: {figures}; {identity}")
    for problem in outcome.problems:
        say(f"{where}: FAULT {' '.join(problem.split())}")
    return outcome


def _folder_names(models: Sequence[str]) -> dict[str, str]:
    """A short name of its own for each model: the end of its path."""
    names: dict[str, str] = {}
    for spec in models:
        base = Path(spec.removeprefix("hf:")).name or spec
        taken = base
        while taken in names.values():
            taken = f"{base}-{len(names)}"
        names[spec] = taken
    return names


def _write_summary(out: Path, suite: Suite, outcomes: Sequence[Outcome]) -> None:
    entries = [
        {
            "model": one.model,
            "entry": one.entry,
            "evaluator": one.result.evaluator if one.result else None,
            "figures": {name.strip(): value for name, value, _ in one.headline},
            "identity": dict(one.result.identity) if one.result else {},
            "problems": list(one.problems),
        }
        for one in outcomes
    ]
    header, *body = summary_rows(outcomes)
    lines = [markdown_table(header, body), ""]
    names, *readings = negation_rows(outcomes)
    if readings:
        lines += ["Macro AUROC by each reading of the prompts (docs/protocols.md, negation):", ""]
        lines += [markdown_table(names, readings), ""]
    families, *spread = prompt_rows(outcomes)
    if spread:
        lines += ["The worst prompt set beside the best (changed: p < 0.05 against the first set, after Holm):", ""]
        lines += [markdown_table(families, spread), ""]
    lines += [f"- {one.model} {one.entry}: {line}" for one in outcomes for line in one.problems]
    lines += ["", "One line per figure:", ""]
    lines += [
        f"- {one.model} {one.entry}: {line}" for one in outcomes if one.result for line in paper_lines(one.result)
    ]
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "summary.json", {"suite": suite.name, "entries": entries})
    text = f"# Suite {suite.name}\n\n{suite.about}\n\n" + "\n".join(lines).rstrip() + "\n"
    write_whole(out / "summary.md", text.encode())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

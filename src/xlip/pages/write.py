"""`xlip report`: page, table and model card of one evaluation (docs/reference/metrics.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xlip.errors import XLIPError
from xlip.files import check_target, write_whole
from xlip.pages import sections
from xlip.pages.abstention import abstention
from xlip.pages.cohort import cohort, lines
from xlip.pages.grounding import grounding
from xlip.pages.kind_table import kind_csv
from xlip.pages.model_card import model_card
from xlip.pages.negation import negation
from xlip.pages.operating_points import OperatingPoints
from xlip.pages.page import Page
from xlip.pages.training_facts import set_statistics, training_facts
from xlip.results.figures import QueryFigures
from xlip.results.folder import read_result
from xlip.results.result import Result
from xlip.shipped import model_place

if TYPE_CHECKING:
    from xlip.evaluate.adapter import ImageTextModel
    from xlip.evaluate.measured import MeasuredExport
    from xlip.evaluate.suite import Outcome
    from xlip.pages.gallery import Gallery

PAGE, TABLE, CARD = "report.html", "per_kind.csv", "README.md"


@dataclass(frozen=True)
class ReportConfig:
    """`xlip report`."""

    evaluation: str
    """Folder of an evaluation: metrics.json, scores.csv."""
    out: str
    """Folder for report.html, per_kind.csv and the model card README.md."""
    model: str = ""
    """Folder of the run or model that was evaluated: adds cases with heat-maps and, to the card, the training."""
    data: str = ""
    """Prepared Parquet or CSV that was evaluated; with `model`."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    prompts: str = ""
    """Prompt set that the heat-maps answer to: a shipped one or a YAML file; default: the evaluation's."""


def pages_of_folder(config: ReportConfig) -> list[Path]:
    """Write page, table and card of an evaluation's folder; returns the files.

    Raises:
        XLIPError: not the folder of an evaluation, an evaluation of another model or of other data, or only one of
            model and data.
    """
    from xlip.evaluate.measured import open_measured

    if bool(config.model) != bool(config.data):
        raise XLIPError("report: --model and --data go together (cases with heat-maps need both); give both or none")
    result = read_result(Path(config.evaluation))
    if not config.model:
        return write_pages(result, Path(config.out))
    options = {"image_column": config.image_column, "prompts": config.prompts}
    gallery = gallery_of(result, open_measured(config.model), config.data, **options)
    split_name = _official_split(config.data)
    return write_pages(result, Path(config.out), gallery=gallery, run=Path(config.model), split_name=split_name)


def add_pages(
    result: Result,
    folder: Path,
    *,
    model: ImageTextModel | MeasuredExport | None = None,
    run: str = "",
    data: str = "",
    image_column: str = ReportConfig.image_column,
    prompts: str = "",
) -> list[Path]:
    """Add page, table and model card to the folder of a result in memory.

    Args:
        result: what an evaluator returned.
        folder: where `metrics.json` and the rest stand.
        model: adds the cases of a classifying evaluator with heat-maps, where it is the one that was evaluated.
        run: folder of the run, whose records go into the card.
        data: the set that was evaluated; it names the official split too.
        image_column: of a CSV file.
        prompts: what was asked for, of which the heat-maps answer to the first set.

    Raises:
        XLIPError: the metrics are not what the schema says, or the data are not those of the result.
    """
    own = model is not None and model.identity == result.identity["checkpoint"]
    first = prompts.partition(",")[0]
    options = {"image_column": image_column, "prompts": "" if first == "all" else first}
    gallery = gallery_of(result, model, data, **options) if model is not None and own and data else None
    split_name = _official_split(data) if data else ""
    return write_pages(result, folder, gallery=gallery, run=Path(run) if run else None, split_name=split_name)


def add_pages_of_suite(outcomes: Sequence[Outcome]) -> list[str]:
    """Add a report to the folder of every entry of a suite; returns a line for each that has a fault."""
    from xlip.evaluate.adapter import load_model

    problems, models = [], {}
    for one in outcomes:
        if one.result is None or one.folder is None:
            continue
        try:
            if one.spec not in models:
                models[one.spec] = load_model(one.spec)
            more = {"run": one.spec, "data": one.data, "prompts": one.prompts}
            add_pages(one.result, one.folder, model=models[one.spec], **more)
        except XLIPError as error:
            problems.append(f"{one.model} {one.entry}: no report ({error})")
    return problems


def _official_split(data: str) -> str:
    """Name of the published split that a set was prepared with; '' for its source's own."""
    return str(set_statistics(Path(data)).get("split_name", ""))


def write_pages(
    result: Result, out: Path, *, gallery: Gallery | None = None, run: Path | None = None, split_name: str = ""
) -> list[Path]:
    """`report.html`, `per_kind.csv` (where something was classified) and the card `README.md` into a folder."""
    check_target(out, folder=True)
    page, points = evaluation_page(result, gallery=gallery, split_name=split_name)
    facts = training_facts(Path(model_place(str(run)))) if run else None
    name = run.name if run else str(result.identity["checkpoint"])
    files = {CARD: model_card(result, points, name=name, facts=facts)}
    if result.kinds:
        files[TABLE] = kind_csv(result.kinds, points)
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        write_whole(out / file, text.encode())
    page.write(out / PAGE)
    return [out / PAGE, *(out / file for file in files)]


def evaluation_page(
    result: Result, *, gallery: Gallery | None = None, split_name: str = ""
) -> tuple[Page, OperatingPoints | None]:
    """The page, and the decisions that it shows."""
    set_name = str(result.identity["split"]).rsplit(":", 2)[0]
    page = Page(f"{TITLES.get(result.evaluator, result.evaluator)} on {set_name}")
    sections.headline(page, result)
    sections.kinds(page, result)
    sections.exclusive(page, result)
    cohort(page, result)
    sections.groups(page, result)
    grounding(page, result)
    sections.other_figures(page, result)
    sections.shares(page, result)
    sections.published(page, result, split_name)
    negation(page, result)
    sections.prompts(page, result)
    sections.curves(page, result)
    sections.calibration(page, result)
    points = sections.decisions(page, result)
    abstention(page, result)
    if gallery is not None:
        from xlip.pages.gallery import section

        section(page, result, gallery)
    sections.retrieval(page, result)
    lines(page, result)
    sections.glossary(page)
    return page, points


TITLES = {
    "zeroshot": "Zero-shot classification",
    "probe": "Linear probe",
    "finetune": "Fine-tuning",
    "retrieval": "Image-text retrieval",
    "grounding": "Phrase grounding",
}


def gallery_of(
    result: Result, model: ImageTextModel | MeasuredExport, data: str, *, image_column: str, prompts: str
) -> Gallery:
    """Best and worst cases of an evaluation, read from its data; empty where nothing was classified.

    Args:
        result: what was measured.
        model: what it was measured on.
        data: the prepared set or CSV file that was evaluated, with any split.
        image_column: of a CSV file.
        prompts: set that the heat-maps answer to; "": the evaluation's.

    Raises:
        XLIPError: another checkpoint than the one that was evaluated, or other data.
    """
    from xlip.evaluate.cases import Origin
    from xlip.pages.gallery import Gallery, choose, draw
    from xlip.study.prompts import load_prompts, prompt_sets

    # A classifier encodes no prompt that a map could answer to.
    if result.predictions is None or isinstance(result.figures, QueryFigures) or _textless(model):
        return Gallery(())
    said = result.identity["checkpoint"]
    if model.identity != said:
        raise XLIPError(f"--model is the checkpoint {model.identity}, the evaluation is of {said}; name that one")
    used = str(result.identity.get("prompts", "xlip")).partition("@")[0]
    if not prompts and used not in prompt_sets():
        raise XLIPError(f"the evaluation used prompts of your own, {used!r}; name their YAML file with --prompts")
    prompt_set = load_prompts(prompts or used)
    subject = model.with_preprocess(result.identity["preprocessing"].partition("/")[0])
    cases = Origin(data, require="image", image_column=image_column).cases()
    return draw(subject, cases, choose(result.predictions), prompt_set)


def _textless(model: ImageTextModel | MeasuredExport) -> bool:
    from xlip.evaluate.measured import MeasuredExport

    if isinstance(model, MeasuredExport):
        return False
    from xlip.evaluate.classifier import ClassifierModel

    return isinstance(model, ClassifierModel)

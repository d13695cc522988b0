"""`xlip report`: page, table and model card of one evaluation (PROTOCOLS 2 and 5)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xlip.errors import XLIPError
from xlip.evaluate.page import Page
from xlip.report import sections
from xlip.report.evaluation import Evaluation, from_result, read_evaluation
from xlip.report.kind_table import kind_csv
from xlip.report.model_card import model_card
from xlip.report.operating_points import OperatingPoints
from xlip.report.training_facts import set_statistics, training_facts

if TYPE_CHECKING:
    from xlip.config import ReportConfig
    from xlip.evaluate.result import Result
    from xlip.report.gallery import Gallery

PAGE, TABLE, CARD = "report.html", "per_kind.csv", "README.md"


def report(config: ReportConfig) -> list[Path]:
    """Write the report of an evaluation's folder; returns the files.

    Raises:
        XLIPError: not the folder of an evaluation, an evaluation of another model or of other data, or only one of
            model and data.
    """
    if bool(config.model) != bool(config.data):
        raise XLIPError("report: --model and --data go together (cases with heat-maps need both); give both or none")
    evaluation = read_evaluation(Path(config.evaluation))
    options = {"image_column": config.image_column, "prompts": config.prompts}
    gallery = gallery_of(evaluation, config.model, config.data, **options) if config.model else None
    out = Path(config.out)
    split_name = str(set_statistics(Path(config.data)).get("split_name", "")) if config.data else ""
    run = Path(config.model) if config.model else None
    return write_report(evaluation, out, gallery=gallery, run=run, split_name=split_name)


def add_report(result: Result, folder: Path, *, model: str = "", data: str = "", split_name: str = "") -> list[Path]:
    """Add page, table and model card to the folder of a result in memory, which must exist.

    Args:
        result: what an evaluator returned.
        folder: where `metrics.json` and the rest stand or will stand.
        model: folder of the run, '' for none: its records go into the card, and with `data` its cases into the page.
        data: the set that was evaluated.
        split_name: official name of the split (`nih/official`); default: of the prepared set.

    Raises:
        XLIPError: the metrics are not what the schema says, or the data are not those of the result.
    """
    evaluation = from_result(result)
    gallery = gallery_of(evaluation, model, data) if model and data else None
    if data and not split_name:
        split_name = str(set_statistics(Path(data)).get("split_name", ""))
    return write_report(evaluation, folder, gallery=gallery, run=Path(model) if model else None, split_name=split_name)


def write_report(
    evaluation: Evaluation, out: Path, *, gallery: Gallery | None = None, run: Path | None = None, split_name: str = ""
) -> list[Path]:
    """`report.html`, `per_kind.csv` (where something was classified) and the card `README.md` into a folder."""
    page, points = evaluation_page(evaluation, gallery=gallery, split_name=split_name)
    facts = training_facts(run) if run else None
    name = run.name if run else str(evaluation.metrics["checkpoint"])
    files = {CARD: model_card(evaluation, points, name=name, facts=facts)}
    if evaluation.per_kind:
        files[TABLE] = kind_csv(evaluation, points)
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (out / file).write_text(text, "utf-8")
    page.write(out / PAGE)
    return [out / PAGE, *(out / file for file in files)]


def evaluation_page(
    evaluation: Evaluation, *, gallery: Gallery | None = None, split_name: str = ""
) -> tuple[Page, OperatingPoints | None]:
    """The page, and the decisions that it shows."""
    set_name = str(evaluation.metrics["split"]).rsplit(":", 2)[0]
    page = Page(f"{TITLES.get(evaluation.evaluator, evaluation.evaluator)} on {set_name}")
    sections.headline(page, evaluation)
    sections.kinds(page, evaluation)
    sections.other_figures(page, evaluation)
    sections.shares(page, evaluation)
    sections.published(page, evaluation, split_name)
    sections.prompts(page, evaluation)
    sections.curves(page, evaluation)
    sections.calibration(page, evaluation)
    points = sections.decisions(page, evaluation)
    if gallery is not None:
        from xlip.report.gallery import section

        section(page, evaluation, gallery)
    sections.retrieval(page, evaluation)
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
    evaluation: Evaluation, model: str, data: str, *, image_column: str = "path", prompts: str = ""
) -> Gallery:
    """Best and worst cases of an evaluation, read from its data; empty where nothing was classified.

    Args:
        evaluation: what was measured.
        model: its checkpoint.
        data: the prepared set or CSV file that was evaluated, with any split.
        image_column: of a CSV file.
        prompts: set that the heat-maps answer to; default: the evaluation's.

    Raises:
        XLIPError: another checkpoint than the one that was evaluated, or other data.
    """
    from xlip.data.prompts import load_prompts
    from xlip.evaluate.adapter import load_model
    from xlip.evaluate.cases import Origin
    from xlip.report.gallery import Gallery, choose, draw

    if evaluation.predictions is None:
        return Gallery(())
    loaded = load_model(model)
    found, said = loaded.identity, evaluation.metrics["checkpoint"]
    if found != said:
        raise XLIPError(
            f"{model}: its checkpoint is {found}, the evaluation's {said}; name the model that was evaluated"
        )
    prompt_set = load_prompts(prompts or str(evaluation.metrics.get("prompts", "xlip")).partition("@")[0])
    cases = Origin(data, require="image", image_column=image_column).cases()
    return draw(loaded, cases, choose(evaluation.predictions), prompt_set)

"""The model card: README.md in the form of the Hugging Face hub, from an evaluation and the run's own records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xlip.pages.evaluation import Evaluation
from xlip.pages.flat_figures import flat_figures, number
from xlip.pages.operating_points import RULES, OperatingPoints
from xlip.pages.plots import readable
from xlip.pages.sections import KIND_HEADER, kind_rows
from xlip.pages.training_facts import TrainingFacts

TASKS = {"zeroshot": "zero-shot-image-classification"}
"""Evaluator -> task of the hub; any other classifies images."""
WEAK = 0.7
"""An AUROC below this is named among the limits."""
INTENDED = """Research on learning from chest radiographs and reports: classification by prompts, retrieval, a start for
fine-tuning. For people who can judge its errors.

**Not a medical device.** It was never tested or approved for diagnosis, triage or any decision about a patient, and
must not be used for one. Not for other body parts, other modalities, lateral views or photographs of films."""


def model_card(
    evaluation: Evaluation, points: OperatingPoints | None, *, name: str, facts: TrainingFacts | None
) -> str:
    """The card as Markdown with a YAML head.

    Args:
        evaluation: what was measured.
        points: its decisions.
        name: of the model.
        facts: of its training; None where the run's records are not there.
    """
    parts = [
        _head(evaluation, name),
        f"# {name}",
        "A vision-language model for frontal chest radiographs: images and texts in one space. Research use only.",
        "## Intended use",
        INTENDED,
        "## Use",
        f'```python\nfrom xlip import XLIPModel\n\nmodel = XLIPModel.from_pretrained("{name}")\n'
        'image, text = model.encode_image("chest.png"), model.encode_text("pleural effusion")\n'
        "similarity = float(image @ text.T)\n```",
        "## Training data",
        *_training(facts),
        "## Results",
        *_results(evaluation, points),
        "## Limits",
        "\n".join(f"- {line}" for line in limits(evaluation, points, facts)),
    ]
    return "\n\n".join(parts) + "\n"


def limits(evaluation: Evaluation, points: OperatingPoints | None, facts: TrainingFacts | None) -> list[str]:
    """What the evaluation itself says against trusting the model."""
    lines = [
        f"Measured on one split of {evaluation.metrics.get('images', 0):,} images; another hospital, scanner, age "
        "group or prevalence can change every figure.",
        "Labels of public sets are often made from reports by software; their errors count for and against a model.",
    ]
    weak = [kind for kind in evaluation.counted if (evaluation.per_kind[kind]["auroc"] or 0) < WEAK]
    if weak:
        lines.append(f"AUROC below {WEAK} for {_listed(weak)}: do not rely on these.")
    unsure = [kind for kind in evaluation.counted if (evaluation.per_kind[kind]["ci95"][0] or 0) <= 0.5]
    if unsure:
        lines.append(f"Not told apart from guessing, the interval reaches 0.5: {_listed(unsure)}.")
    if evaluation.per_kind and evaluation.metrics["left_out"]:
        lines.append(f"Too few cases to judge: {_listed(evaluation.metrics['left_out'])}.")
    if points and points.rule != "val":
        lines.append("No validation split stood beside the test split: no threshold was chosen on other data.")
    if evaluation.metrics.get("dropped"):
        lines.append(f"{evaluation.metrics['dropped']} images could not be read and are in no figure.")
    if "prompts" in evaluation.metrics:
        lines.append(
            f"The figures hold for the prompts {evaluation.metrics['prompts']}; other words give other figures."
        )
    if facts and {one.source for one in facts.sets} == {"phantom"}:
        lines.append("Trained on drawn phantoms alone: its figures say nothing of radiographs.")
    return [*lines, "A score is not a probability of disease, and a heat-map is not a segmentation."]


def _head(evaluation: Evaluation, name: str) -> str:
    import yaml

    head: dict[str, Any] = {
        "library_name": "xlip",
        "license": "other",
        "license_name": "terms-of-the-training-data",
        "language": ["en"],
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["medical", "radiology", "chest-x-ray", "vision-language", "research-only"],
    }
    if evaluation.per_kind:
        head["metrics"] = ["roc_auc"]
        head["model-index"] = [{"name": name, "results": [_hub_result(evaluation)]}]
    return "---\n" + yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120) + "---"


def _hub_result(evaluation: Evaluation) -> dict[str, Any]:
    metrics = evaluation.metrics
    split = str(metrics["split"])
    named = {"macro AUROC": metrics["macro_auroc"], "macro AUPRC": metrics.get("macro_auprc")}
    for kind, figures in evaluation.per_kind.items():
        named[f"AUROC {readable(kind)}"] = figures["auroc"]
    types = {True: "average_precision", False: "roc_auc"}
    values = [
        {"type": types["AUPRC" in label], "name": label, "value": round(value, 4)}
        for label, value in named.items()
        if value is not None
    ]
    set_name = split.rsplit(":", 2)[0]
    task = TASKS.get(evaluation.evaluator, "image-classification")
    return {
        "task": {"type": task},
        "dataset": {"name": set_name, "type": set_name, "revision": split},
        "metrics": values,
    }


def _training(facts: TrainingFacts | None) -> list[str]:
    if facts is None:
        return ["Not recorded beside this evaluation: the run's folder was not named, or holds no `run.json`."]
    rows = [
        (
            one.stream,
            one.name,
            one.source or "not there any more",
            *(
                f"{one.counts[name]:,}" if name in one.counts else "-"
                for name in ("studies", "images", "reports", "patients")
            ),
        )
        for one in facts.sets
    ]
    header = ("stream", "set", "source", "studies", "images", "reports", "patients")
    return [
        "Counts are of the whole prepared sets; their licences and terms apply to what was learned from them.",
        table(header, rows),
        f"{facts.steps:,} steps at {facts.image_size} pixels, seed {facts.seed}, "
        f"objectives {', '.join(facts.objectives)}; disease kinds {_listed(facts.kinds) or 'none'}.",
    ]


def _results(evaluation: Evaluation, points: OperatingPoints | None) -> list[str]:
    identity = "; ".join(f"{name} `{value}`" for name, value in evaluation.identity.items())
    lines = [f"Evaluator {evaluation.evaluator}; {identity}."]
    if evaluation.per_kind:
        metrics = evaluation.metrics
        low, high = (number(bound) for bound in metrics["macro_ci95"])
        lines.append(f"Macro AUROC **{number(metrics['macro_auroc'])}** (95 % interval {low} to {high}).")
        lines.append(table(KIND_HEADER, kind_rows(evaluation)))
    else:
        flat = [(one.name, one.value, one.interval) for one in flat_figures(evaluation.metrics)]
        lines.append(table(("figure", "value", "95 % interval"), flat))
    if points:
        chosen = points.chosen()
        rows = [
            (readable(kind), number(m.threshold), number(m.sensitivity), number(m.specificity), number(m.f1))
            for kind, m in chosen.items()
        ]
        lines.append(f"Decisions, rule {points.rule}: {RULES[points.rule]}.")
        lines.append(table(("finding", "threshold", "sensitivity", "specificity", "F1"), rows))
    return lines


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    body = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *body])


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(readable(kind) for kind in kinds)

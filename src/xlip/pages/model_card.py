"""The model card: README.md in the form of the Hugging Face hub, from an evaluation and the run's own records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from xlip.markdown import markdown_table
from xlip.pages.flat_figures import flat_figures, number, span
from xlip.pages.groups import GROUP_HEADER, group_rows, worst_group_words
from xlip.pages.operating_points import RULES, OperatingPoints
from xlip.pages.plots import readable
from xlip.pages.sections import KIND_HEADER, kind_rows
from xlip.pages.training_facts import TrainingFacts
from xlip.results.figures import Classification
from xlip.results.result import Result

TASKS = {"zeroshot": "zero-shot-image-classification"}
"""Evaluator -> task of the hub; any other classifies images."""
WEAK = 0.7
"""An AUROC below this is named among the limits."""
INTENDED = """Research on learning from chest radiographs and reports: classification by prompts, retrieval, a start for
fine-tuning. For people who can judge its errors.

**Not a medical device.** It was never tested or approved for diagnosis, triage or any decision about a patient, and
must not be used for one. Not for other body parts, other modalities, lateral views or photographs of films."""


ENCODE = """from xlip import XLIPModel

model = XLIPModel.from_pretrained("{name}")
image, text = model.encode_image("chest.png"), model.encode_text("pleural effusion")
similarity = float(image @ text.T)"""
CLASSIFY = """from xlip import XLIPClassifier

model = XLIPClassifier.from_pretrained("{name}")
print(model.predict("chest.png")[0])  # kind -> probability"""
NOT_MEASURED = "No evaluation was named when this card was written: nothing is known of how well the model does."


def model_card(
    result: Result | None, points: OperatingPoints | None, *, name: str, facts: TrainingFacts | None, use: str = ""
) -> str:
    """The card as Markdown with a YAML head.

    Args:
        result: what was measured; None where nothing was.
        points: its decisions.
        name: of the model.
        facts: of its training; None where the run's records are not there.
        use: lines of Python with a place for the name; default: encoding an image and a text.
    """
    parts = [
        _head(result, name),
        f"# {name}",
        "A vision-language model for frontal chest radiographs: images and texts in one space. Research use only.",
        "## Intended use",
        INTENDED,
        "## Use",
        f"```python\n{(use or ENCODE).replace('{name}', name)}\n```",
        "## Training data",
        *_training(facts),
        "## Results",
        *(_results(result, points) if result else [NOT_MEASURED]),
        "## Limits",
        "\n".join(f"- {line}" for line in limits(result, points, facts)),
    ]
    return "\n\n".join(parts) + "\n"


def limits(result: Result | None, points: OperatingPoints | None, facts: TrainingFacts | None) -> list[str]:
    """What the evaluation itself says against trusting the model; without one, what always holds."""
    lines = _limits_of(result, points) if result else ["Not measured: use it only after you have, on data of your own."]
    if facts and {one.source for one in facts.sets} == {"phantom"}:
        lines.append("Trained on drawn phantoms alone: its figures say nothing of radiographs.")
    return [*lines, "A score is not a probability of disease, and a heat-map is not a segmentation."]


def _limits_of(result: Result, points: OperatingPoints | None) -> list[str]:
    lines = [
        f"Measured on one split of {result.figures.images:,} images; another hospital, scanner, age "
        "group or prevalence can change every figure.",
        "Labels of public sets are often made from reports by software; their errors count for and against a model.",
    ]
    if result.kinds:
        counted = {kind: result.kinds.per_kind[kind] for kind in result.kinds.counted}
        weak = [kind for kind, one in counted.items() if (one.auroc or 0) < WEAK]
        if weak:
            lines.append(f"AUROC below {WEAK} for {_listed(weak)}: do not rely on these.")
        unsure = [kind for kind, one in counted.items() if (one.ci95[0] or 0) <= 0.5]
        if unsure:
            lines.append(f"Not told apart from guessing, the interval reaches 0.5: {_listed(unsure)}.")
        if result.kinds.left_out:
            lines.append(f"Too few cases to judge: {_listed(result.kinds.left_out)}.")
        worst = worst_group_words(result.kinds)
        if worst:
            lines.append(worst)
    if points and points.rule != "val":
        lines.append("No validation split stood beside the test split: no threshold was chosen on other data.")
    if result.figures.dropped:
        lines.append(f"{result.figures.dropped} images could not be read and are in no figure.")
    if "prompts" in result.identity:
        lines.append(f"The figures hold for the prompts {result.identity['prompts']}; other words give other figures.")
    return lines


def _head(result: Result | None, name: str) -> str:
    """What the hub reads of a card, see its 'Model cards' and its `model-index`."""
    head: dict[str, Any] = {
        "language": ["en"],
        "library_name": "xlip",
        "license": "other",
        "license_name": "terms-of-the-training-data",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["medical", "radiology", "chest-x-ray", "vision-language", "research-only"],
    }
    if result is not None and result.kinds:
        head["metrics"] = ["roc_auc"]
        head["model-index"] = [{"name": name, "results": [_hub_results(result, result.kinds)]}]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000).strip()}\n---"


def _hub_results(result: Result, figures: Classification) -> dict[str, Any]:
    """All figures of one set, as the hub wants them."""
    split = result.identity["split"]
    set_name = split.rsplit(":", 2)[0]
    found = [("roc_auc", "macro AUROC", figures.macro_auroc), ("average_precision", "macro AUPRC", figures.macro_auprc)]
    found += [("roc_auc", f"AUROC {readable(kind)}", one.auroc) for kind, one in figures.per_kind.items()]
    task = TASKS.get(result.evaluator, "image-classification")
    return {
        "task": {"type": task, "name": task.replace("-", " ").capitalize()},
        "dataset": {"name": set_name, "type": set_name, "revision": split},
        "metrics": [
            {"type": form, "value": round(float(value), 4), "name": label}
            for form, label, value in found
            if value is not None
        ],
    }


def _training(facts: TrainingFacts | None) -> list[str]:
    if facts is None:
        return ["Not recorded: the run's folder was not named, or holds no `run.json`."]
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
        markdown_table(header, rows),
        f"{facts.steps:,} steps at {facts.image_size} pixels, seed {facts.seed}, "
        f"objectives {', '.join(facts.objectives)}; disease kinds {_listed(facts.kinds) or 'none'}.",
    ]


def _results(result: Result, points: OperatingPoints | None) -> list[str]:
    identity = "; ".join(f"{name} `{value}`" for name, value in result.identity.items())
    lines = [f"Evaluator {result.evaluator}; {identity}."]
    if result.kinds:
        macro = f"Macro AUROC **{number(result.kinds.macro_auroc)}** (95 % interval {span(*result.kinds.macro_ci95)})."
        lines += [macro, markdown_table(KIND_HEADER, kind_rows(result.kinds))]
        if groups := group_rows(result.kinds):
            lines.append(markdown_table(GROUP_HEADER, groups))
    else:
        flat = [(one.name, one.value, one.interval) for one in flat_figures(result.figures.to_json())]
        lines.append(markdown_table(("figure", "value", "95 % interval"), flat))
    if points:
        chosen = points.chosen()
        rows = [
            (readable(kind), number(m.threshold), number(m.sensitivity), number(m.specificity), number(m.f1))
            for kind, m in chosen.items()
        ]
        lines.append(f"Decisions, rule {points.rule}: {RULES[points.rule]}.")
        lines.append(markdown_table(("finding", "threshold", "sensitivity", "specificity", "F1"), rows))
    return lines


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(readable(kind) for kind in kinds)

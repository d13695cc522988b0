"""The sections of an evaluation's page; each adds itself where the evaluation has what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xlip.metrics.kinds import left_out_note
from xlip.pages.comparison_table import published_sections
from xlip.pages.evaluation import Evaluation
from xlip.pages.figures import confusion_matrices, pr_curves, prompt_spread, reliability_diagrams
from xlip.pages.flat_figures import (
    SEED_HEADER,
    SHARE_HEADER,
    flat_figures,
    number,
    seed_rows,
    share_rows,
    span,
)
from xlip.pages.operating_points import RULES, OperatingPoints, are_probabilities, both_classes, operating_points
from xlip.pages.page import Page, figure_text
from xlip.pages.plots import bars, readable, roc_curves

if TYPE_CHECKING:
    from xlip.results.result import Predictions

NOT_A_DEVICE = "Research use only; not a medical device. Nothing here may guide the care of a patient."
MEANING = {
    "AUROC": "chance that an image with the finding scores higher than one without it: 0.5 = guessing, 1 = perfect.",
    "AUPRC": "mean precision over all recalls; guessing reaches the prevalence, so compare it within a kind only.",
    "95 % interval": "where the figure lies when patients are drawn anew, 1,000 times unless stated otherwise.",
    "macro": "mean over the kinds that have at least 10 images with and 10 without the finding.",
    "F1, MCC": "one-number summaries of yes/no decisions: F1 from 0 to 1, MCC from -1 over 0 (guessing) to 1.",
    "ECE": "expected calibration error: mean gap between a score and the share of positives with it; 0 = calibrated.",
    "sensitivity, specificity": "share of images with the finding that are found; of those without it that are passed.",
}


def headline(page: Page, evaluation: Evaluation) -> None:
    """The large figures, and what they were made with."""
    page.text(NOT_A_DEVICE, note=True)
    metrics = evaluation.metrics
    if evaluation.per_kind:
        low, high = metrics["macro_ci95"]
        interval = f"95 % interval {number(low)} to {number(high)}"
        cards = [("macro AUROC", number(metrics["macro_auroc"]), f"{interval}; guessing: 0.500")]
        if metrics.get("macro_auprc") is not None:
            cards.append(
                ("macro AUPRC", number(metrics["macro_auprc"]), f"guessing: {number(_prevalence(evaluation))}")
            )
        kinds = f"{len(evaluation.counted)} of {len(evaluation.per_kind)} kinds in the macro mean"
        cards.append(("images", f"{metrics['images']:,}", kinds))
        page.cards(cards)
    else:
        shown = list(flat_figures(metrics))[:4]
        page.cards([(one.name, one.value, one.interval and f"95 % interval {one.interval}") for one in shown])
    page.contents()
    page.table(("made with", ""), list(evaluation.identity.items()), words=(1,))
    if evaluation.dropped:
        page.text(f"{len(evaluation.dropped)} images could not be read and are missing from every figure.", note=True)
        page.table(("row", "reason"), evaluation.dropped[:20], words=(1,), folded="the first of them")


def kinds(page: Page, evaluation: Evaluation) -> None:
    """Bars and table of the kinds."""
    if not evaluation.per_kind:
        return
    page.heading("Each finding")
    figures = evaluation.per_kind
    names = sorted(figures, key=lambda kind: -(figures[kind]["auroc"] or 0))
    areas = {"AUROC": [figures[kind]["auroc"] for kind in names]}
    spans = {"AUROC": [figures[kind]["ci95"] for kind in names]}
    page.figure(
        bars(names, areas, spans, label="AUROC"),
        "AUROC of each finding; the line at its end is the 95 % interval, the dotted line is guessing.",
    )
    page.table(KIND_HEADER, kind_rows(evaluation))
    if evaluation.metrics["left_out"]:
        left_out = [readable(kind) for kind in evaluation.metrics["left_out"]]
        page.text(f"{left_out_note(left_out)}.", note=True)


def shares(page: Page, evaluation: Evaluation) -> None:
    """What few labels bring, and how far training seeds differ."""
    by_share, by_seed = share_rows(evaluation.metrics), seed_rows(evaluation.metrics)
    if not by_share and not by_seed:
        return
    page.heading("Label shares and seeds")
    if by_share:
        page.text("Macro AUROC after training on a share of the labels: mean over the seeds.")
        page.table(SHARE_HEADER, by_share)
    if by_seed:
        page.table(SEED_HEADER, by_seed)


def other_figures(page: Page, evaluation: Evaluation) -> None:
    """All numbers of an evaluator that does not classify."""
    if not evaluation.per_kind:
        page.heading("All figures")
        rows = [(one.name, one.value, one.interval) for one in flat_figures(evaluation.metrics)]
        page.table(("figure", "value", "95 % interval"), rows)


def curves(page: Page, evaluation: Evaluation) -> None:
    """ROC and precision-recall curves."""
    test = evaluation.predictions
    if test is None or not any(True for _ in both_classes(test)):
        return
    page.heading("ROC and precision-recall curves")
    arrays = test.kinds, test.labels, test.scores
    page.figure(
        roc_curves(*arrays),
        "ROC: share of the images with the finding that are found (up) over the share of false alarms among the others "
        "(right), over all thresholds. Above each: the AUROC.",
    )
    page.figure(
        pr_curves(*arrays),
        "Precision (up: share of the alarms that are right) over recall (right: share of the findings that are found). "
        "Dotted: the prevalence, which guessing reaches. Above each: the AUPRC.",
    )


def calibration(page: Page, evaluation: Evaluation) -> None:
    """Reliability diagrams with ECE."""
    from xlip.metrics.calibration import expected_calibration_error

    test = evaluation.predictions
    measured = list(both_classes(test)) if test else []
    if test is None or not measured:
        return
    page.heading("Are the scores probabilities?")
    if not are_probabilities(test):
        page.text("The scores of this evaluator do not lie between 0 and 1, so calibration has no meaning for them.")
        return
    errors = [expected_calibration_error(labels, scores) for _, labels, scores in measured]
    page.text(
        f"Mean ECE {figure_text(float(np.mean(errors)))}. A score of 0.8 should be right four times in five: points on "
        "the dotted line are calibrated, below it the scores promise too much, above it too little."
    )
    page.figure(
        reliability_diagrams(test.kinds, test.labels, test.scores),
        "Share of images with the finding over their mean score, in 15 equally wide bins; larger points, more images.",
    )
    scaled = temperature_rows(test, evaluation.validation)
    if scaled:
        page.text("One temperature per finding, fitted on the validation split, makes the scores milder or bolder:")
        page.table(("finding", "temperature", "ECE before", "ECE after"), scaled)


def decisions(page: Page, evaluation: Evaluation) -> OperatingPoints | None:
    """Confusion matrices at the chosen threshold, and every rule's figures."""
    points = operating_points(evaluation.predictions, evaluation.validation) if evaluation.predictions else None
    if points is None:
        return None
    page.heading("Yes-or-no decisions")
    rule = points.rule
    why = "" if rule == "val" else " There are no validation scores to choose a threshold on."
    page.text(f"Rule {rule}: {RULES[rule]}.{why}")
    page.figure(
        confusion_matrices(points.chosen()),
        f"Confusion matrices under the rule {rule}: rows are the truth, columns the decision; per cent of the row.",
    )
    page.table(POINT_HEADER, point_rows(points, rule))
    others = [name for name in RULES if name != rule and all(name in rules for rules in points.table.values())]
    for name in others:
        label = f"{name} (chosen on the test set)" if name == "oracle" else name
        page.table(POINT_HEADER, point_rows(points, name), folded=f"Rule {label}: {RULES[name]}")
    return points


def prompts(page: Page, evaluation: Evaluation) -> None:
    """How far the wording of the prompts moves the figures."""
    sets = evaluation.metrics.get("sensitivity", {}).get("sets")
    if not sets:
        return
    page.heading("Does the wording of the prompts matter?")
    known = {name: figures["macro_auroc"] for name, figures in sets.items() if figures["macro_auroc"] is not None}
    if len(known) > 1:
        worst, best = min(known, key=lambda name: known[name]), max(known, key=lambda name: known[name])
        page.text(
            f"Macro AUROC from {number(known[worst])} ({worst}) to {number(known[best])} ({best}), "
            f"a spread of {number(known[best] - known[worst])} over {len(known)} prompt sets."
        )
    page.figure(prompt_spread(list(evaluation.per_kind), sets), "AUROC of each finding under each prompt set.")
    rows = [(name, number(figures["macro_auroc"])) for name, figures in sets.items()]
    page.table(("prompt set", "macro AUROC"), rows)


def retrieval(page: Page, evaluation: Evaluation) -> None:
    """What some queries found."""
    examples = evaluation.metrics.get("examples")
    if not examples:
        return
    page.heading("Retrieval examples")
    for example in examples:
        page.text(f"Query: {example['query']}")
        rows = [
            (rank, item["what"], "yes" if item.get("hit") else "no", number(item.get("score")))
            for rank, item in enumerate(example["found"], 1)
        ]
        page.table(("rank", "found", "right", "score"), rows, words=(1,))


def published(page: Page, evaluation: Evaluation, split_name: str) -> None:
    """Published figures that are comparable, and why the others are not."""
    if evaluation.per_kind:
        published_sections(page, evaluation, split_name)


def glossary(page: Page) -> None:
    """What the words mean."""
    page.heading("What the words mean")
    page.table(("word", "meaning"), list(MEANING.items()), words=(1,))


def temperature_rows(test: Predictions, validation: Predictions | None) -> list[tuple[str, ...]]:
    """(kind, temperature, ECE before, ECE after) of the kinds with both classes in both splits."""
    from xlip.metrics.calibration import apply_temperature, expected_calibration_error, fit_temperature, logits

    if validation is None or not are_probabilities(validation):
        return []
    fitted = {kind: fit_temperature(labels, logits(scores)) for kind, labels, scores in both_classes(validation)}
    rows = []
    for kind, labels, scores in both_classes(test):
        if kind in fitted:
            after = apply_temperature(logits(scores), fitted[kind])
            errors = (expected_calibration_error(labels, values) for values in (scores, after))
            rows.append((readable(kind), *(figure_text(value) for value in (fitted[kind], *errors))))
    return rows


KIND_HEADER = ("finding", "AUROC", "95 % interval", "AUPRC", "with it", "without it")


def kind_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """One row per kind, and the macro mean."""
    metrics = evaluation.metrics
    rows = [
        (
            readable(kind),
            number(figures["auroc"]),
            span(*figures["ci95"]),
            number(figures["auprc"]),
            f"{figures['positives']:,}",
            f"{figures['negatives']:,}",
        )
        for kind, figures in evaluation.per_kind.items()
    ]
    macro = ("macro", number(metrics["macro_auroc"]), span(*metrics["macro_ci95"]), number(metrics.get("macro_auprc")))
    return [*rows, (*macro, "", "")]


POINT_HEADER = ("finding", "threshold", "F1", "MCC", "accuracy", "sensitivity", "specificity", "TP", "FP", "FN", "TN")


def point_rows(points: OperatingPoints, rule: str) -> list[tuple[str, ...]]:
    """One row per kind under one rule."""
    return [
        (
            readable(kind),
            *(figure_text(value) for value in (m.threshold, m.f1, m.mcc, m.accuracy, m.sensitivity, m.specificity)),
            *(f"{value:,}" for value in (m.tp, m.fp, m.fn, m.tn)),
        )
        for kind, name, m in points.rows()
        if name == rule
    ]


def _prevalence(evaluation: Evaluation) -> float | None:
    counted = [evaluation.per_kind[kind] for kind in evaluation.counted]
    shares = [figures["positives"] / (figures["positives"] + figures["negatives"]) for figures in counted]
    return float(np.mean(shares)) if shares else None

"""The sections of an evaluation's page; each adds itself where the evaluation has what it shows."""

from __future__ import annotations

import numpy as np

from xlip.metrics.kinds import left_out_note
from xlip.metrics.labelled_scores import both_classes
from xlip.pages.comparison_table import published_sections
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
from xlip.pages.groups import long_tail, subgroups
from xlip.pages.operating_points import RULES, OperatingPoints, are_probabilities, operating_points
from xlip.pages.page import Page, figure_text
from xlip.pages.plots import bars, readable, roc_curves
from xlip.results.figures import (
    Classification,
    FineTuningFigures,
    ProbeFigures,
    QueryFigures,
    RetrievalFigures,
    ZeroShotFigures,
)
from xlip.results.result import Predictions, Result

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


def headline(page: Page, result: Result) -> None:
    """The large figures, and what they were made with."""
    page.text(NOT_A_DEVICE, note=True)
    if figures := result.kinds:
        interval = f"95 % interval {span(*figures.macro_ci95)}"
        cards = [("macro AUROC", number(figures.macro_auroc), f"{interval}; guessing: 0.500")]
        if figures.macro_auprc is not None:
            cards.append(("macro AUPRC", number(figures.macro_auprc), f"guessing: {number(_prevalence(figures))}"))
        kinds = f"{len(figures.counted)} of {len(figures.per_kind)} kinds in the macro mean"
        cards.append(("images", f"{figures.images:,}", kinds))
        page.cards(cards)
    else:
        shown = list(flat_figures(result.figures.to_json()))[:4]
        page.cards([(one.name, one.value, one.interval and f"95 % interval {one.interval}") for one in shown])
    page.contents()
    asked = [("query", result.figures.query)] if isinstance(result.figures, QueryFigures) else []
    page.table(("made with", ""), [*result.identity.items(), *asked], words=(1,))
    if result.dropped:
        page.text(f"{len(result.dropped)} images could not be read and are missing from every figure.", note=True)
        page.table(("row", "reason"), result.dropped[:20], words=(1,), folded="the first of them")


def kinds(page: Page, result: Result) -> None:
    """Bars and table of the kinds."""
    if not result.kinds:
        return
    page.heading("Each finding")
    figures = result.kinds.per_kind
    names = sorted(figures, key=lambda kind: -(figures[kind].auroc or 0))
    areas = {"AUROC": [figures[kind].auroc for kind in names]}
    page.figure(
        bars(names, areas, {"AUROC": [figures[kind].ci95 for kind in names]}, label="AUROC"),
        "AUROC of each finding; the line at its end is the 95 % interval, the dotted line is guessing.",
    )
    page.table(KIND_HEADER, kind_rows(result.kinds))
    if result.kinds.left_out:
        page.text(f"{left_out_note([readable(kind) for kind in result.kinds.left_out])}.", note=True)


EXCLUSIVE_HEADER = ("finding", "images", "recall", "precision", "F1", "taken for (images)")


def exclusive(page: Page, result: Result) -> None:
    """Which of the kinds an image has, where it has exactly one."""
    found = result.figures.exclusive if isinstance(result.figures, ZeroShotFigures) else None
    if found is None:
        return
    page.heading("Which finding is it?")
    page.text(
        f"Each image has one finding and is taken for that of its largest score: accuracy {number(found.accuracy)} "
        f"(95 % interval {span(*found.accuracy_ci95)}; guessing: {1 / len(found.per_kind):.3f}), macro F1 "
        f"{number(found.macro_f1)}, {found.cases:,} images, {found.left_out:,} without exactly one finding left out."
    )
    rows = []
    for (kind, one), taken in zip(found.per_kind.items(), found.confusion, strict=True):
        said = ", ".join(f"{readable(name)} {value:g}" for name, value in zip(found.per_kind, taken, strict=True))
        rows.append((readable(kind), f"{one.cases:,}", number(one.recall), number(one.precision), number(one.f1), said))
    page.table(EXCLUSIVE_HEADER, rows, words=(5,))


def groups(page: Page, result: Result) -> None:
    """Subgroups of the patients, and rare kinds."""
    if result.kinds:
        subgroups(page, result.kinds)
        long_tail(page, result.kinds)


def shares(page: Page, result: Result) -> None:
    """What few labels bring, and how far training seeds differ."""
    figures = result.figures
    if isinstance(figures, FineTuningFigures):
        page.heading("Label shares and seeds")
        page.text("Macro AUROC after training on a share of the labels: mean over the seeds.")
        page.table(SHARE_HEADER, share_rows(figures))
    elif isinstance(figures, ProbeFigures):
        page.heading("Label shares and seeds")
        page.table(SEED_HEADER, seed_rows(figures))


def other_figures(page: Page, result: Result) -> None:
    """All numbers of an evaluator that does not classify."""
    if not result.kinds:
        page.heading("All figures")
        rows = [(one.name, one.value, one.interval) for one in flat_figures(result.figures.to_json())]
        page.table(("figure", "value", "95 % interval"), rows)


def curves(page: Page, result: Result) -> None:
    """ROC and precision-recall curves."""
    test = result.predictions
    if test is None or not any(True for _ in both_classes(test)):
        return
    page.heading("ROC and precision-recall curves")
    page.figure(
        roc_curves(test),
        "ROC: share of the images with the finding that are found (up) over the share of false alarms among the others "
        "(right), over all thresholds. Above each: the AUROC.",
    )
    page.figure(
        pr_curves(test),
        "Precision (up: share of the alarms that are right) over recall (right: share of the findings that are found). "
        "Dotted: the prevalence, which guessing reaches. Above each: the AUPRC.",
    )


def calibration(page: Page, result: Result) -> None:
    """Reliability diagrams with ECE."""
    from xlip.metrics.calibration import expected_calibration_error

    test = result.predictions
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
        reliability_diagrams(test),
        "Share of images with the finding over their mean score, in 15 equally wide bins; larger points, more images.",
    )
    scaled = temperature_rows(test, result.validation)
    if scaled:
        page.text("One temperature per finding, fitted on the validation split, makes the scores milder or bolder:")
        page.table(("finding", "temperature", "ECE before", "ECE after"), scaled)


def decisions(page: Page, result: Result) -> OperatingPoints | None:
    """Confusion matrices at the chosen threshold, and every rule's figures."""
    points = operating_points(result.predictions, result.validation) if result.predictions else None
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


def prompts(page: Page, result: Result) -> None:
    """How far the wording of the prompts moves the figures."""
    figures = result.figures
    if not isinstance(figures, ZeroShotFigures) or figures.sensitivity is None:
        return
    sets = figures.sensitivity.sets
    page.heading("Does the wording of the prompts matter?")
    known = {name: one.macro_auroc for name, one in sets.items() if one.macro_auroc is not None}
    if len(known) > 1:
        worst, best = min(known, key=lambda name: known[name]), max(known, key=lambda name: known[name])
        page.text(
            f"Macro AUROC from {number(known[worst])} ({worst}) to {number(known[best])} ({best}), "
            f"a spread of {number(known[best] - known[worst])} over {len(known)} prompt sets."
        )
    page.figure(prompt_spread(list(figures.per_kind), sets), "AUROC of each finding under each prompt set.")
    rows = [(name, number(one.macro_auroc)) for name, one in sets.items()]
    page.table(("prompt set", "macro AUROC"), rows)
    if tests := figures.sensitivity.tests:
        changed, count = figures.sensitivity.changed
        page.text(f"{changed} of {count} AUROCs differ from those of the first set (p < 0.05, adjusted after Holm).")
        cells = [
            (one.prompts, readable(one.kind or "macro"), number(one.difference), span(*one.ci95), number(one.p),
             number(one.p_holm))
            for one in tests
        ]  # fmt: skip
        page.table(("prompt set", "finding", "less the first set", "95 % interval", "p", "p, Holm"), cells,
                   folded="every set against the first")  # fmt: skip


def retrieval(page: Page, result: Result) -> None:
    """What some queries found."""
    if not isinstance(result.figures, RetrievalFigures) or not result.figures.examples:
        return
    page.heading("Retrieval examples")
    for example in result.figures.examples:
        page.text(f"Query: {example.query}")
        rows = [
            (rank, item.what, "yes" if item.hit else "no", number(item.score))
            for rank, item in enumerate(example.found, 1)
        ]
        page.table(("rank", "found", "right", "score"), rows, words=(1,))


def published(page: Page, result: Result, split_name: str) -> None:
    """Published figures that are comparable, and why the others are not."""
    if result.kinds:
        published_sections(page, result, split_name)


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


def kind_rows(figures: Classification) -> list[tuple[str, ...]]:
    """One row per kind, and the macro mean."""
    rows = [
        (
            readable(kind),
            number(one.auroc),
            span(*one.ci95),
            number(one.auprc),
            f"{one.positives:,}",
            f"{one.negatives:,}",
        )
        for kind, one in figures.per_kind.items()
    ]
    macro = ("macro", number(figures.macro_auroc), span(*figures.macro_ci95), number(figures.macro_auprc), "", "")
    return [*rows, macro]


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


def _prevalence(figures: Classification) -> float | None:
    counted = [figures.per_kind[kind] for kind in figures.counted]
    shares = [one.positives / (one.positives + one.negatives) for one in counted]
    return float(np.mean(shares)) if shares else None

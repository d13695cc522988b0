"""The evaluation card, the decisions and abstention against naive counts, and through the folder of a result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluations import IDENTITY, predictions
from xlip.metrics.abstention import selective_risk
from xlip.metrics.auroc import auroc
from xlip.results.abstention import Distance
from xlip.results.classification import classification_figures
from xlip.results.figures import ZeroShotFigures
from xlip.results.folder import read_result, write_folder
from xlip.results.lines import paper_lines
from xlip.results.result import Predictions, Result

NEAR = Distance(reference="abc", threshold=0.8, chosen_on="99 % of 10 images", far=0.2)


def cases() -> Predictions:
    rng = np.random.default_rng(3)
    made = predictions(0, 200)
    return replace(
        made,
        any_finding=np.where((made.labels == 1).any(1), 1, rng.choice([-1, 0, 0, 0, 0], 200)).astype(np.int8),
        distances=rng.random(200),
        groups={"source": np.array(["a", "b", "c", "c"])[np.arange(200) % 4]},
    )


@pytest.fixture(scope="module")
def measured() -> Result:
    test = cases()
    options = {"validation": predictions(1), "near": NEAR, "replicates": 20, "seed": 4}
    return Result("zeroshot", IDENTITY, classification_figures(test, ZeroShotFigures, **options), test, predictions(1))


def test_negatives_are_counted_and_measured_by_what_else_the_chest_has(measured: Result) -> None:
    test, card = measured.predictions, measured.figures.cohort
    assert (card.cases, card.patients) == (200, 100)
    for place, kind in enumerate(test.kinds):
        labels, scores, one = test.labels[:, place], test.scores[:, place], card.per_kind[kind]
        rows = {state: (labels == 0) & (test.any_finding == state) for state in (-1, 0, 1)}
        assert (one.unclear, one.healthy, one.sick) == tuple(int(rows[state].sum()) for state in (-1, 0, 1))
        assert one.positives + one.healthy + one.sick + one.unclear + one.unknown == 200
        assert one.prevalence == pytest.approx((labels == 1).sum() / (labels >= 0).sum())
        for state, area in ((0, one.against_healthy), (1, one.against_sick)):
            kept = (labels == 1) | rows[state]
            expected = auroc(labels[kept], scores[kept])[0]
            assert area.auroc == (None if np.isnan(expected) else pytest.approx(expected))
    means = [card.per_kind[kind].against_sick.auroc for kind in card.compared]
    assert card.macro_against_sick.auroc == pytest.approx(np.mean(means))
    assert "Hernia" not in card.compared


def test_a_source_of_one_class_is_left_out_of_the_controlled_slice() -> None:
    test = cases()
    labels = test.labels.copy()
    labels[test.groups["source"] == "a", 0] = 1
    found = classification_figures(replace(test, labels=labels), ZeroShotFigures, replicates=2).cohort
    one = found.per_kind["Effusion"]
    kept = test.groups["source"] != "a"
    assert one.sources == ("b", "c")
    assert one.same_source.auroc == pytest.approx(auroc(labels[kept, 0], test.scores[kept, 0])[0])
    single = replace(test, groups={"source": np.full(200, "x")})
    alone = classification_figures(single, ZeroShotFigures, replicates=2).cohort.per_kind["Effusion"]
    assert alone.same_source is None


def test_decisions_use_the_validation_threshold_and_abstention_the_decisions(measured: Result) -> None:
    test, figures = measured.predictions, measured.figures
    assert set(figures.decisions) == set(figures.abstention.per_kind) == {"Effusion", "Mass", "Pleural_Thickening"}
    one, decision = figures.abstention.per_kind["Mass"], figures.decisions["Mass"]
    known = test.labels[:, 1] >= 0
    labels, scores, patients = test.labels[known, 1], test.scores[known, 1], test.patients[known]
    assert decision.rule == "val"
    assert decision.sensitivity == pytest.approx((scores[labels == 1] >= decision.threshold).mean())
    assert decision.specificity == pytest.approx((scores[labels == 0] < decision.threshold).mean())
    wrong = (scores >= decision.threshold) != (labels == 1)
    far = test.distances[known]
    naive = selective_risk(wrong, -far, patients, replicates=20, seed=4)
    assert one.by_distance.aurc == pytest.approx(naive.aurc)
    assert one.by_distance.risk_at_90 == pytest.approx(wrong[np.argsort(far)][: int(np.ceil(0.9 * len(far)))].mean())
    assert one.near_risk == pytest.approx(wrong[far <= 0.8].mean())
    odds = np.abs(np.log(scores / (1 - scores)) - np.log(decision.threshold / (1 - decision.threshold)))
    assert one.by_score.aurc == pytest.approx(selective_risk(wrong, odds, patients, replicates=2).aurc)
    assert one.by_score.risk_at_90 < one.risk


def test_without_validation_the_threshold_is_one_half_or_named_an_oracle() -> None:
    test = cases()
    half = classification_figures(test, ZeroShotFigures, replicates=2)
    assert {one.rule for one in half.decisions.values()} == {"0.5"}
    logits = classification_figures(replace(test, scores=4 * test.scores - 1), ZeroShotFigures, replicates=2)
    assert {one.rule for one in logits.decisions.values()} == {"oracle"}


def test_a_folder_keeps_all_of_it(measured: Result, tmp_path: Path) -> None:
    write_folder(measured, tmp_path / "kept")
    read = read_result(tmp_path / "kept")
    assert read.figures == measured.figures
    assert np.array_equal(read.predictions.any_finding, measured.predictions.any_finding)
    assert np.array_equal(read.predictions.distances, measured.predictions.distances)


def test_every_line_holds_what_the_figure_depends_on(measured: Result) -> None:
    macro, *kinds = paper_lines(measured)
    assert len(kinds) == 4
    for line in (macro, *kinds):
        cohort = "cohort 200 images, 200 cases of 100 patients"
        made = ("split set/test:80:0123456789ab", "prompts xlip@2", "checkpoint abc123", f"xlip {measured.version}")
        for wanted in (*made, cohort, "bootstrap 4 (20 replicates)"):
            assert wanted in line
        assert "\n" not in line
    effusion = measured.figures.per_kind["Effusion"]
    assert kinds[0].startswith(f"Effusion AUROC {effusion.auroc:.3f} (95 % CI {effusion.ci95[0]:.3f} to ")
    assert f"({effusion.positives} of 200)" in kinds[0]
    assert f"threshold {measured.figures.decisions['Effusion'].threshold:.3f} by rule val" in kinds[0]
    assert "against otherwise sick negatives" in macro
    assert "Hernia AUROC not measured" in kinds[3]
    assert "threshold none" in kinds[3]

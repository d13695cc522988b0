from __future__ import annotations

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.evaluate.cases import Case
from xlip.evaluate.classification import one_class_kinds, over_views, predictions_of
from xlip.evaluate.sensitivity import sensitivity
from xlip.results.classification import classification_figures, source_controlled
from xlip.results.figures import Classification
from xlip.results.result import Predictions, Result


def cases(labels: list[int], source: str = "a", start: int = 0) -> list[Case]:
    return [
        Case(f"s/{start + i}/v", f"p{start + i}", b"", {"Mass": label}, groups={"source": source, "sex": ""})
        for i, label in enumerate(labels)
    ]


def made(labels: list[int], scores: list[float]) -> Predictions:
    return predictions_of(cases(labels), ["Mass"], np.array(scores)[:, None])


def test_a_score_that_is_not_finite_names_the_kind_and_the_count() -> None:
    with pytest.raises(XLIPError, match="scores of Mass: NaN or infinite for 2 of 3 images"):
        made([0, 1, 1], [0.5, np.nan, np.inf])


def test_subgroups_that_nobody_knows_are_left_out() -> None:
    assert set(made([0, 1], [0.1, 0.2]).groups) == {"source"}


def test_metrics_have_every_field_and_null_for_what_cannot_be_computed() -> None:
    few = classification_figures(made([0, 1, 1], [0.1, 0.9, 0.8]), Classification, dropped=2, replicates=5)
    assert few.per_kind["Mass"].auroc == 1
    assert few.macro_auroc is None
    assert few.macro_auprc is None
    assert few.macro_ci95 == (None, None)
    assert (few.left_out, few.images, few.dropped) == (("Mass",), 3, 2)
    rng = np.random.default_rng(0)
    many = classification_figures(made([0, 1] * 20, rng.random(40).tolist()), Classification, replicates=5)
    assert many.left_out == ()
    assert many.macro_auroc == many.per_kind["Mass"].auroc
    assert many.macro_auprc == many.per_kind["Mass"].auprc


def test_a_column_with_one_class_is_a_line_that_says_which() -> None:
    def lines(labels: list[int]) -> list[str]:
        figures = classification_figures(made(labels, [0.1, 0.2, 0.3]), Classification, replicates=2)
        return one_class_kinds(Result("zeroshot", {}, figures))

    (line,) = lines([0, 0, 0])
    assert line.startswith("Mass: its labels are all 3 absent")
    assert lines([0, 1, 1]) == []


@pytest.mark.parametrize(("how", "expected"), [("max", [0.9, 0.4]), ("mean", [0.6, 0.4])])
def test_views_of_a_study_become_one_score(how: str, expected: list[float]) -> None:
    views = [Case(f"set/patient/{study}/{view}", "p", b"", {"Mass": label}) for study, view, label in VIEWS]
    predictions = predictions_of(views, ["Mass"], np.array([[0.9], [0.4], [0.3]]))
    studies = over_views(predictions, how)
    assert studies.study_ids == ("set/patient/study1", "set/patient/study2")
    assert studies.scores[:, 0] == pytest.approx(expected)
    assert studies.labels[:, 0].tolist() == [1, 0]
    assert over_views(predictions, "") is predictions
    with pytest.raises(XLIPError, match="views: expected max, mean or nothing; got 'min'"):
        over_views(predictions, "min")


VIEWS = (("study1", "view1", 1), ("study2", "view1", 0), ("study1", "view2", 1))


def test_the_controlled_slice_holds_only_sources_with_both_classes() -> None:
    every = [*cases([1, 1, 1], "all sick"), *cases([0, 0], "all well", 3), *cases([1, 0, 1, 0], "mixed", 5)]
    # Told apart by the source alone: perfect over all, inverted inside the mixed source.
    scores = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.3, 0.6, 0.2, 0.7])[:, None]
    found = source_controlled(predictions_of(every, ["Mass"], scores))["Mass"]
    assert found.sources == ("mixed",)
    assert (found.auroc, found.positives, found.negatives) == (0, 2, 2)
    nowhere = source_controlled(predictions_of(every[:5], ["Mass"], scores[:5]))["Mass"]
    assert (nowhere.auroc, nowhere.sources) == (None, ())


def test_sensitivity_spans_the_sets() -> None:
    good, bad = made([0, 1] * 10, [0.1, 0.9] * 10), made([0, 1] * 10, [0.5, 0.5] * 10)
    found = sensitivity({"good@1": good, "bad@1": bad})
    assert found.sets["good@1"].to_json() == {"macro_auroc": 1, "per_kind": {"Mass": 1}}
    assert found.spread == {"Mass": 0.5}
    assert found.macro_spread == 0.5
    assert sensitivity({"few@1": made([0, 1], [0.1, 0.2])}).macro_spread is None


def test_prompt_sets_are_tested_against_the_first_and_adjusted_for_their_number() -> None:
    good, bad = made([0, 1] * 20, [0.1, 0.9] * 20), made([0, 1] * 20, [0.5, 0.5] * 20)
    found = sensitivity({"good@1": good, "same@1": good, "bad@1": bad}, replicates=200)
    tests = {(one.prompts, one.kind): one for one in found.tests}
    assert set(tests) == {(name, kind) for name in ("same@1", "bad@1") for kind in ("Mass", "")}
    assert tests["bad@1", "Mass"].difference == -0.5
    assert tests["bad@1", "Mass"].p_holm == pytest.approx(4 * 2 / 201)
    assert tests["same@1", "Mass"].p_holm == 1
    assert found.changed == (1, 2)
    assert found.worst_and_best == ("bad@1", "good@1")

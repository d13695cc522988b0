"""From set to set: which pairs there are, what a page shows of them, and that only like scores are carried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluations import IDENTITY, result
from evaluations import predictions as drawn
from xlip.errors import XLIPError
from xlip.evaluate.suite import Outcome
from xlip.evaluate.transport import counts, transports
from xlip.metrics.transport import operating_threshold
from xlip.pages.transport import write_transport_page
from xlip.results.result import Predictions
from xlip.results.transport import Transport, transport


def shifted(by: float) -> Predictions:
    made = drawn(1)
    return replace(made, scores=np.clip(made.scores - by, 0, 1))


def found(by: float = 0.4) -> Transport:
    sets = {"a": drawn(0), "b": shifted(by)}
    return transport(sets, {"a": "a:80:1", "b": "b:80:2"}, {"checkpoint": "x"}, replicates=50)


def test_every_ordered_pair_has_the_threshold_of_its_first_set() -> None:
    made = found()
    assert [(pair.chosen_on, pair.used_on) for pair in made.pairs] == [(x, y) for x in "ab" for y in "ab"]
    first = drawn(0)
    expected = operating_threshold(first.labels[:, 0], first.scores[:, 0], "sensitivity 95")
    for pair in made.pairs:
        assert "Hernia" not in pair.kinds  # it has no positive
        if pair.chosen_on == "a":
            assert pair.kinds["Effusion"].thresholds["sensitivity 95"].threshold == expected


def test_scores_that_are_lower_elsewhere_lose_the_sensitivity_that_was_chosen() -> None:
    lost, kept = found(0.4), found(0.0)
    pair = next(one for one in lost.pairs if (one.chosen_on, one.used_on) == ("a", "b"))
    effusion = pair.kinds["Effusion"].thresholds["sensitivity 95"]
    assert effusion.sensitivity < 0.6
    assert effusion.carries is False
    assert pair.kinds["Effusion"].thresholds["youden"].carries is None
    own = next(one for one in lost.pairs if (one.chosen_on, one.used_on) == ("b", "b"))
    assert own.kinds["Effusion"].thresholds["sensitivity 95"].sensitivity >= 0.95
    assert kept.carries("sensitivity 95")[0] > lost.carries("sensitivity 95")[0]
    assert lost.carries("sensitivity 95")[1] == 6


def test_json_and_page_hold_all_pairs(tmp_path: Path) -> None:
    page = write_transport_page(found(), tmp_path / "x").read_text("utf-8")
    told = json.loads((tmp_path / "x" / "transport.json").read_text(), parse_constant=pytest.fail)
    assert Transport.model_validate(told).schema_version == 2
    assert page.count("<img") == 4
    assert "keep their goal on another set" in page


def test_scores_are_calibrated_on_the_first_set_before_they_are_used_on_the_second() -> None:
    made = transport({"a": drawn(0), "b": shifted(0.3)}, {"a": "a", "b": "b"}, {}, refit=(10, 20), replicates=5)
    fits = {(one.chosen_on, one.used_on): one.kinds["Effusion"].calibration for one in made.pairs}
    assert {pair: fit.calibrated_on for pair, fit in fits.items()} == {
        ("a", "a"): "", ("a", "b"): "a", ("b", "a"): "b", ("b", "b"): ""
    }  # fmt: skip
    assert fits["a", "b"].ece_before != fits["b", "b"].ece_before
    assert [row.wanted for row in fits["a", "b"].after] == [10, 20]


@pytest.mark.parametrize(("text", "found"), [("50, 20,50", [20, 50]), ("7", [7])])
def test_numbers_of_labelled_images_are_a_list(text: str, found: list[int]) -> None:
    assert counts(text) == found


@pytest.mark.parametrize("text", ["", "0", "a", "1.5", "-3"])
def test_other_numbers_of_labelled_images_are_refused(text: str) -> None:
    with pytest.raises(XLIPError, match=r"expected numbers of images separated by commas"):
        counts(text)


def test_a_suite_carries_scores_of_one_model_and_one_way_of_scoring_alone(tmp_path: Path) -> None:
    one = result()
    other = replace(one, identity={**IDENTITY, "split": "other:80:9"})
    by_pos = replace(one, identity={**IDENTITY, "scoring": "pos"})
    outcomes = [
        Outcome("m", name, made, (), folder=tmp_path / name, set_name=set_)
        for name, set_, made in (("a", "a", one), ("b", "b", other), ("a-pos", "a", by_pos), ("a-again", "a", other))
    ]
    ((place, made),) = transports(outcomes, replicates=5)
    assert made.splits == {"a": one.identity["split"], "b": "other:80:9"}
    assert place.parent == tmp_path / "transport"
    assert transports(outcomes[:1]) == []

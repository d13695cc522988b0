"""A score beside those of other films, and as a probability where labelled films are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_encoder import FakeEncoder

from evaluations import result
from xlip.errors import XLIPError
from xlip.metrics.calibration import logits
from xlip.phantom import generate
from xlip.results.folder import write_folder
from xlip.search.index import Index
from xlip.search.store import Records, facts_of
from xlip.serve.cases import Cases
from xlip.serve.reference import Curve, Spread, calibration_of, population_of

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(SCORES, st.floats(0, 1))
def test_a_percentile_counts_lower_films_and_half_of_equal_ones(scores: list[float], score: float) -> None:
    right = 100 * sum(1.0 if one < score else 0.5 if one == score else 0.0 for one in scores) / len(scores)
    assert Spread.of(np.array(scores), "x").percentile(score) == pytest.approx(right)


@given(SCORES)
def test_quantiles_rise(scores: list[float]) -> None:
    found = Spread.of(np.array(scores), "x").quantiles()
    assert found == sorted(found)
    assert min(scores) - 1e-9 <= found[0]
    assert found[-1] <= max(scores) + 1e-9


def test_a_curve_is_a_sigmoid_of_the_logit() -> None:
    score, curve = 0.3, Curve(2.0, -1.0, 10, 5, 0.0)
    right = 1 / (1 + np.exp(-(2 * np.log(0.3 / 0.7) - 1)))
    assert curve.probability(score) == pytest.approx(right)
    assert logits(np.array([score]))[0] == pytest.approx(np.log(0.3 / 0.7))


def evaluation(folder: Path, **identity: str) -> dict[str, str]:
    made = result(validation=True)
    made = replace(made, identity={**made.identity, **identity})
    write_folder(made, folder)
    return {"checkpoint": made.identity["checkpoint"]}


def test_population_and_calibration_come_from_an_evaluation_of_the_same_model(
    tmp_path: Path, serving: Callable[..., Any], png: bytes
) -> None:
    identity = evaluation(tmp_path / "zeroshot")
    population = population_of(str(tmp_path / "zeroshot"), identity)
    curves = calibration_of(str(tmp_path / "zeroshot"), identity)
    kind = next(iter(curves))
    client = serving(population=population, calibration=curves, kinds="")
    (film,) = client.post("/v1/zeroshot", content=png).json()["films"]
    assert {one["finding"] for one in film["scores"]} == set(population)
    shown = next(one for one in film["scores"] if one["finding"] == kind)
    assert shown["probability"] == pytest.approx(curves[kind].probability(shown["score"]))
    assert shown["population"]["percentile"] == population[kind].percentile(shown["score"])
    about = {one["id"]: one for one in client.get("/v1/kinds").json()["kinds"]}
    assert about[kind]["calibrated"]
    assert about[kind]["population"] == len(population[kind].scores)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_films_of_an_index_stand_beside_scores_that_have_no_share_of_a_map(
    share: float, tmp_path: Path, serving: Callable[..., Any], png: bytes
) -> None:
    encoder = FakeEncoder(local_share=share)
    index = Index.create(tmp_path / "index", facts_of(encoder))
    vectors = encoder.encode_squares(np.stack([generate(number, size=64).pixels for number in range(5)]))
    names = [str(number) for number in range(5)]
    index.append(Records(names, vectors, np.zeros_like(vectors), [{"report": ""} for _ in names], [png] * 5))
    client = serving(encoder=encoder, cases=Cases.open(str(tmp_path / "index"), encoder))
    said = client.get("/v1/kinds").json()
    assert (said["index"], said["index_compares"]) == (5, share == 0)
    (film,) = client.post("/v1/zeroshot", content=png).json()["films"]
    assert {one["population"] is not None for one in film["scores"]} == {share == 0}


@pytest.mark.parametrize("read", [population_of, calibration_of])
def test_an_evaluation_of_another_model_is_refused(read: Any, tmp_path: Path) -> None:
    evaluation(tmp_path / "zeroshot")
    with pytest.raises(XLIPError, match=r"checkpoint is .*, the model's is another"):
        read(str(tmp_path / "zeroshot"), {"checkpoint": "another"})
    with pytest.raises(XLIPError, match=r"found no metrics\.json"):
        read(str(tmp_path), {})

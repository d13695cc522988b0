"""Readings of the prompts: what each one ranks by, and that a model which denies badly is shown to do so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_model import FakeModel
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, Cases
from xlip.evaluate.suite import Outcome, negation_rows
from xlip.evaluate.zeroshot import ZeroShot
from xlip.metrics.auroc import auroc
from xlip.pages.negation import kind_rows, verdict
from xlip.pages.write import evaluation_page
from xlip.results.compare import CompareConfig, compare, reading_table
from xlip.results.folder import read_result, write_folder
from xlip.results.result import Result

COUNT = 60
KINDS = ["Effusion", "Mass", "No_Finding"]


def square(value: int) -> np.ndarray:
    return np.full((32, 32), value, np.uint8)


def cases(folder: Path) -> Cases:
    """Bright images show everything, with some exceptions; brightness is what the models below see."""
    from xlip.images.files import encode

    rng = np.random.default_rng(0)
    items = []
    for number in range(COUNT):
        bright = int(rng.integers(20, 235))
        labels = {kind: int(bright + rng.normal(0, 40) > 120) for kind in KINDS}
        image = encode(square(bright), lossless=True)
        items.append(Case(f"s/{number}", f"p{number // 2}", image, labels))
    return Cases("bright/test", items, KINDS)


def towards_bright(pixels: torch.Tensor) -> torch.Tensor:
    """(n, 2): an angle that follows brightness."""
    angle = pixels.mean((1, 2, 3)) * 1.5
    return torch.stack([angle.cos(), angle.sin()], 1)


def bag_of_words(text: str) -> list[float]:
    """Takes no notice of 'no': every text about a finding points to the bright images, the denial a little less."""
    return [0.0, 1.0] if "no " in text else [-0.2, 1.0]


def understands(text: str) -> list[float]:
    denied = any(word in text for word in ("no ", "not ", "without", "abnormal chest", "clear", "negative"))
    return [1.0, 0.0] if denied else [0.0, 1.0]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    folder = tmp_path_factory.mktemp("bright")
    models = {
        "bag": FakeModel(image=towards_bright, text=bag_of_words),
        "understands": FakeModel(image=towards_bright, text=understands),
    }
    made = ZeroShot(prompts="chexzero,biovil", replicates=20, cache=False)
    return {name: made.run(model, cases(folder)) for name, model in models.items()}


def test_each_reading_is_the_area_of_its_own_cosine(results: dict[str, Result]) -> None:
    """Against the definition: cosines by hand, AUROC of presence, denials from the least similar image on."""
    result = results["bag"]
    found = result.figures.negation["chexzero@2"]
    images = np.concatenate([
        towards_bright(torch.tensor(np.full((1, 1, 1, 1), c.image_value))).numpy() for c in _shown(result)
    ])  # fmt: skip
    texts = {"pos": bag_of_words("x"), "neg": bag_of_words("no x")}
    labels = result.predictions.labels
    for column, kind in enumerate(KINDS[:2]):
        for name, sign in (("pos", 1), ("neg", -1)):
            text = np.array(texts[name]) / np.linalg.norm(texts[name])
            expected = auroc(labels[:, column], sign * images @ text)[0]
            assert getattr(found, name).per_kind[kind].auroc == pytest.approx(expected, abs=1e-3)
        assert found.no_x.per_kind[kind].auroc == pytest.approx(found.neg.per_kind[kind].auroc, abs=1e-9)
    assert "No_Finding" not in found.no_x.per_kind  # there is no 'no no finding'
    assert set(found.neg.per_kind) == set(KINDS)


class _Shown:
    def __init__(self, value: float) -> None:
        self.image_value = value


def _shown(result: Result) -> list[_Shown]:
    rng, values = np.random.default_rng(0), []
    for _ in range(COUNT):
        bright = int(rng.integers(20, 235))
        for _ in KINDS:
            rng.normal(0, 40)
        values.append(_Shown(bright / 255))
    assert len(values) == len(result.predictions.study_ids)
    return values


def test_a_denial_that_looks_like_what_it_denies_lies_below_one_half(results: dict[str, Result]) -> None:
    bag, sound = (results[name].figures.negation["chexzero@2"] for name in ("bag", "understands"))
    assert bag.pos.macro_auroc > 0.8
    assert bag.neg.macro_auroc < 0.2
    assert "NEG and 'no X' rank the images the wrong way round" in verdict(bag)
    assert min(getattr(sound, name).macro_auroc for name in ("pos", "neg", "pnc", "no_x")) > 0.8
    assert "right way round" in verdict(sound)
    for one in (bag, sound):
        for name in ("pos", "neg", "pnc", "no_x"):
            low, high = getattr(one, name).macro_ci95
            assert low <= getattr(one, name).macro_auroc <= high


def test_every_prompt_set_has_its_readings_and_pnc_is_the_headline(results: dict[str, Result]) -> None:
    result = results["bag"]
    assert set(result.figures.negation) == {"chexzero@2", "biovil@2"}
    assert result.figures.negation["chexzero@2"].pnc.macro_auroc == result.figures.macro_auroc
    assert result.identity["scoring"] == "pnc"
    assert set(result.readings) == {"pos", "neg", "no_x"}


@pytest.mark.parametrize("scoring", ["pos", "neg"])
def test_the_headline_takes_the_reading_that_is_asked_for(
    scoring: str, results: dict[str, Result], tmp_path: Path
) -> None:
    model = FakeModel(image=towards_bright, text=bag_of_words)
    result = ZeroShot(prompts="chexzero", scoring=scoring, replicates=2, cache=False).run(model, cases(tmp_path))
    expected = getattr(results["bag"].figures.negation["chexzero@2"], scoring).macro_auroc
    assert result.macro_auroc == pytest.approx(expected)
    assert result.identity["scoring"] == scoring
    assert result.figures.sanity.swapped_prompts is None
    with pytest.raises(XLIPError, match="scoring: expected one of pnc, pos, neg; got 'both'"):
        ZeroShot(scoring="both")


def test_folders_pages_tables_and_comparisons_have_all_columns(
    results: dict[str, Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, result in results.items():
        write_folder(result, tmp_path / name)
        again = read_result(tmp_path / name)
        assert again.figures == result.figures
        assert set(again.readings) == {"pos", "neg", "no_x"}
    page = evaluation_page(results["bag"])[0].html()
    assert "Does it understand a denial?" in page
    rows = kind_rows(results["bag"].figures.negation["chexzero@2"])
    assert [row[0] for row in rows] == ["Effusion", "Mass", "No Finding", "macro"]
    assert rows[2][-2:] == ("-", "-")
    outcomes = [Outcome(name, "zeroshot", result, ()) for name, result in results.items()]
    header, *table = negation_rows(outcomes)
    assert header[3::2] == ("POS", "NEG", "PNC", "'no X'")
    assert [row[:3] for row in table] == [
        (name, "zeroshot", prompts) for name in results for prompts in ("chexzero@2", "biovil@2")
    ]
    folders = [str(tmp_path / name) for name in results]
    comparison = compare(CompareConfig(folders, replicates=50))
    assert set(comparison.readings) == {"pos", "neg", "pnc", "no_x"}
    assert comparison.readings["neg"].better == "B"
    assert comparison.readings["pnc"].model_dump() == comparison.macro.model_dump()
    assert [row[-1] for row in reading_table(comparison)][1] == "B"
    assert main(["compare", *folders, "--replicates", "20"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in printed for name in ("POS", "NEG", "PNC"))


def test_old_folders_without_readings_are_still_compared(results: dict[str, Result], tmp_path: Path) -> None:
    for name, result in results.items():
        plain = replace(result, readings={}, identity={k: v for k, v in result.identity.items() if k != "scoring"})
        write_folder(plain, tmp_path / name)
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        del metrics["negation"]
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics))
    comparison = compare(CompareConfig([str(tmp_path / name) for name in results], replicates=5))
    assert comparison.readings == {}
    assert reading_table(comparison) == []
    assert "Does it understand" not in evaluation_page(read_result(tmp_path / "bag"))[0].html()

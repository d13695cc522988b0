"""What holds for every evaluator of the registry, and what each of them computes."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_model import FakeModel
from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.evaluate import retrieval
from xlip.evaluate.baselines import Chance, LabelPrior
from xlip.evaluate.cases import Case, Cases, label_matrix, open_cases
from xlip.evaluate.grounding import Grounding
from xlip.evaluate.probe import LinearProbe
from xlip.evaluate.query import Query
from xlip.evaluate.registry import EVALUATORS, NEEDS_CLASSIFIER, NEEDS_WEIGHTS, build_evaluator, evaluator_class
from xlip.evaluate.retrieval import Retrieval
from xlip.evaluate.zeroshot import ZeroShot
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.results.figures import FIGURES
from xlip.results.folder import metrics_json, read_result, write_folder
from xlip.results.scores_file import read_scores
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.record import Box

MODEL = tiny_model().eval()
NEEDED = {"query": {"text": "pleural effusion"}}
"""Options without a default."""
FAST = {"probe": {"seeds": (0, 1), "c": (0.01, 1.0)}}
GENERIC = [name for name in EVALUATORS if name not in (*NEEDS_WEIGHTS, *NEEDS_CLASSIFIER)]


def built(name: str):
    known = {item.name for item in fields(evaluator_class(name))}
    few = {"replicates": 10} if "replicates" in known else {}
    return build_evaluator(name, {**NEEDED.get(name, {}), **FAST.get(name, {}), **few})


@pytest.mark.parametrize("name", GENERIC)
def test_every_evaluator_runs_says_what_it_measured_and_can_be_written(
    name: str, phantoms: Path, tmp_path: Path
) -> None:
    evaluator = built(name)
    assert is_dataclass(evaluator)
    assert evaluator.name == name
    cases = open_cases(str(phantoms), require=evaluator.require)
    result = evaluator.run(MODEL, cases)
    assert result.evaluator == name
    assert {"checkpoint", "split", "preprocessing"} <= set(result.identity)
    assert result.identity["split"].startswith("phantoms/test:")
    write_folder(result, tmp_path / "out")
    assert read_result(tmp_path / "out").figures == result.figures
    written = json.loads((tmp_path / "out" / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert written == json.loads(json.dumps(metrics_json(result)))
    assert (tmp_path / "out" / "scores.csv").is_file() == (result.predictions is not None)
    if result.predictions is not None:
        again = read_scores(tmp_path / "out" / "scores.csv")
        assert again.study_ids == result.predictions.study_ids
        assert np.array_equal(again.scores, result.predictions.scores)


def test_every_evaluator_has_its_figures() -> None:
    assert set(FIGURES) == set(EVALUATORS)


@pytest.mark.parametrize("name", GENERIC)
def test_every_evaluator_gives_the_same_twice(name: str, phantoms: Path) -> None:
    evaluator = built(name)
    first, second = (evaluator.run(MODEL, open_cases(str(phantoms), require=evaluator.require)) for _ in range(2))
    assert first.figures == second.figures


def test_an_unknown_evaluator_or_option_is_named() -> None:
    with pytest.raises(XLIPError, match="unknown evaluator 'zero'; expected one of zeroshot"):
        build_evaluator("zero", {})
    with pytest.raises(XLIPError, match="zeroshot: unknown option 'prompt'; expected one of prompts"):
        build_evaluator("zeroshot", {"prompt": "xlip"})
    with pytest.raises(XLIPError, match=r"query: .*text"):
        build_evaluator("query", {})


def test_the_first_prompt_set_makes_the_headline(phantoms: Path) -> None:
    alone = ZeroShot(prompts="chexzero", replicates=5).run(MODEL, open_cases(str(phantoms)))
    both = ZeroShot(prompts="chexzero,bare", replicates=5).run(MODEL, open_cases(str(phantoms)))
    assert alone.identity["prompts"] == both.identity["prompts"] == "chexzero@2"
    assert alone.figures.per_kind == both.figures.per_kind
    assert alone.figures.sensitivity is None
    assert set(both.figures.sensitivity.sets) == {"chexzero@2", "bare@2"}
    areas = both.figures.sensitivity.sets["chexzero@2"].per_kind
    assert areas == {kind: figures.auroc for kind, figures in alone.figures.per_kind.items()}


def test_zero_shot_checks_itself(phantoms: Path) -> None:
    checks = ZeroShot(replicates=5).run(MODEL, open_cases(str(phantoms))).figures.sanity
    assert checks.swapped_prompts.holds
    assert checks.permuted_labels.ci95[0] < checks.permuted_labels.ci95[1]


def test_a_kind_without_prompts_is_found_before_any_image(phantoms: Path, tmp_path: Path) -> None:
    pairs = "Effusion: {positive: [effusion], negative: [no effusion]}, No_Finding: {positive: [a], negative: [b]}"
    (tmp_path / "own.yaml").write_text(f"sets: {{own: {{version: 1, kinds: {{{pairs}}}}}}}")
    model = FakeModel()
    with pytest.raises(XLIPError, match="prompt set own: no prompts for the kind"):
        ZeroShot(prompts=str(tmp_path / "own.yaml")).run(model, open_cases(str(phantoms)))
    assert model.calls == []
    only = open_cases(str(phantoms), kinds="pleural effusion")
    assert ZeroShot(prompts=str(tmp_path / "own.yaml"), replicates=2).run(model, only).figures.images > 0


def test_not_a_number_is_refused(phantoms: Path) -> None:
    model = FakeModel(image=lambda pixels: torch.full((len(pixels), 2), float("nan")), identity="nan")
    with pytest.raises(XLIPError, match=r"scores of .*Effusion.*: NaN or infinite .*is the checkpoint sound"):
        ZeroShot(replicates=2, cache=False).run(model, open_cases(str(phantoms)))


def test_a_query_needs_no_labels_and_follows_the_formula() -> None:
    shown = [Case(str(i), str(i), encode(generate(i, size=64).pixels), {}) for i in range(6)]
    result, ranking = Query("a mass", neutral="nothing").ranked(FakeModel(), Cases("made", shown, []))
    assert result.predictions is not None
    assert result.predictions.kinds == ("a mass",)
    assert (result.predictions.labels == -1).all()
    pair = FakeModel().encode_text(["a mass", "nothing"]).double()
    for (_, study, score, cosine), rank in zip(ranking[1:], range(1, 7), strict=True):
        pixels = torch.from_numpy(generate(int(study), size=64).pixels)[None, None].float() / 255
        image = FakeModel().encode_pixels(torch.nn.functional.interpolate(pixels, (32, 32), mode="area"))[0].double()
        assert float(cosine) == pytest.approx(float(image @ pair[0]), abs=0.02)  # another resampling
        row = result.predictions.study_ids.index(study)
        assert float(score) == result.predictions.scores[row, 0]
        assert float(ranking[rank][2]) <= float(ranking[max(rank - 1, 1)][2])
    with pytest.raises(XLIPError, match="empty text"):
        Query(" ").run(FakeModel(), Cases("made", shown, []))


def test_a_query_is_measured_against_a_label_where_one_is_named(phantoms: Path) -> None:
    result = Query("effusion", against=("Effusion", "Mass"), replicates=5).run(MODEL, open_cases(str(phantoms)))
    assert result.predictions is not None
    assert np.array_equal(result.predictions.scores[:, 0], result.predictions.scores[:, 1])
    figures = result.figures.per_kind
    assert figures["Effusion"].positives == int((result.predictions.labels[:, 0] == 1).sum())
    assert set(figures) == {"Effusion", "Mass"}


def test_the_probe_finds_what_is_linear_and_learns_nothing_from_noise(phantoms: Path) -> None:
    kinds = ["Effusion", "No_Finding"]
    order: list[Case] = []

    class Ordered(FakeModel):
        def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
            taken, order[:] = order[: len(pixels)], order[len(pixels) :]
            labels = torch.tensor(label_matrix(taken, kinds)).float()
            noise = torch.randn(len(taken), 4, generator=torch.Generator().manual_seed(len(order)))
            return torch.cat([labels, 0.1 * noise], 1)

    order += [*open_cases(str(phantoms)).items, *open_cases(str(phantoms), split="train").items]
    probe = LinearProbe(seeds=(0,), replicates=5, cache=False)
    result = probe.run(Ordered(), open_cases(str(phantoms), kinds=",".join(kinds)))
    assert all(result.figures.per_kind[kind].auroc == 1 for kind in kinds)
    assert result.validation is not None
    assert not set(result.validation.study_ids) & set(result.predictions.study_ids)  # type: ignore[union-attr]
    noise = FakeModel(image=lambda pixels: pixels.flatten(1)[:, :3] * 0 + 1)
    flat = probe.run(noise, open_cases(str(phantoms), kinds=",".join(kinds)))
    assert all(flat.figures.per_kind[kind].auroc == 0.5 for kind in kinds)


def test_a_probe_reports_each_seed_and_its_share(phantoms: Path) -> None:
    probe = LinearProbe(share=0.2, seeds=(3, 4), c=(0.1,), replicates=5)
    figures = probe.run(MODEL, open_cases(str(phantoms))).figures
    train = sum(1 for _ in open_cases(str(phantoms), split="train").items)
    assert [row.seed for row in figures.per_seed] == [3, 4]
    assert all(row.train_images == round(0.2 * train) for row in figures.per_seed)
    assert figures.per_seed[0].per_kind == {k: one.auroc for k, one in figures.per_kind.items()}
    assert figures.per_seed[0].per_kind != figures.per_seed[1].per_kind


def test_a_probe_counts_uncertain_training_labels_as_its_policy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.permutation(90)
    states = np.select([values < 20, values < 60], [ABSENT, UNCERTAIN], PRESENT)
    made = [
        Case(f"c/{i}", f"p{i}", encode(np.full((32, 32), values[i] * 2, np.uint8)), {"Edema": int(states[i])})
        for i in range(90)
    ]
    test = Cases("test", made[::3], ["Edema"])
    train = Cases("train", [case for i, case in enumerate(made) if i % 3], ["Edema"])
    parts = {"train": train}
    monkeypatch.setattr("xlip.evaluate.probe.other_split", lambda cases, split, data="": parts.get(split))
    bright = FakeModel(image=lambda pixels: pixels.mean((1, 2, 3)).unsqueeze(1).expand(-1, 3))
    shares = {}
    for policy in ("ignore", "present", "absent", "Edema=present"):
        probe = LinearProbe(uncertain=policy, seeds=(0,), c=(1.0,), replicates=2, cache=False)
        result = probe.run(bright, test)
        assert result.predictions is not None
        shares[policy] = result.predictions.scores.mean()
        assert result.figures.sanity.swapped_prompts is None
    assert shares["absent"] < shares["ignore"] < shares["present"] == shares["Edema=present"]
    with pytest.raises(XLIPError, match="expected ignore, present, absent, chexpert"):
        LinearProbe(uncertain="maybe", replicates=2).run(bright, test)


def test_a_probe_refuses_patients_on_both_sides_and_odd_options(phantoms: Path) -> None:
    with pytest.raises(XLIPError, match="patients are in the training or validation part too"):
        LinearProbe().run(MODEL, open_cases(str(phantoms), split="train"))
    with pytest.raises(XLIPError, match="no split 'learn' to train on"):
        LinearProbe(train_split="learn").run(MODEL, open_cases(str(phantoms)))
    with pytest.raises(XLIPError, match=r"a share in \(0, 1\]"):
        LinearProbe(share=1.5).run(MODEL, open_cases(str(phantoms)))


def pairs(count: int, reports: list[str] | None = None) -> list[Case]:
    texts = reports or [f"report number {index}" for index in range(count)]
    kinds = [{"Mass": 1}, {"Nodule": 1}, {"Mass": 0}]
    return [
        Case(f"s{i}", f"p{i}", encode(np.full((32, 32), 20 * i, np.uint8), lossless=True), kinds[i % 3], texts[i])
        for i in range(count)
    ]


def level(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels of level 20 i -> a direction of angle i."""
    angle = pixels[:, 0, 0, 0] * 255 / 20 * 0.1
    return torch.stack([angle.cos(), angle.sin()], 1)


def angle_of(offset: int):
    def text(report: str) -> list[float]:
        angle = (int(report.split()[-1]) + offset) * 0.1
        return [float(np.cos(angle)), float(np.sin(angle))]

    return text


def test_retrieval_ranks_are_those_of_the_geometry() -> None:
    cases = Cases("made", pairs(9), ["Mass", "Nodule"])
    exact = Retrieval(at=(1, 3), replicates=20).run(FakeModel(level, angle_of(0)), cases).figures
    for direction in ("image_to_text", "text_to_image"):
        assert getattr(exact, direction).recall["1"].mean == 1
        assert getattr(exact, direction).median_rank == 1
        # Kinds repeat with period three, and every third pair has none: neighbours never share one.
        assert getattr(exact, direction).kind_precision["1"] == 1
        assert getattr(exact, direction).kind_precision["3"] == pytest.approx(1 / 3, abs=0.12)
        assert getattr(exact, direction).kind_precision_by_chance == pytest.approx(1 / 3)
    shifted = Retrieval(at=(1, 3), replicates=20).run(FakeModel(level, angle_of(1)), cases).figures
    # Image i lies on the text of pair i - 1, its own is the next one (or, for the last image, the same distance away).
    assert shifted.image_to_text.recall["1"].mean == pytest.approx(1 / 9)
    assert shifted.image_to_text.recall["3"].mean == 1


def test_retrieval_over_kinds_and_by_frequency_is_what_the_definitions_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "MIN_CASES", 2)
    made = pairs(9)
    cases = Cases("made", made, ["Mass", "Nodule"])
    found = Retrieval(at=(1, 3), replicates=20).run(FakeModel(level, angle_of(0)), cases).figures.image_to_text
    kinds = np.array([[one.labels.get(kind) == 1 for kind in cases.kinds] for one in made])
    # Image i lies on text i, and the texts beside it are next: k = 3 takes i - 1, i and i + 1.
    near = [sorted(range(9), key=lambda j: abs(i - j))[:3] for i in range(9)]
    shares = [np.mean([kinds[near[i], k].mean() for i in np.flatnonzero(kinds[:, k])]) for k in range(2)]
    assert found.precision_over_kinds["1"].mean == 1
    assert found.precision_over_kinds["3"].mean == pytest.approx(np.mean(shares), abs=0.12)
    for bounds in (found.kind_precision_ci95["3"], found.precision_over_kinds["3"].ci95):
        assert 0 <= bounds[0] <= bounds[1] <= 1
    frequent = kinds * kinds.mean(0)
    for name, scores in (("largest", frequent.max(1)), ("sum", frequent.sum(1))):
        first = scores == scores.max()
        one = found.by_frequency[name]
        assert one.recall["1"] == pytest.approx(1 / 9)
        assert one.precision_over_kinds["1"] == pytest.approx(kinds[first].mean(0).mean())
        shared = [np.any(kinds[first] & kinds[i], axis=1).mean() for i in np.flatnonzero(kinds.any(1))]
        assert one.kind_precision["1"] == pytest.approx(np.mean(shared))


def test_equal_reports_are_one_report_and_ties_count_against_the_model() -> None:
    same = [f"report number {i // 3}" for i in range(9)]
    cases = Cases("made", pairs(9, same), ["Mass"])
    found = Retrieval(at=(1,), replicates=5).run(FakeModel(level, angle_of(0)), cases).figures
    assert found.distinct_reports == 3
    blind = FakeModel(lambda pixels: torch.ones(len(pixels), 2), lambda text: [1.0, 1.0])
    ranks = Retrieval(at=(1,), replicates=5).run(blind, Cases("made", pairs(9), ["Mass"])).figures
    assert ranks.image_to_text.recall["1"].mean == 0
    assert ranks.image_to_text.median_rank == 9


def test_retrieval_shows_examples_and_needs_pairs() -> None:
    examples = Retrieval(replicates=2, examples=2).run(FakeModel(level, angle_of(0)), Cases("made", pairs(5), []))
    shown = examples.figures.examples
    assert [one.query for one in shown] == ["image s0", "image s1", "report number 0", "report number 1"]
    assert all(one.found[0].hit for one in shown)
    assert examples.figures.image_to_text.kind_precision == {"1": None, "5": None, "10": None}
    with pytest.raises(XLIPError, match="1 pairs of image and report"):
        Retrieval().run(FakeModel(level, angle_of(0)), Cases("made", pairs(1), []))


def hot_corner(pixels: torch.Tensor) -> torch.Tensor:
    """Patches that answer in the left upper quarter alone; texts of the set `xlip` differ by length."""
    good, other = FakeModel().encode_text(["", "a" * 50])
    grid = other.expand(len(pixels), 4, 4, 2).clone()
    grid[:, :2, :2] = good
    return grid


@pytest.mark.parametrize(("corner", "pointing"), [(0.0, 1.0), (0.5, 0.0)])
def test_grounding_points_where_the_patches_answer(corner: float, pointing: float) -> None:
    boxes = (Box("Mass", corner, corner, 0.5, 0.5),)
    case = Case("a", "a", encode(np.zeros((40, 40), np.uint8)), {"Mass": 1}, boxes=boxes)
    # Negative prompts of the set are longer: the positive direction is that of short texts.
    found = (
        Grounding(by="patches", replicates=5)
        .run(FakeModel(patches=hot_corner), Cases("made", [case], ["Mass"]))
        .figures
    )
    assert found.pointing.mean == pointing
    assert (found.cnr.mean > 0) == bool(pointing)
    assert found.region_share == pytest.approx(0.25, abs=0.02)
    assert (found.iou.mean > 0.6) == bool(pointing)
    assert found.regions_of_kind["Mass"].regions == 1


def test_a_mask_and_the_same_box_are_the_same_region_also_when_the_image_is_not_square() -> None:
    mask = np.zeros((20, 60), np.uint8)
    mask[:10, :30] = 255
    image = encode(np.zeros((20, 60), np.uint8))
    boxed = Case("a", "a", image, {}, boxes=(Box("Mass", 0, 0, 0.5, 0.5),))
    masked = replace(boxed, boxes=(), masks={"Mass": encode(mask, lossless=True)})
    figures = [
        Grounding(by="patches", replicates=2)
        .run(FakeModel(patches=hot_corner), Cases("made", [case], ["Mass"]))
        .figures
        for case in (boxed, masked)
    ]
    assert figures[0] == figures[1]
    assert figures[0].region_share == pytest.approx(1 / 12, abs=0.03)


def test_grounding_without_regions_is_a_fault() -> None:
    case = Case("a", "a", encode(np.zeros((40, 40), np.uint8)), {"Mass": 1})
    with pytest.raises(XLIPError, match="made: no box or mask"):
        Grounding(by="patches").run(FakeModel(patches=hot_corner), Cases("made", [case], ["Mass"]))


def test_phantoms_bring_the_masks_of_their_findings(phantoms: Path) -> None:
    cases = list(open_cases(str(phantoms), require="regions").items)
    assert cases
    for case in cases:
        assert set(case.masks) <= {kind for kind, state in case.labels.items() if state == 1}


def test_chance_is_one_half_and_the_prior_is_the_training_share(phantoms: Path) -> None:
    cases = open_cases(str(phantoms))
    rng = np.random.default_rng(1)  # not the seed of the scores
    labels = [{"Mass": int(rng.random() < 0.3)} for _ in range(2000)]
    many = Cases("made", [Case(str(i), str(i), b"", label) for i, label in enumerate(labels)], ["Mass"])
    low, high = Chance(replicates=200).run(MODEL, many).figures.macro_ci95
    assert low < 0.5 < high
    assert high - low < 0.1
    prior = LabelPrior(replicates=5).run(MODEL, cases)
    assert prior.predictions is not None
    assert all(one.auroc in (0.5, None) for one in prior.figures.per_kind.values())
    train = label_matrix(list(open_cases(str(phantoms), split="train").items), cases.kinds)
    expected = ((train == 1).sum(0) + 1) / (len(train) + 2)
    assert prior.predictions.scores[0] == pytest.approx(expected)
    with pytest.raises(XLIPError, match="no split 'learn' to count labels in"):
        LabelPrior(train_split="learn").run(MODEL, open_cases(str(phantoms)))

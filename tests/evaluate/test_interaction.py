"""The probe's figures, on maps and models whose answer is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tiny import tiny_model
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.evaluate import interaction, listening
from xlip.evaluate.interaction import (
    ProbeCases,
    cell_auroc,
    cell_shares,
    enrichment,
    hidden_enrichment,
    lesion_cells,
    map_figures,
    pointing,
    probe_cases,
)
from xlip.evaluate.interaction_run import InteractionConfig, attmim_of, interaction_figures, probe, table
from xlip.evaluate.listening import _others, reconstruction_figures, side_auroc, word_figures
from xlip.objectives.attmim import AttMIM, DecoderText
from xlip.objectives.pixel_targets import pixel_target
from xlip.phantom import PHANTOM_KINDS


@pytest.fixture(scope="module")
def cases() -> ProbeCases:
    return probe_cases(64, singles=24, seed=5, start=0)


def naive_pointing(maps: np.ndarray, inside: np.ndarray) -> list[float]:
    found = []
    for row, truth in zip(maps, inside, strict=True):
        best = [i for i in range(len(row)) if row[i] == max(row)]
        found.append(sum(bool(truth[i]) for i in best) / len(best))
    return found


def naive_auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    pairs = [(a, b) for a in scores[truth] for b in scores[~truth]]
    return float(np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]))


@given(st.integers(0, 10_000))
def test_map_figures_equal_naive_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 6, (3, 9)).astype(np.float64)
    shares = rng.random((3, 9)) * (rng.random((3, 9)) < 0.5)
    shares[:, 0] += 0.3
    inside = lesion_cells(torch.tensor(shares))
    assert inside.tolist() == [[s >= 0.25 or s == max(row) > 0 for s in row] for row in shares]
    assert pointing(torch.tensor(maps), inside).tolist() == pytest.approx(naive_pointing(maps, inside.numpy()))
    wanted = [naive_auroc(a, b) if not b.all() else np.nan for a, b in zip(maps, inside.numpy(), strict=True)]
    assert cell_auroc(torch.tensor(maps), inside) == pytest.approx(wanted, nan_ok=True)


def test_enrichment_is_the_share_caught_by_the_share_hidden() -> None:
    shares = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    best, worst = torch.arange(8.0, 0, -1)[None], torch.arange(8.0)[None]
    assert enrichment(best, shares, 0.25).tolist() == [4.0]
    assert enrichment(worst, shares, 0.25).tolist() == [0.0]
    assert hidden_enrichment(torch.tensor([[True] * 4 + [False] * 4]), shares).tolist() == [2.0]
    assert hidden_enrichment(torch.ones(1, 8, dtype=torch.bool), shares).tolist() == [1.0]


def test_cells_are_measured_by_their_pixels() -> None:
    lesion = torch.zeros(1, 8, 8, dtype=torch.bool)
    lesion[0, :2, 4:6] = True
    assert cell_shares(lesion, 2).tolist() == [[0.0, 0.25, 0.0, 0.0]]


def truth_maps(cases: ProbeCases, grid: int) -> torch.Tensor:
    maps = torch.zeros(len(cases.phantoms), len(PHANTOM_KINDS), grid * grid)
    for i, one in enumerate(cases.phantoms):
        for finding in one.findings:
            maps[i, PHANTOM_KINDS.index(finding.kind)] += cell_shares(torch.tensor(finding.mask)[None], grid)[0]
    return maps


@pytest.mark.parametrize("sign", [1, -1])
def test_a_map_that_is_the_truth_points_and_its_negative_does_not(
    sign: int, cases: ProbeCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model().eval()
    maps = sign * truth_maps(cases, model.image_tower.grid)
    monkeypatch.setattr(interaction, "phantom_maps", lambda *args: maps)
    figures = map_figures(model, cases, mode="high")
    assert figures["pointing"]["mean"] == pytest.approx(1.0 if sign == 1 else 0.0, abs=0.2)
    assert (figures["cell_auroc"]["mean"] > 0.95) == (sign == 1)
    assert (figures["enrichment_quarter"]["mean"] > 2) == (sign == 1)
    assert (figures["mask_enrichment_quarter"]["mean"] > 2) == (sign == 1)
    assert (figures["present_against_absent"] > 0.9) == (sign == 1)
    assert 0 < figures["pointing_at_random"]["mean"] < 0.5


@dataclass
class Listening:
    """Fills in the truth where the text is the phantom's own, noise where it is another's, the mean without one."""

    truth: torch.Tensor
    own: torch.Tensor

    def __call__(self, model, pixels, tokens, hidden, text, where):  # type: ignore[no-untyped-def]
        words, read, _ = text
        rows = [int(words[i, 0, 0]) for i in range(len(words))]
        made = torch.zeros(len(pixels), *self.truth.shape[1:])
        for i, row in enumerate(rows):
            is_own = torch.equal(pixels[i], self.own[row])
            made[i] = self.truth[row] if is_own and read[i].any() else (self.truth[row] + 3 if read[i].any() else 0)
        return made


def test_a_decoder_that_listens_is_told_from_one_that_does_not(
    cases: ProbeCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model().eval()
    own = cases.pixels[cases.single]
    truth, _ = pixel_target(own, model.image_tower.patch_size, "image")

    class Rows:
        def __init__(self, texts, model):  # type: ignore[no-untyped-def]
            self.count = len(texts)

        def __call__(self, rows):  # type: ignore[no-untyped-def]
            numbers = torch.tensor(rows).float()
            return DecoderText(numbers.view(-1, 1, 1), torch.ones(len(rows), 1, dtype=torch.bool), numbers[:, None])

    monkeypatch.setattr(listening, "_Texts", Rows)
    monkeypatch.setattr(listening, "reconstruct", Listening(truth, own))
    heard = reconstruction_figures(model, cases, where="feature", target="image", ratio=0.5)
    assert heard["error_inside_right"]["mean"] == pytest.approx(0, abs=1e-6)
    assert heard["gain_over_wrong_share"] == heard["gain_over_none_share"] == pytest.approx(1)
    monkeypatch.setattr(listening, "reconstruct", lambda m, pixels, *rest: torch.zeros(len(pixels), *truth.shape[1:]))
    deaf = reconstruction_figures(model, cases, where="feature", target="image", ratio=0.5)
    assert deaf["gain_over_wrong_share"] == deaf["gain_over_none_share"] == 0
    rows = torch.tensor(cases.lesions[cases.single].numpy())
    assert deaf["error_inside_none"]["mean"] > 0
    assert rows.any()


def test_the_finding_is_hidden_before_anything_else() -> None:
    shares = torch.tensor([[0.0, 0.2, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0]])
    assert listening._covering(shares, 0.25, 0).tolist() == [[False, True, True, *[False] * 5]]
    assert listening._covering(shares, 0.5, 0).sum() == 4


def test_the_wrong_text_is_of_another_kind() -> None:
    kinds = ["a", "a", "b", "a"]
    assert [kinds[i] for i in listening._others(kinds)] == ["b", "b", "a", "b"]


def test_hidden_words_are_the_finding_that_is_there_or_its_side(cases: ProbeCases) -> None:
    for one in cases.phantoms:
        for what in ("finding", "side"):
            words = [one.report[e.start : e.end].lower() for e in listening._wanted(one.report, one.entities, what)]
            if what == "side":
                assert all(word.split("-")[0] in ("left", "right") for word in words)
            elif len(one.findings) == 1:
                assert len(words) >= 1


def test_sides_are_read_from_the_scores_of_left_less_right(cases: ProbeCases) -> None:
    sides = [{f.side for f in one.findings if f.kind == "Effusion"} for one in cases.phantoms]

    class Knows:
        def encode_text(self, texts):  # type: ignore[no-untyped-def]
            assert texts == ["left pleural effusion", "right pleural effusion"]
            return torch.tensor([[1.0, 0.0], [0.0, 1.0]])

        def encode_pixels(self, pixels):  # type: ignore[no-untyped-def]
            rows = [i for i, x in enumerate(cases.pixels) if any(torch.equal(x, p) for p in pixels)]
            return torch.tensor([[float(sides[i] == {"left"}), 0.0] for i in rows])

    assert side_auroc(Knows(), cases) == 1.0  # type: ignore[arg-type]


def test_an_untrained_model_knows_nothing_but_has_every_figure(cases: ProbeCases) -> None:
    model = tiny_model().eval()
    figures = interaction_figures(model, cases, AttMIM(), prompts="xlip")
    json.dumps(figures, allow_nan=False)
    words = word_figures(model, cases)
    assert words["finding"]["words"] > 0
    assert words["finding"]["top1_right"] < 0.3
    rows = list(table(figures))
    assert len({name for name, *_ in rows}) == len(rows) > 40


def test_the_command_writes_json_and_page_and_names_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_model().save_pretrained(tmp_path / "run")
    written = {"config": {"objectives": {"attmim": {"where": "reencode", "mode": "high", "gone": 1}}}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(written))
    assert attmim_of(str(tmp_path / "run")) == AttMIM(where="reencode", mode="high")
    assert main(["probe", str(tmp_path / "run"), "--singles", "6"]) == 0
    assert "maps pointing" in capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "interaction.json").read_text())
    assert found["attmim"] == {"where": "reencode", "target": "image", "mode": "high"}
    assert (tmp_path / "run" / "interaction.html").is_file()
    assert main(["probe", str(tmp_path / "nothing")]) == 2
    with pytest.raises(XLIPError, match="singles"):
        probe(InteractionConfig(str(tmp_path / "run"), singles=1))


def test_phantoms_of_one_kind_alone_have_no_other_to_be_compared_with() -> None:
    assert _others(["Mass", "Mass", "Edema"]) == [2, 2, 0]
    with pytest.raises(XLIPError, match=r"probe.singles: all 2 phantoms show Mass; ask for more"):
        _others(["Mass", "Mass"])

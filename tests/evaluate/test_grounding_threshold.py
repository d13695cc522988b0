"""A threshold of heat comes from validation regions alone; by it, what is coloured for absent findings is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fake_model import SIZE, FakeModel
from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, Cases, open_cases
from xlip.evaluate.grounding import Grounding
from xlip.evaluate.zeroshot import text_classifier
from xlip.images.files import decode
from xlip.images.square import fit
from xlip.metrics.grounding import choose_heat_threshold
from xlip.preparation.run import prepare
from xlip.study.prompts import load_prompts

CELLS = 4


@pytest.fixture(scope="module")
def split_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("split") / "phantoms"
    prepare("phantom", Path(), out, workers=0, holdout=0.4, validation=0.4, options={"count": 90, "size": 64})
    return out


def bright_cells(pixels: torch.Tensor) -> torch.Tensor:
    """(B, 4, 4, 2): a cell's vector turns with its brightness."""
    mean = F.adaptive_avg_pool2d(pixels, CELLS)[:, 0]
    return torch.stack([mean, 1 - mean], -1)


def of_test(phantoms: Path) -> Cases:
    return open_cases(str(phantoms), require="regions", split="test")


def heat_of(model: FakeModel, case: Case, kind: str) -> np.ndarray:
    """The map of a kind, enlarged, by its definition: cosine to the positive prompts less that to the negative ones."""
    positive, negative = text_classifier(model, load_prompts("xlip"), [kind])[0].numpy()
    assert case.image is not None
    square = fit(decode(case.image), SIZE, "letterbox")
    cells = model.encode_patches(torch.from_numpy(square / np.float32(255))[None, None])[0].numpy()
    coarse = torch.from_numpy(cells @ (positive - negative))
    return F.interpolate(coarse[None, None], (SIZE, SIZE), mode="bilinear", align_corners=False)[0, 0].numpy()


def region_of(case: Case, kind: str) -> np.ndarray:
    return fit((decode(case.masks[kind]) >= 128).astype(np.uint8) * 255, SIZE, "letterbox") >= 128


def overlap(heat: np.ndarray, region: np.ndarray, threshold: float) -> float:
    hot = heat >= threshold
    return float((hot & region).sum() / (hot | region).sum())


def cases_of(phantoms: Path, split: str) -> list[Case]:
    return list(open_cases(str(phantoms), require="labels", split=split).items)


def asked_of(cases: list[Case]) -> list[tuple[Case, str]]:
    return [(case, kind) for case in cases for kind in case.masks if region_of(case, kind).any()]


def test_the_threshold_is_the_best_on_validation_regions_and_is_used_on_test_regions(split_phantoms: Path) -> None:
    model = FakeModel(patches=bright_cells)
    found = Grounding(by="patches", replicates=5).run(model, of_test(split_phantoms)).figures
    assert found.threshold is not None
    assert "val" in found.threshold_chosen_on
    chosen_on = [
        (heat_of(model, case, kind), region_of(case, kind)) for case, kind in asked_of(cases_of(split_phantoms, "val"))
    ]
    maps, regions = [heat for heat, _ in chosen_on], [region for _, region in chosen_on]
    assert found.threshold == pytest.approx(choose_heat_threshold(maps, regions), abs=1e-6)
    measured = [
        overlap(heat_of(model, case, kind), region_of(case, kind), found.threshold)
        for case, kind in asked_of(cases_of(split_phantoms, "test"))
    ]
    assert found.regions == len(measured)
    assert found.iou_chosen is not None
    assert found.iou_chosen.mean == pytest.approx(np.mean(measured), abs=1e-4)


def test_what_is_coloured_of_absent_findings_is_counted_over_all_images_that_lack_them(split_phantoms: Path) -> None:
    model = FakeModel(patches=bright_cells)
    found = Grounding(by="patches", replicates=5).run(model, of_test(split_phantoms)).figures
    assert found.threshold is not None
    assert found.absent
    cases = cases_of(split_phantoms, "test")
    assert any(not case.masks for case in cases), "without a healthy phantom the images without a region are not tried"
    for kind, figures in found.absent.items():
        lacking = [case for case in cases if case.labels.get(kind) == 0]
        areas = [float((heat_of(model, case, kind) >= found.threshold).mean()) for case in lacking]
        assert figures.images == len(lacking)
        assert figures.area.mean == pytest.approx(np.mean(areas), abs=1e-4)
        assert figures.coloured == pytest.approx(np.mean([area > 0 for area in areas]), abs=1e-9)


def test_without_a_validation_part_neither_is_measured(phantoms: Path) -> None:
    data = open_cases(str(phantoms), require="regions", split="test")
    found = Grounding(by="patches", replicates=5).run(FakeModel(patches=bright_cells), data).figures
    assert found.threshold is None
    assert found.threshold_chosen_on == ""
    assert not found.absent
    assert found.iou_chosen is None


def test_no_threshold_is_chosen_on_a_test_part(split_phantoms: Path) -> None:
    data = open_cases(str(split_phantoms), require="regions", split="val")
    with pytest.raises(XLIPError, match="test"):
        Grounding(by="patches", chosen_on="test", replicates=5).run(FakeModel(patches=bright_cells), data)

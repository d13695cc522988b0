"""Where findings are: of masks and boxes, moved as the image is, and what AttMIM hides when it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tiny import context_of, tiny_batch, tiny_model, tiny_processor
from xlip.batches.augmentation import Augment
from xlip.batches.regions import SIDE, finding_region, kind_regions
from xlip.batches.streams import BatchSampler
from xlip.batches.study_table import SetConfig, StudyTable
from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.objectives.attmim import AttMIM, true_response
from xlip.study.labels import PRESENT
from xlip.study.parquet import write_studies
from xlip.study.prompts import load_prompts
from xlip.study.record import Box, Study
from xlip.train.build import refuse_without_regions

STILL = Augment(contrast=0.0, brightness=0.0, gamma=0.0, noise=0.0)


def spot(top: int, left: int, side: int = 64) -> np.ndarray:
    """A square of 16 pixels."""
    found = np.zeros((side, side), np.uint8)
    found[top : top + 16, left : left + 16] = 255
    return found


def studies() -> list[Study]:
    """Their images show their masks; the last has none."""
    spots = [spot(8, 8), spot(30, 12), spot(12, 40), np.zeros((64, 64), np.uint8)]
    return [
        Study(
            f"s{number}", f"p{number}", "x", image=encode(one, lossless=True), labels={"Mass": PRESENT},
            masks={"Mass": encode(one, lossless=True)} if one.any() else {}, split="train",
        )
        for number, one in enumerate(spots)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("regions") / "set.parquet"
    write_studies(studies(), path)
    return path


def sampler_of(file: Path, augment: Augment | None, *, as_bytes: bool = False, labels: bool = True) -> BatchSampler:
    images = StudyTable([SetConfig(str(file), labels=labels)], "images")
    tables = {"pairs": StudyTable([], "pairs"), "images": images, "texts": StudyTable([], "texts")}
    prompts = load_prompts("xlip")
    options = {"augment": augment, "seed": 3, "regions": True, "as_bytes": as_bytes}
    return BatchSampler(tables, {"images": 4}, tiny_processor(), prompts, ("Mass",), **options)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_regions_move_as_their_images_do(file: Path, as_bytes: bool) -> None:
    batch = sampler_of(file, STILL, as_bytes=as_bytes)(5).ready(STILL)
    assert batch.regions.shape == (4, 1, SIDE, SIDE)
    size = batch.pixels.shape[-1]
    shown = F.interpolate(batch.regions, (size, size), mode="area")
    assert float((shown - batch.pixels).abs().mean()) < 0.02
    assert batch.regions.amax((1, 2, 3)).gt(0.9).sum() == 3  # one study has no finding
    unmoved = sampler_of(file, None, as_bytes=as_bytes)(5).ready(None)
    assert not torch.allclose(unmoved.regions, batch.regions, atol=0.1)


def test_bytes_that_a_device_moves_give_the_same_regions(file: Path) -> None:
    early, late = (sampler_of(file, STILL, as_bytes=one)(2).ready(STILL) for one in (False, True))
    assert torch.allclose(early.regions, late.regions, atol=1e-6)


def test_a_set_whose_labels_are_not_used_has_no_regions(file: Path) -> None:
    assert not sampler_of(file, None, labels=False)(0).regions.any()


def test_nobody_asks_nobody_pays(file: Path) -> None:
    sampler = sampler_of(file, None)
    sampler.regions = False
    assert sampler(0).regions.shape == (4, 0)


def test_boxes_stand_in_for_kinds_without_a_mask_and_follow_the_letterbox() -> None:
    wide = np.zeros((32, 64), np.uint8)
    boxes = (Box("Effusion", 0.0, 0.0, 0.5, 1.0), Box("Mass", 0.75, 0.5, 0.25, 0.5))
    study = Study("s", "p", "x", image=encode(wide, lossless=True), boxes=boxes, masks={"Mass": encode(wide)})
    regions = kind_regions(study.masks, study.boxes, lambda: wide.shape)
    assert not regions["Mass"].any()  # its mask outweighs its box
    assert regions["Effusion"].tolist() == [[column < 32 for column in range(64)]] * 32
    region = finding_region(study, "letterbox")
    expected = np.zeros((SIDE, SIDE), np.uint8)
    expected[16:48, :32] = 255  # 32 rows of 64, padded above and below
    assert np.abs(region.astype(int) - expected).mean() < 2
    assert not finding_region(study._replace(boxes=(), masks={}), "letterbox").any()


def test_the_true_response_is_the_share_of_each_patch() -> None:
    regions = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    naive = [
        [float(one[0, 16 * r : 16 * r + 16, 16 * c : 16 * c + 16].mean()) for r in range(4) for c in range(4)]
        for one in regions
    ]
    assert torch.allclose(true_response(regions, 4), torch.tensor(naive))
    with pytest.raises(XLIPError, match="no regions"):
        true_response(torch.zeros(2, 0), 4)


def test_what_is_hidden_are_the_patches_of_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    batch = tiny_batch(model, 2, 2, 0)
    grid, rows = model.image_tower.grid, len(batch.pixels)
    inside = torch.zeros(rows, 1, SIDE, SIDE)
    inside[:, :, :, : SIDE // 4] = 1.0
    objective = AttMIM(response="truth", ratio=0.25, least_ratio=0.25, share=1.0, text_dropout=0.0)
    seen: list[torch.Tensor] = []
    decoder = model.image_decoder.forward

    def looked_at(tokens: torch.Tensor, hidden: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        seen.append(hidden)
        return decoder(tokens, hidden, *others)

    monkeypatch.setattr(model.image_decoder, "forward", looked_at)
    context = context_of(model, replace(batch, regions=inside), objective)
    objective(context)
    columns = torch.arange(grid * grid) % grid
    assert torch.equal(seen[0], (columns < grid // 4).expand(rows, -1))


def test_a_training_without_any_region_is_refused(file: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.parquet"
    write_studies([one._replace(masks={}) for one in studies()], bare)
    nothing = StudyTable([], "pairs")
    tables = {
        name: StudyTable([SetConfig(str(path), labels=labels)], "images")
        for name, path, labels in (("with", file, True), ("unused", file, False), ("bare", bare, True))
    }
    refuse_without_regions({"pairs": nothing, "images": tables["with"]})
    for name in ("unused", "bare"):
        with pytest.raises(XLIPError, match="boxes or masks"):
            refuse_without_regions({"pairs": nothing, "images": tables[name]})

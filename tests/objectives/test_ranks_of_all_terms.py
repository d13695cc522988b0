"""Every objective on two ranks is that of one process with all rows: values and gradients, ranks uneven or empty."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from tiny import KINDS, tiny_batch, tiny_model
from xlip.batches.batch import Batch, Part
from xlip.objectives.registry import OBJECTIVES, build_objectives
from xlip.train.pretrainer import Pretrainer

MIX = (5, 4, 3)
SHARES = {
    "uneven": (((0, 3), (0, 1), (0, 3)), ((3, 5), (1, 4), (3, 3))),
    "empty": (((0, 5), (0, 4), (0, 3)), ((5, 5), (4, 4), (3, 3))),
    "kinds apart": (((0, 5), (0, 0), (0, 0)), ((5, 5), (0, 4), (0, 3))),
}
"""Of each rank: its pairs, its lone images, its lone reports."""
OPTIONS = {name: {} for name in OBJECTIVES} | {
    "contrastive": {"denials": True}, "kind_contrast": {"denials": True}, "attmim": {"share": 0.7},
}  # fmt: skip


def share_of(batch: Batch, ends: tuple[tuple[int, int], ...]) -> Batch:
    """A rank's rows; of the denials, every rank has the kinds' and its own share of the sentences."""
    part = Part(batch, *([*range(*one)] for one in ends)).batch()
    sentences = [len(KINDS) + row for row in range(len(batch.denials) - len(KINDS)) if ends[0][0] <= row < ends[0][1]]
    kept = [*range(len(KINDS)), *sentences]
    texts = [getattr(batch.denials, name)[kept] for name in ("ids", "mask", "group", "is_entity", "lengths", "keys")]
    return replace(part, denials=type(batch.denials)(*texts), denied=batch.denied[kept])


def found_of(ends: tuple[tuple[int, int], ...]) -> dict[str, tuple[float, dict[str, torch.Tensor]]]:
    found = {}
    for name in OBJECTIVES:
        model = tiny_model().train()
        batch = share_of(tiny_batch(model, *MIX), ends)
        losses = Pretrainer(model, build_objectives({name: OPTIONS[name]}))(batch, 0.7, torch.Generator())
        losses.total.backward()
        gradients = {key: torch.zeros_like(p) if p.grad is None else p.grad for key, p in model.named_parameters()}
        value = losses.total.detach()
        if dist.is_initialized():
            for tensor in (value, *gradients.values()):
                dist.all_reduce(tensor)
                tensor /= dist.get_world_size()
        found[name] = (float(value), gradients)
    return found


def rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name, shares in SHARES.items():
        found = found_of(shares[rank])
        if rank == 0:
            torch.save(found, f"{folder}/{name}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(rank_main, (str(folder),), nprocs=2)
    return folder


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[float, dict[str, torch.Tensor]]]:
    return found_of(tuple((0, count) for count in MIX))


@pytest.mark.parametrize("shares", SHARES)
def test_two_ranks_have_the_loss_and_the_gradient_of_one(shares: str, together: Path, alone) -> None:
    found = torch.load(together / f"{shares}.pt", weights_only=True)
    for name, (value, gradients) in alone.items():
        assert found[name][0] == pytest.approx(value, rel=1e-5, abs=1e-6), name
        close = 1e-5 * sum(float(gradient.norm()) ** 2 for gradient in gradients.values()) ** 0.5
        for key, gradient in gradients.items():
            assert float((found[name][1][key] - gradient).norm()) <= close, (name, key)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from tiny import context_of, tiny_batch, tiny_model
from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives import view_contrast
from xlip.objectives.contrastive import Contrastive
from xlip.objectives.denial_contrast import DenialContrast
from xlip.objectives.kind_contrast import KindContrast
from xlip.objectives.objective import Objective, mean_over_ranks
from xlip.objectives.view_contrast import ViewContrast

OBJECTIVES: dict[str, Objective] = {
    "contrastive": Contrastive(),
    "view_contrast": ViewContrast(),
    "contrastive with denials": Contrastive(denials=True),
    "denial_contrast": DenialContrast(),
    "kind_contrast with denials": KindContrast(denials=True),
}
SHARES = ((0, 3), (3, 5))
"""First pair of each rank, and how many it has: ranks need not have equally many."""


def batch_of(model: XLIPModel, first: int, pairs: int) -> Batch:
    """Pairs whose texts are all different; pair 0 and pair 4, of another rank, share the 66th of 80 kinds."""
    batch = tiny_batch(model, pairs, 0, 0, first)
    numbers = torch.arange(first, first + pairs)
    labels = torch.zeros(pairs, 80, dtype=torch.int8)
    labels[torch.arange(pairs), 65 + numbers] = 1
    labels[numbers == 4] = labels.new_zeros(80).index_fill(0, torch.tensor([65]), 1)
    # Two prompts of each kind that all ranks share, and a sentence of each pair, which denies the next one's kind.
    prompts = TextBatch.concatenate([batch.prompts[k % 8 : k % 8 + 1] for k in range(160)])
    denied = torch.cat([torch.eye(80, dtype=torch.bool), torch.eye(80, dtype=torch.bool)[66 + numbers]])
    texts = {"prompts": prompts, "denials": TextBatch.concatenate([prompts[:80], batch.reports[:pairs]])}
    names = tuple(f"kind {number}" for number in range(80))
    return replace(batch, report_key=numbers, image_labels=labels, denied=denied, kinds=names, **texts)


def mirrored(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return pixels.flip(-1)


def loss_and_gradient(first: int, pairs: int) -> dict[str, list[float]]:
    """Of each objective: its mean over the ranks, and the norm of the averaged gradient of the image head."""
    view_contrast.SECOND_VIEW = mirrored  # type: ignore[assignment]
    found = {}
    for name, objective in OBJECTIVES.items():
        model = tiny_model().eval()
        loss = mean_over_ranks(objective(context_of(model, batch_of(model, first, pairs), objective)))
        loss.backward()
        gradient, value = model.image_head.weight.grad, loss.detach()
        if dist.is_initialized():
            for tensor in (gradient, value):
                dist.all_reduce(tensor)
                tensor /= dist.get_world_size()
        found[name] = [float(value), float(gradient.norm())]
    return found


def rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(SHARES))
    torch.save(loss_and_gradient(*SHARES[rank]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_find_what_one_process_finds_for_all_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    multiprocessing.spawn(rank_main, (str(tmp_path),), nprocs=len(SHARES))
    monkeypatch.setattr(view_contrast, "SECOND_VIEW", view_contrast.SECOND_VIEW)  # put back what the next line changes
    alone = loss_and_gradient(0, sum(pairs for _, pairs in SHARES))
    for rank in range(len(SHARES)):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, expected in alone.items():
            assert together[name] == pytest.approx(expected, rel=1e-3), name

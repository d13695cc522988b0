"""Seconds of a training step, beside a dual encoder of plain `transformers` and a plain version of the same losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.machine import attention_kernel
from xlip.models.xlip import Encodings, XLIPModel
from xlip.objectives.objective import Context, Objective, mean_over_ranks
from xlip.objectives.registry import OBJECTIVE_DEFAULTS, build_objectives
from xlip.speed.made_up import Shape, made_up_batch, made_up_model
from xlip.train.optim import OptimConfig, build_optimizer
from xlip.train.pretrainer import Pretrainer

CONTRASTIVE = {"contrastive": dict[str, Any]()}
REENCODE = {**OBJECTIVE_DEFAULTS, "attmim": {"where": "reencode"}}
GOALS = {"contrastive": 0.95, "full": 1.25, "reencode": 1.5}
"""Seconds of a step as multiples of the plain dual encoder's."""
GOAL_SAME_LOSSES = 0.55
"""Of the plain version of the same losses."""


class PlainDual(nn.Module):
    """Two encoders of `transformers` as they are, padded texts, one InfoNCE: what a user would write first."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        model = shape.model
        self.image = ViTModel(
            ViTConfig(
                hidden_size=model.width,
                num_hidden_layers=model.depth,
                num_attention_heads=model.heads,
                intermediate_size=4 * model.width,
                image_size=model.image_size,
                patch_size=model.patch_size,
                num_channels=1,
            ),
            add_pooling_layer=False,
        )
        self.text = BertModel(
            BertConfig(
                vocab_size=shape.vocabulary,
                hidden_size=model.text_width,
                num_hidden_layers=model.text_depth,
                num_attention_heads=model.text_heads,
                intermediate_size=4 * model.text_width,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )
        self.heads = nn.ModuleList(nn.Linear(width, model.embed_dim) for width in (model.width, model.text_width))
        self.scale = nn.Parameter(torch.tensor(2.66))

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Symmetric InfoNCE of rows that belong together."""
        image = self.image((pixels - 0.5) / 0.25).last_hidden_state[:, 1:].mean(1)
        tokens = self.text(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        text = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        first, second = (F.normalize(head(one), dim=1) for head, one in zip(self.heads, (image, text), strict=True))
        logits = self.scale.exp() * first @ second.T
        own = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


class SeparatePasses(nn.Module):
    """The objectives as one would write them one by one: each encodes its images and each of its texts, padded."""

    def __init__(self, model: XLIPModel, objectives: list[Objective], length: int) -> None:
        super().__init__()
        self.model, self.objectives, self.length = model, objectives, length

    def forward(self, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """The weighted sum."""
        total = []
        for one in self.objectives:
            inputs = one.texts(self.model, batch, generator)
            texts = {name: self._encoded(text) for name, text in inputs.items()}
            images = self.model.images(batch.pixels)
            context = Context(self.model, batch, images, texts, inputs, {}, progress, generator)
            total.append(one.weight * mean_over_ranks(one(context)))
        return torch.stack(total).sum()

    def _encoded(self, text: TextBatch) -> Encodings:
        own = text.ids.shape[1]
        encoded = self.model.texts(text.padded(max(self.length, own)))
        return Encodings(encoded.tokens[:, :own], encoded.embedding, encoded.mask[:, :own])


@dataclass(frozen=True)
class Variants:
    """What is timed in turns: each a whole step with its update."""

    shape: Shape
    kernel: str = "fused"

    def ways(self) -> dict[str, Callable[[], object]]:
        """Name -> one step."""
        torch.manual_seed(0)
        paired = replace(self.shape, pairs=self.shape.images, lone_images=0, lone_texts=0)
        plain = PlainDual(self.shape).train()
        dual = made_up_batch(paired)
        ids, mask = (F.pad(one, (0, self.shape.tokens - one.shape[1])) for one in (dual.reports.ids, dual.reports.mask))
        ways = {"plain dual encoder": self._step(plain, lambda: plain(dual.pixels, ids, mask))}
        mixed = made_up_batch(self.shape)
        for name, objectives, batch in (
            ("contrastive", CONTRASTIVE, dual),
            ("full", OBJECTIVE_DEFAULTS, mixed),
            ("reencode", REENCODE, mixed),
        ):
            ways[name] = self._xlip(objectives, batch)
        model = made_up_model(self.shape).train()
        apart = SeparatePasses(model, build_objectives(OBJECTIVE_DEFAULTS), self.shape.tokens)
        ways["same losses, separate passes"] = self._step(apart, lambda: apart(mixed, 1.0, torch.Generator()))
        return ways

    def _xlip(self, objectives: dict[str, dict[str, Any]], batch: Batch) -> Callable[[], object]:
        task = Pretrainer(made_up_model(self.shape).train(), build_objectives(objectives))
        return self._step(task, lambda: task(batch, 1.0, torch.Generator()).total)

    def _step(self, module: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], object]:
        optimizer = build_optimizer(module, OptimConfig())

        def step() -> None:
            with attention_kernel(self.kernel):
                loss().backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step


def ratios(found: dict[str, dict[str, float]], key: str = "cpu_seconds") -> dict[str, float]:
    """The variants' seconds as multiples of the plain ones'."""
    plain, apart = found["plain dual encoder"][key], found["same losses, separate passes"][key]
    made = {name: round(found[name][key] / plain, 3) for name in GOALS}
    return {**made, "full, of the same losses in separate passes": round(found["full"][key] / apart, 3)}

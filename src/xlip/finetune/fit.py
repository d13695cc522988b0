"""Train one classifier on one part of the data, watched by a validation part."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xlip.batches.augmentation import Augment
from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.finetune.classifier import XLIPClassifier
from xlip.finetune.lora import add_adapters, merge_adapters
from xlip.finetune.losses import build_loss
from xlip.finetune.parameters import Anchor, between, copied, layerwise_optimizer, trainable
from xlip.finetune.recipe import Recipe
from xlip.finetune.sampling import balancing_weights, batches
from xlip.finetune.start import fit_bias
from xlip.metrics.auroc import mean_auroc
from xlip.models.machine import attention_choice, attention_kernel, mixed_precision
from xlip.objectives.masking import mask_patches
from xlip.study.labels import one_class
from xlip.train.optim import build_schedule

Array = np.ndarray[Any, Any]
SHARES = (0.75, 0.5, 0.25, 0.1)
"""Of the way from the start to the best trained weights, tried after training."""
BIAS_IMAGES = 512
"""Training images that the first biases are fitted on."""


@dataclass(frozen=True)
class Part:
    """Images with their targets."""

    pixels: Array
    """(n, S, S) uint8."""
    targets: Array
    """(n, K) int8: 1, 0, -1 = unknown."""


@dataclass
class Fitted:
    """What training found."""

    classifier: XLIPClassifier
    untrained: tuple[str, ...]
    """Kinds of one class only among these training images: their head stays as it started."""
    step: int = 0
    """Steps until the weights that were kept; 0: those it started from."""
    validation_auroc: float | None = None
    """Macro, of what was kept; None without a validation part."""
    share: float = 1.0
    """Of the way from the start to the trained weights."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """Every check: step, mean loss since the last one, validation AUROC."""


def fit(
    classifier: XLIPClassifier,
    train: Part,
    validation: Part | None,
    recipe: Recipe,
    *,
    seed: int,
    augment: Augment | None = None,
    precision: str = "auto",
) -> Fitted:
    """Train a classifier in place and keep the weights that score best on the validation part (the last without one).

    Args:
        classifier: as `starting_classifier` made it.
        train: at least one image.
        validation: whole at every label share, as in the published protocols; None: train to the end.
        recipe: how.
        seed: of order, augmentation and adapters.
        augment: of the training images; a probe learns from them as they are.
        precision: auto, bf16 or fp32.

    Raises:
        XLIPError: no kind with both classes, or a loss that is not finite.
    """
    lacking = one_class(train.targets)
    if lacking.all():
        raise XLIPError(
            f"none of {', '.join(classifier.kinds)} is both present and absent in the {len(train.targets)} training "
            "images; take a larger share of the labels"
        )
    targets = np.where(lacking, -1, train.targets).astype(np.int8)
    torch.manual_seed(seed)
    run = _Run(classifier, Part(train.pixels, targets), validation, recipe, seed, augment, precision)
    run.untrained = tuple(kind for kind, lacks in zip(classifier.kinds, lacking, strict=True) if lacks)
    return run.go()


class _Run:
    """One training, from the first bias to the point between start and end."""

    def __init__(
        self,
        classifier: XLIPClassifier,
        train: Part,
        validation: Part | None,
        recipe: Recipe,
        seed: int,
        augment: Augment | None,
        precision: str,
    ) -> None:
        self.classifier, self.train, self.validation, self.recipe = classifier, train, validation, recipe
        self.seed, self.augment = seed, augment
        self.device = classifier.device
        self.precision = mixed_precision(precision, self.device)
        self.generator = torch.Generator().manual_seed(seed)
        self.untrained: tuple[str, ...] = ()
        self.embedded: dict[str, Tensor] = {}
        """A probe's inputs, made once."""

    def go(self) -> Fitted:
        recipe, classifier = self.recipe, self.classifier
        if recipe.mode == "probe":
            self._embed_once()
        self._first_bias()
        start, first = copied(classifier), self._validate() if recipe.from_zero_shot else None
        if recipe.mode == "lora":
            add_adapters(classifier, recipe.lora_rank, recipe.lora_alpha)
        self.parameters = trainable(classifier, recipe)
        fitted = Fitted(classifier, self.untrained)
        if first is not None:
            fitted.curve.append({"step": 0.0, "validation_auroc": first})
        best = self._learn(fitted)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(best[name])
        if recipe.mode == "lora":
            merge_adapters(classifier)
        for parameter in classifier.parameters():
            parameter.requires_grad = True
        if first is not None:
            self._choose_point(start, first, fitted)
        classifier.eval()
        return fitted

    def _learn(self, fitted: Fitted) -> dict[str, Tensor]:
        """Train; returns the best weights of what is trained."""
        recipe, count = self.recipe, len(self.train.targets)
        steps = recipe.updates(count)
        optimizer = layerwise_optimizer(self.parameters, recipe, self.classifier.image_tower.width)
        schedule = build_schedule(optimizer, max(1, round(recipe.warmup_share * steps)), steps)
        anchor = Anchor(self.parameters, recipe)
        loss = build_loss(recipe.loss, torch.from_numpy(self.train.targets))
        weights = balancing_weights(self.train.targets) if recipe.balanced else None
        watch = _Watch(fitted, recipe.patience)
        every, losses = max(1, math.ceil(steps / recipe.checks)), []
        kernel = attention_choice(self.device, self.classifier.image_tower.attention_shape, self.precision)
        with attention_kernel(kernel):
            for step, rows in enumerate(batches(count, recipe.batch_size, steps, self.seed, weights), 1):
                self.classifier.train()
                wanted = torch.from_numpy(self.train.targets[rows]).to(self.device)
                value = loss(self._logits(rows), wanted)
                losses.append(self._update(value, optimizer, schedule, anchor, step))
                if step % every == 0 or step == steps:
                    watch.check(step, float(np.mean(losses)), self._validate(), self.parameters)
                    losses = []
                    if watch.exhausted:
                        break
        return watch.best

    def _update(
        self,
        value: Tensor,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        anchor: Anchor,
        step: int,
    ) -> float:
        if not torch.isfinite(value):
            raise XLIPError(f"fine-tuning, step {step}: the loss is {value.item()}; lower --recipe.lr")
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.clip)
        optimizer.step()
        anchor.pull(optimizer)
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        return float(value.detach())

    def _logits(self, rows: Array) -> Tensor:
        if self.embedded:
            return self.classifier.classify(self.embedded["train"][torch.from_numpy(rows)])
        pixels = as_pixels(self.train.pixels[rows])
        if self.augment:
            pixels = self.augment(pixels, self.generator)
        with self._autocast():
            embedding = self.classifier.embed(pixels.to(self.device), self._hidden(len(rows)))
        return self.classifier.classify(embedding)

    def _hidden(self, images: int) -> Tensor | None:
        """(images, N), True = hidden, equally many in every row; None where every patch is seen."""
        keep = self.recipe.patches(self.classifier.image_tower.depth)
        if keep == 1:
            return None
        anything = torch.zeros(images, self.classifier.image_tower.grid**2, device=self.device)
        share = {"ratio": 1 - keep, "attention_share": 0.0}
        return mask_patches(anything, mode="random", generator=self.generator, **share)

    @torch.no_grad()
    def _score(self, part: Part, batch_size: int = 64) -> Tensor:
        """Logits (n, K) of a part as it is."""
        self.classifier.eval()
        logits = []
        for first in range(0, len(part.pixels), batch_size):
            with self._autocast():
                embedding = self.classifier.embed(as_pixels(part.pixels[first : first + batch_size]).to(self.device))
            logits.append(self.classifier.classify(embedding))
        return torch.cat(logits)

    @torch.no_grad()
    def _validate(self) -> float | None:
        if self.validation is None:
            return None
        logits = self.classifier.classify(self.embedded["val"]) if self.embedded else self._score(self.validation)
        return mean_auroc(self.validation.targets, logits.double().cpu().numpy())

    @torch.no_grad()
    def _first_bias(self) -> None:
        rows = np.random.default_rng(self.seed).permutation(len(self.train.targets))[:BIAS_IMAGES]
        rows.sort()
        part = Part(self.train.pixels[rows], self.train.targets[rows])
        logits = self.classifier.classify(self.embedded["train"][rows]) if self.embedded else self._score(part)
        self.classifier.head.bias.add_(fit_bias(logits, torch.from_numpy(part.targets).to(self.device)))

    @torch.no_grad()
    def _embed_once(self) -> None:
        parts = {"train": self.train} | ({"val": self.validation} if self.validation else {})
        self.classifier.eval()
        for name, part in parts.items():
            chunks = [part.pixels[first : first + 64] for first in range(0, len(part.pixels), 64)]
            self.embedded[name] = torch.cat([self.classifier.embed(as_pixels(c).to(self.device)) for c in chunks])

    def _choose_point(self, start: dict[str, Tensor], first: float, fitted: Fitted) -> None:
        """Keep what validates best: the best trained weights, a point on the way to them, or the start (`first`).

        The points are tried even where the start beats every check: a few labels may be worth a small step.
        """
        end = copied(self.classifier)
        for share in SHARES if self.recipe.interpolate else ():
            self.classifier.load_state_dict(between(start, end, share))
            score = self._validate()
            assert score is not None
            if score > (fitted.validation_auroc or 0.0):
                fitted.validation_auroc, fitted.share = score, share
        if first >= (fitted.validation_auroc or 0.0):
            fitted.validation_auroc, fitted.share, fitted.step = first, 0.0, 0
        self.classifier.load_state_dict(between(start, end, fitted.share))

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


class _Watch:
    """Keeps the best weights, and notices when nothing gets better any more."""

    def __init__(self, fitted: Fitted, patience: int) -> None:
        self.fitted, self.patience, self.waited = fitted, patience, 0
        self.best: dict[str, Tensor] = {}

    @property
    def exhausted(self) -> bool:
        """Whether it is time to stop."""
        return 0 < self.patience <= self.waited

    def check(self, step: int, loss: float, score: float | None, parameters: dict[str, torch.nn.Parameter]) -> None:
        entry = {"step": float(step), "loss": loss, "validation_auroc": score}
        self.fitted.curve.append(
            {name: value for name, value in entry.items() if value is not None and math.isfinite(value)}
        )
        known = score if score is not None and math.isfinite(score) else None
        if known is not None and self.best and known <= (self.fitted.validation_auroc or 0.0):
            self.waited += 1
            return
        self.best = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        self.fitted.step, self.fitted.validation_auroc, self.waited = step, known, 0

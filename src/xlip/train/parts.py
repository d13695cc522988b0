"""A step in parts, with the gradient of the whole: memory for a few rows, negatives from all of them.

GradCache (Gao et al. 2021, arXiv:2101.06983). Every part is encoded without a graph and its embeddings are kept; the
terms that compare rows are computed from all embeddings at once, down to the gradient of each embedding; then every
part is encoded again, with a graph, and that gradient goes through it. Terms that are sums over rows are computed part
by part, divided by the count of the whole step, which the first pass finds. The price is one more forward pass. Texts
that belong to no row (prompts) are encoded once for all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xlip.batches.batch import SHARED_TEXTS, Batch, Part
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import Encodings
from xlip.objectives.encoding import encode_together
from xlip.objectives.objective import Context, Objective, Term, as_terms, mean_over_ranks, over_ranks, ranks
from xlip.train.pretrainer import Losses, Pretrainer

Scale = Callable[[Tensor], Tensor]
IMAGES = "images"


@dataclass
class PartsPass:
    """One step of a batch in `count` parts."""

    task: Pretrainer
    batch: Batch
    progress: float
    generator: torch.Generator
    count: int
    scaled: Scale = field(default=lambda loss: loss)
    """What a loss is multiplied by before its gradient is taken (fp16)."""

    def backward(self) -> Losses:
        """Add the gradient of the whole step's loss to the weights; the values carry no graph."""
        self.seed = int(torch.randint(1 << 62, (1,), generator=self.generator).tolist()[0])
        joint = [one for one in self.task.objectives if one.joint]
        single = [one for one in self.task.objectives if not one.joint]
        parts = self.batch.parts(self.count)
        names = self.task.inputs(self.batch, self.generator)
        self.shared_inputs = {name: text for name, text in names.items() if self._is_shared(text)}
        with torch.no_grad():
            self.shared = self._encode_shared()
        for leaf in self.shared.values():
            leaf.tokens.requires_grad_()
            leaf.embedding.requires_grad_()
        kept = Kept(self.batch)
        sums: dict[str, list[Term]] = {}
        with torch.no_grad():
            for number, part in enumerate(parts):
                context = self._context(number, part)
                kept.keep(part, context)
                for one in single:
                    self._add(sums, one, as_terms(one(context)))
        terms = {one.name: self._joint(one, kept) for one in joint}
        if joint:
            total = torch.stack([one.weight * terms[one.name] for one in joint]).sum()
            self.scaled(total).backward()
        divisors = {one.name: self._divisors(sums[one.name]) for one in single}
        for one in single:
            means = [term.total / by for term, by in zip(sums[one.name], divisors[one.name], strict=True)]
            terms[one.name] = torch.stack(means).sum()
        for number, part in enumerate(parts):
            self._backward_of(number, part, single, divisors, kept)
        self._backward_of_shared()
        return self.task.losses({name: term.detach() for name, term in terms.items()})

    def _is_shared(self, text: TextBatch) -> bool:
        return any(text is getattr(self.batch, name) for name in SHARED_TEXTS)

    @contextmanager
    def _same_dropout(self, number: int) -> Iterator[None]:
        """Within the block the global generators start as they did when this part was encoded before."""
        devices = [self.batch.pixels.device] if self.batch.pixels.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed + number)
            yield

    def _encode_shared(self) -> dict[str, Encodings]:
        with self._same_dropout(self.count):
            return encode_together(self.task.model, self.shared_inputs)

    def _context(self, number: int, part: Part) -> Context:
        """The context of a part, its encoders run."""
        batch, model = part.batch(), self.task.model
        inputs = self.task.inputs(batch, self.generator)
        own = {name: text for name, text in inputs.items() if name not in self.shared_inputs}
        with self._same_dropout(number):
            images, texts, views = self.task.images(batch), encode_together(model, own), self.task.views(batch)
        return Context(model, batch, images, {**texts, **self.shared}, inputs, views, self.progress, self.generator)

    def _add(self, sums: dict[str, list[Term]], one: Objective, terms: tuple[Term, ...]) -> None:
        before = sums.get(one.name, [Term(torch.zeros_like(t.total), torch.zeros_like(t.count)) for t in terms])
        sums[one.name] = [
            Term(a.total + b.total, a.count + b.count.float()) for a, b in zip(before, terms, strict=True)
        ]

    def _joint(self, one: Objective, kept: Kept) -> Tensor:
        """The mean of a term that compares rows, from the kept embeddings of all parts."""
        context = Context(
            model=self.task.model,
            batch=self.batch,
            images=kept.encodings(IMAGES),
            texts={**{name: kept.encodings(name) for name in kept.texts}, **self.shared},
            inputs={},
            views={name: kept.encodings(name) for name in kept.views},
            progress=self.progress,
            generator=self.generator,
        )
        return mean_over_ranks(one(context))

    def _divisors(self, terms: list[Term]) -> list[Tensor]:
        counts = over_ranks(torch.stack([term.count.float() for term in terms])).clamp(min=1) / ranks()
        return list(counts.unbind())

    def _backward_of(
        self, number: int, part: Part, single: list[Objective], divisors: dict[str, list[Tensor]], kept: Kept
    ) -> None:
        context = self._context(number, part)
        loss = context.images.embedding.sum() * 0.0
        for one in single:
            for term, by in zip(as_terms(one(context)), divisors[one.name], strict=True):
                loss = loss + one.weight * term.total / by
        loss = self.scaled(loss)
        for embedding, gradient in kept.gradients(part, context):
            loss = loss + (embedding * gradient).sum()
        loss.backward()

    def _backward_of_shared(self) -> None:
        if not self.shared_inputs:
            return
        again = self._encode_shared()
        pairs = [
            (getattr(again[name], what), getattr(leaf, what).grad)
            for name, leaf in self.shared.items()
            for what in ("tokens", "embedding")
        ]
        found = [(value * gradient).sum() for value, gradient in pairs if gradient is not None]
        if found:
            torch.stack([one.float() for one in found]).sum().backward()


class Kept:
    """Embeddings of all rows of a step, part by part, as leaves that gather gradients."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.rows: dict[str, list[int]] = {}
        self.found: dict[str, list[Tensor]] = {}
        self.leaves: dict[str, Tensor] = {}
        self.texts: list[str] = []
        self.views: list[str] = []

    def keep(self, part: Part, context: Context) -> None:
        """Take the embeddings of a part's rows."""
        self._take(IMAGES, part.images, context.images.embedding)
        for name, encoded in context.views.items():
            self._take(name, part.images, encoded.embedding)
        self.views = list(context.views)
        self.texts = ["reports", "descriptions"]
        self.texts = [name for name in self.texts if name in context.texts]
        for name in self.texts:
            self._take(name, self._rows_of(name, part), context.texts[name].embedding)

    def encodings(self, name: str) -> Encodings:
        """All rows of a name, in the batch's order, without tokens."""
        if name not in self.leaves:
            places = torch.tensor(self.rows[name], dtype=torch.long).argsort().to(self.found[name][0].device)
            self.leaves[name] = torch.cat(self.found.pop(name))[places].detach().requires_grad_()
        leaf = self.leaves[name]
        nothing = leaf.new_zeros(len(leaf), 0)
        return Encodings(nothing[..., None], leaf, nothing.bool())

    def gradients(self, part: Part, context: Context) -> Iterator[tuple[Tensor, Tensor]]:
        """Embeddings of a part that were computed again, with the gradient of the joint terms."""
        named = [(IMAGES, context.images, part.images)]
        named += [(name, context.views[name], part.images) for name in self.views]
        named += [(name, context.texts[name], self._rows_of(name, part)) for name in self.texts]
        for name, encoded, rows in named:
            leaf = self.leaves.get(name)
            if leaf is not None and leaf.grad is not None and rows:
                yield encoded.embedding, leaf.grad[torch.tensor(rows).to(leaf.device, non_blocking=True)]

    def _rows_of(self, name: str, part: Part) -> list[int]:
        return part.lone_images if name == "descriptions" else part.reports

    def _take(self, name: str, rows: list[int], embedding: Tensor) -> None:
        self.rows.setdefault(name, []).extend(rows)
        self.found.setdefault(name, []).append(embedding)

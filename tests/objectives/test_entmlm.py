from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import context_of, tiny_batch, tiny_model
from xlip.objectives.entmlm import EntMLM, hidden_word_error, image_context
from xlip.train.optim import OptimConfig, build_optimizer
from xlip.train.pretrainer import Pretrainer


def test_the_loss_is_the_cross_entropy_of_hidden_tokens_only() -> None:
    model = tiny_model().eval()
    features, truth = torch.randn(3, 32), torch.tensor([5, 9, 7])
    term = hidden_word_error(model, features, truth)
    weights = model.text_tower.word_embeddings.detach().numpy()
    logits = features.numpy() @ weights.T + model.text_decoder.bias.detach().numpy()
    expected = sum(np.log(np.exp(row).sum()) - row[token] for row, token in zip(logits, truth.tolist(), strict=True))
    assert float(term.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(term.count) == 3


def test_the_term_counts_the_tokens_that_are_masked_and_no_others() -> None:
    model = tiny_model().eval()
    objective = EntMLM()
    context = context_of(model, tiny_batch(model), objective)
    asked: list[torch.Tensor] = []
    model.text_decoder.register_forward_hook(lambda *given: asked.append(given[2]))
    term = objective(context)
    total, count = 0.0, 0
    for features, name in zip(asked, ("reports", "descriptions"), strict=True):
        hidden = context.inputs[f"masked_{name}"].ids == model.mask_token_id
        total += float(hidden_word_error(model, features[hidden], context.inputs[name].ids[hidden]).total.detach())
        count += int(hidden.sum())
    assert float(term.total.detach()) == pytest.approx(total, rel=1e-5)
    assert float(term.count) == count > 0


def test_padding_and_special_tokens_are_never_hidden_and_every_report_hides_an_entity() -> None:
    model = tiny_model()
    batch = tiny_batch(model, 4, 0, 4)
    objective = EntMLM(p_entity=0.0, p_other=0.0)
    masked = objective.texts(model, batch, torch.Generator().manual_seed(0))["masked_reports"]
    changed = masked.ids != batch.reports.ids
    assert (masked.ids[changed] == model.mask_token_id).all()
    assert not changed[batch.reports.group < 0].any()
    assert (changed.sum(1) > 0).all()
    assert (changed <= batch.reports.is_entity).all()


def test_masks_are_drawn_anew_at_every_step() -> None:
    model = tiny_model()
    batch = tiny_batch(model)
    seeds = [replace(batch, report_seeds=batch.report_seeds + step) for step in (0, 100, 0)]
    drawn = [EntMLM().texts(model, one, torch.Generator())["masked_reports"].ids for one in seeds]
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_lone_reports_do_not_see_any_image() -> None:
    model = tiny_model().eval()
    objective = EntMLM(image_dropout=0.0, descriptions=False)
    totals = []
    for seed in (0, 1):
        batch = tiny_batch(model, 0, 2, 3)
        batch.pixels.copy_(torch.rand(batch.pixels.shape, generator=torch.Generator().manual_seed(seed)))
        totals.append(float(objective(context_of(model, batch, objective)).total.detach()))
    assert totals[0] == totals[1]


@pytest.mark.parametrize(("share", "kept"), [(0.0, range(24, 25)), (0.5, range(5, 20)), (1.0, range(1))])
def test_images_are_left_out_as_often_as_asked_and_texts_without_one_read_nulls(share: float, kept: range) -> None:
    model = tiny_model().eval()
    batch, given = tiny_batch(model, 24, 1, 2), []
    model.text_decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[2:]))
    objective = EntMLM(image_dropout=share, descriptions=False)
    context = context_of(model, batch, objective)
    objective(context)
    images, embedding, seen = given[0]
    assert torch.equal(embedding[:24], context.images[:24].embedding)
    assert not embedding.requires_grad
    assert torch.equal(images[:24], image_context(model, context.images[:24]))
    assert int(seen[:24].sum()) in kept
    assert not seen[24:].any()
    tokens, mask = torch.randn(26, 5, 32), torch.ones(26, 5, dtype=torch.bool)
    views = ((images, embedding), (images.flip(0), embedding.flip(0)))
    read = [model.text_decoder(tokens, mask, *other, seen) for other in views]
    assert torch.equal(read[0][~seen], read[1][~seen])  # nothing but the learned token


def test_descriptions_of_lone_images_are_filled_in_with_their_image() -> None:
    model = tiny_model().eval()
    objective = EntMLM(image_dropout=0.0, p_entity=1.0)
    batch = tiny_batch(model, 0, 3, 0)
    texts = objective.texts(model, batch, torch.Generator().manual_seed(0))
    changed = texts["masked_descriptions"].ids != batch.descriptions.ids
    assert (changed >= batch.descriptions.is_entity).all()
    term = objective(context_of(model, batch, objective))
    assert int(term.count) > 0
    other = float(objective(context_of(model, replace(batch, pixels=batch.pixels.flip(0)), objective)).total.detach())
    assert other != float(term.total.detach())
    term.total.backward()
    assert model.text_decoder.local_in.weight.grad.abs().sum() > 0
    assert "masked_descriptions" not in EntMLM(descriptions=False).texts(model, batch, torch.Generator())


def test_the_loss_rises_when_images_are_shuffled_within_the_batch() -> None:
    """A tiny model trained on eight pairs learns to read the image: a wrong image costs it."""
    torch.manual_seed(0)
    model = tiny_model()
    batch = tiny_batch(model, 8, 0, 0)
    objective = EntMLM(p_entity=0.9, p_other=0.3, image_dropout=0.0)
    task = Pretrainer(model, [objective])
    optimizer = build_optimizer(model, OptimConfig(lr=3e-3))
    for step in range(250):
        task(batch, 1.0, torch.Generator().manual_seed(step % 5)).total.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    losses = []
    for pixels in (batch.pixels, batch.pixels.roll(1, 0)):
        batch.__dict__["pixels"] = pixels
        with torch.no_grad():
            losses.append(float(task(batch, 1.0, torch.Generator().manual_seed(1)).total))
    assert losses[1] > losses[0] + 0.3

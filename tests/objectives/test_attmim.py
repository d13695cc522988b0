from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

from tiny import context_of, tiny_batch, tiny_model
from xlip.batches.draws import row_draws, uniform
from xlip.errors import XLIPError
from xlip.models.xlip import Encodings
from xlip.objectives.attmim import AttMIM, focused, patch_error
from xlip.objectives.masking import MODES
from xlip.objectives.pixel_targets import FLAT, TARGETS, patches
from xlip.objectives.queries import presence, query_texts
from xlip.objectives.response import RESPONSES, response, token_weights


def naive_patch_error(predicted, pixels, hidden, size, target):
    """docs/method.md, AttMIM, with loops: mean squared error per hidden patch that is not flat."""
    total, count = 0.0, 0
    grid = pixels.shape[-1] // size
    for b in range(len(pixels)):
        for row in range(grid):
            for column in range(grid):
                patch = pixels[b, 0, row * size : (row + 1) * size, column * size : (column + 1) * size].reshape(-1)
                index = row * grid + column
                if hidden[b, index] and patch.var() > FLAT:
                    norm = patch if target == "patch" else pixels[b]
                    truth = (patch - norm.mean()) / np.sqrt(norm.var() + 1e-6)
                    total += ((predicted[b, index] - truth) ** 2).mean()
                    count += 1
    return total, count


def seen(tokens: torch.Tensor) -> Encodings:
    """Images of which nothing but the patch tokens (B, N, D) matters."""
    return Encodings(tokens, torch.ones(len(tokens), 16), torch.ones(tokens.shape[:2], dtype=torch.bool))


@pytest.mark.parametrize("target", TARGETS)
def test_patch_error_equals_the_naive_loop_and_leaves_flat_patches_out(target: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((3, 1, 16, 16)).astype(np.float32)
    pixels[0, 0, :4, :4] = 0.2  # flat
    hidden = rng.random((3, 16)) < 0.5
    hidden[0, 0] = True
    predicted = rng.normal(size=(3, 16, 16)).astype(np.float32)
    term = patch_error(torch.tensor(predicted), torch.tensor(pixels), torch.tensor(hidden), 4, target)
    total, count = naive_patch_error(predicted, pixels, hidden, 4, target)
    assert int(term.count) == count < hidden.sum()
    assert float(term.total.detach()) == pytest.approx(total, rel=1e-4)


def test_patches_go_row_by_row() -> None:
    pixels = torch.arange(16.0).view(1, 1, 4, 4)
    assert patches(pixels, 2)[0, 1].tolist() == [2, 3, 6, 7]


def test_cosine_response_equals_the_naive_mean_of_cosines() -> None:
    model = tiny_model()
    v, t = torch.randn(2, 16, 32), torch.randn(2, 5, 32)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    entity = torch.tensor([[False, True, False, False, False]] * 2)
    made = response(model, seen(v), t, token_weights(mask, entity, 3.0))
    image, text = model.image_head(v).detach().numpy(), model.text_head(t).detach().numpy()
    for b in range(2):
        for j in range(16):
            total = weight = 0.0
            for i in range(5):
                w = float(mask[b, i]) * (3.0 if entity[b, i] else 1.0)
                norms = np.linalg.norm(image[b, j]) * np.linalg.norm(text[b, i])
                total, weight = total + w * float(image[b, j] @ text[b, i]) / norms, weight + w
            assert float(made[b, j]) == pytest.approx(total / weight, abs=1e-5)


@pytest.mark.parametrize("by", ["cosine", "attention"])
def test_the_response_has_no_gradient_and_ignores_padding(by: str) -> None:
    model = tiny_model().eval()
    v, t = torch.randn(2, 16, 32, requires_grad=True), torch.randn(2, 5, 32)
    weights = torch.tensor([[1.0, 2, 1, 0, 0], [1, 1, 1, 1, 1]])
    made = response(model, seen(v), t, weights, by=by)
    assert not made.requires_grad
    changed = t.clone()
    changed[0, 3:] = 100.0
    assert torch.allclose(made, response(model, seen(v), changed, weights, by=by), atol=1e-5)


def test_permuting_the_texts_changes_the_mask() -> None:
    model = tiny_model()
    batch = tiny_batch(model, pairs=4, images=0, texts=0)
    context = context_of(model, batch, AttMIM())
    words, weights, _ = query_texts(context, 3.0)
    own = response(model, context.images, words, weights)
    other = response(model, context.images, words.roll(1, 0), weights.roll(1, 0))
    assert (own.topk(8).indices.sort().values != other.topk(8).indices.sort().values).any()


def test_a_lone_image_is_queried_by_its_description_or_else_by_its_scores() -> None:
    model = tiny_model()
    batch = tiny_batch(model, pairs=1, images=2, texts=0)
    labels = torch.tensor([[1, 0, -1, -1], [1, 0, 0, 0], [-1, -1, -1, -1]], dtype=torch.int8)
    described = torch.tensor([True, False])
    context = context_of(model, replace(batch, image_labels=labels, described=described), AttMIM())
    words, weights, embedding = query_texts(context, 3.0)
    assert torch.equal(embedding[0], context.texts["reports"].embedding[0])
    assert torch.equal(embedding[1], context.texts["descriptions"].embedding[0])
    named = presence(context)[2] @ context.texts["prompts"].embedding[:4]
    assert torch.allclose(embedding[2], named / named.norm(), atol=1e-5)
    assert not embedding.requires_grad
    length = batch.descriptions.ids.shape[1]
    assert words.shape[:2] == weights.shape
    assert torch.equal(weights[1, :length] > 0, batch.descriptions.mask[0])
    assert not weights[1, length:].any()
    assert not weights[2, :length].any()
    assert torch.equal(weights[0, : batch.reports.ids.shape[1]] > 0, batch.reports.mask[0])
    found = presence(context)
    assert found[1].tolist() == pytest.approx([1.0, 1e-3, 1e-3, 0.0])  # No_Finding is nowhere
    assert ((found[2, :3] > 1e-3) & (found[2, :3] < 1)).all()  # its own scores
    assert weights[2, length : length + 4].tolist() == pytest.approx(found[2].tolist())
    assert found[0].tolist() == pytest.approx([1.0, 1e-3, 1e-3, 0.0])  # a report that is silent on a kind
    assert not weights.requires_grad


@pytest.mark.parametrize("where", ["feature", "reencode"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("by", RESPONSES)
def test_every_variant_trains(where: str, mode: str, by: str) -> None:
    model = tiny_model()
    objective = AttMIM(where=where, mode=mode, response=by)
    term = objective(context_of(model, tiny_batch(model, 2, 2, 0), objective))
    (term.total / term.count).backward()
    assert torch.isfinite(term.total)
    assert model.image_decoder.to_pixels.weight.grad.abs().sum() > 0


def test_reencoding_leaks_nothing_of_hidden_patches() -> None:
    model = tiny_model().eval()
    pixels = torch.rand(2, 1, 64, 64)
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    hidden[:, 5:9] = True
    blank = hidden.view(2, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    one = model.image_tower.visible(pixels, hidden).tokens
    two = model.image_tower.visible(torch.where(blank, torch.rand_like(pixels), pixels), hidden).tokens
    assert torch.equal(one, two)
    assert (one[hidden] == 0).all()


def test_the_decoder_gets_the_features_that_the_option_names() -> None:
    model = tiny_model().eval()
    batch, read = tiny_batch(model), []
    model.image_decoder.register_forward_pre_hook(lambda _, given: read.append(given))
    for where in ("feature", "reencode"):
        objective = AttMIM(where=where, share=1.0)
        context = context_of(model, batch, objective)
        objective(context)
        tokens, hidden = read.pop()[:2]
        again = model.image_tower.visible(batch.pixels, hidden).tokens
        assert hidden.any()
        assert torch.equal(tokens, again if where == "reencode" else context.images.tokens)


def test_a_part_of_the_images_is_masked_and_some_do_without_their_text(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    batch = tiny_batch(model, 4, 4, 0)
    calls: list[torch.Tensor] = []
    decoder = model.image_decoder.forward

    def spy(tokens, hidden, context, context_mask, embedding):  # type: ignore[no-untyped-def]
        calls.append(context_mask)
        return decoder(tokens, hidden, context, context_mask, embedding)

    monkeypatch.setattr(model.image_decoder, "forward", spy)
    AttMIM(share=0.5)(context_of(model, batch, AttMIM()))
    AttMIM(share=1.0, text_dropout=0.99)(context_of(model, batch, AttMIM()))
    AttMIM(share=1.0, text_dropout=0.0)(context_of(model, batch, AttMIM()))
    chosen = int((uniform(row_draws(batch.image_seeds, "attmim rows"), 8) < 0.5).sum())
    assert 0 < chosen < 8
    assert [len(mask) for mask in calls] == [chosen, 8, 8]
    assert [int(mask.any(1).sum()) for mask in calls[1:]] == [0, 8]


def test_without_a_text_the_decoder_reads_none() -> None:
    model = tiny_model().eval()
    tokens, hidden = torch.randn(2, 16, 32), torch.rand(2, 16) < 0.5
    none = torch.zeros(2, 3, dtype=torch.bool)
    nn.init.normal_(model.image_decoder.told.of_embedding.weight)

    def filled(read: torch.Tensor) -> torch.Tensor:
        text = torch.randn(2, 3, 32), read, torch.randn(2, model.config.embed_dim)
        made: torch.Tensor = model.image_decoder(tokens, hidden, *text)
        return made

    one = filled(none)
    assert torch.isfinite(one).all()
    assert torch.equal(one, filled(none))
    assert not torch.equal(one, filled(~none))


def test_what_the_text_says_reaches_hidden_patches_at_once() -> None:
    """Modulation before the first block: what a text says of a place does not wait for attention to find it."""
    model = tiny_model().eval()
    decoder, given = model.image_decoder, []
    nn.init.normal_(decoder.told.of_embedding.weight)
    decoder.blocks[0].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    tokens, hidden = torch.randn(2, 16, 32), torch.rand(2, 16) < 0.5
    words, read = torch.randn(2, 3, 32), torch.ones(2, 3, dtype=torch.bool)
    for embedding in torch.randn(2, 2, model.config.embed_dim):
        decoder(tokens, hidden, words, read, embedding)
    assert not torch.isclose(given[0], given[1]).all(-1).any()
    nn.init.zeros_(decoder.told.of_embedding.weight)
    for embedding in torch.randn(2, 2, model.config.embed_dim):
        decoder(tokens, hidden, words, read, embedding)
    assert torch.equal(given[2], given[3])  # as at the start of training


@settings(max_examples=30, deadline=None)
@drawn(st.integers(0, 10**6), st.floats(0, 1))
def test_focus_moves_weight_to_what_answers_and_keeps_its_sum(seed: int, focus: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    answer, hidden = torch.rand(3, 16, generator=generator), torch.rand(3, 16, generator=generator) < 0.5
    answer[0] = 0
    hidden[:, 0] = True
    made = focused(answer, hidden, focus)
    for row in range(3):
        own = answer[row][hidden[row]].numpy()
        count = len(own)
        followed = own * count / own.sum() if own.sum() else np.ones(count)
        wanted = [(1 - focus) + focus * one for one in followed]
        assert made[row][hidden[row]].numpy() == pytest.approx(wanted, rel=1e-4)


def test_every_step_hides_its_share_between_the_least_and_the_most() -> None:
    model = tiny_model()
    batch = tiny_batch(model, 2, 2, 0)
    seen: list[torch.Tensor] = []
    model.image_decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1].float().mean(1)))
    for seed, progress in ((1, 0.1), (2, 0.1), (3, 0.1), (4, 0.1), (5, 0.1), (2, 0.7)):
        AttMIM(least_ratio=0.2, ratio=0.8)(context_of(model, batch, AttMIM(), progress, seed))
    shares = [float(one[0]) for one in seen]
    assert all((one == one[0]).all() for one in seen)
    assert 0.1 < min(shares) < max(shares) < 0.9
    assert len(set(shares)) > 2
    assert shares[1] == shares[5]  # of the step alone: a run may be made longer


@pytest.mark.parametrize(
    ("option", "value"), [("ratio", 1.0), ("least_ratio", 0.6), ("share", 0.0), ("text_dropout", 1.0)]
)
def test_shares_outside_their_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(XLIPError, match=option):
        AttMIM(**{option: value})


def test_a_typing_error_is_named() -> None:
    with pytest.raises(XLIPError, match=r"attmim\.mode: expected one of high, blend"):
        AttMIM(mode="hi")

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import context_of, tiny_batch, tiny_model
from xlip.objectives.kinds import ImageKind, ReportKind, kind_logits


def naive_kind_loss(items, prompts, labels, scale):
    """Binary cross-entropy over known labels; p = softmax of the positive and the negative prompt.

    The rule: docs/protocols.md, zero-shot scoring.
    """
    total, count, kinds = 0.0, 0, len(prompts) // 2
    for item, row in zip(items, labels, strict=True):
        for k in range(kinds):
            if row[k] in (0, 1):
                positive, negative = (np.exp(scale * item @ prompts[i]) for i in (k, kinds + k))
                p = positive / (positive + negative)
                total += -np.log(p if row[k] == 1 else 1 - p)
                count += 1
    return total, count


@pytest.mark.parametrize(("objective", "of_reports"), [(ImageKind(), False), (ReportKind(), True)])
def test_the_loss_equals_the_naive_loop_over_known_labels(objective, of_reports: bool) -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model)
    batch.image_labels[0] = torch.tensor([1, 0, 2, -1], dtype=torch.int8)
    context = context_of(model, batch, objective)
    items = context.texts["reports"] if of_reports else context.images
    labels = batch.report_labels if of_reports else batch.image_labels
    arrays = (t.embedding.detach().double().numpy() for t in (items, context.texts["prompts"]))
    total, count = naive_kind_loss(*arrays, labels.tolist(), float(model.logit_scale_exp().detach()))
    term = objective(context)
    assert float(term.total.detach()) == pytest.approx(total, rel=1e-4)
    assert float(term.count) == count > 0


def test_swapping_positive_and_negative_prompts_flips_the_sign() -> None:
    model = tiny_model().eval()
    context = context_of(model, tiny_batch(model), ImageKind())
    prompts = context.texts["prompts"]
    swapped = replace(prompts, embedding=prompts.embedding.roll(4, 0))
    scale = model.logit_scale_exp()
    assert torch.allclose(kind_logits(context.images, prompts, scale), -kind_logits(context.images, swapped, scale))

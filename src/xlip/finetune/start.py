"""Where fine-tuning begins: the zero-shot classifier, a random head, or random weights throughout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.errors import XLIPError
from xlip.finetune.classifier import XLIPClassifier
from xlip.finetune.recipe import Recipe
from xlip.models.xlip import XLIPModel
from xlip.study.prompts import load_prompts


def starting_classifier(
    model: XLIPModel, kinds: Sequence[str], recipe: Recipe, *, prompts: str, seed: int
) -> XLIPClassifier:
    """The classifier that training begins with; the model stays as it is.

    Raises:
        XLIPError: an unknown prompt set.
    """
    torch.manual_seed(seed)
    if recipe.init == "scratch":
        fresh = XLIPModel(model.config)
        fresh.processor = model.processor
        return XLIPClassifier.of(fresh, kinds)
    made = XLIPClassifier.of(model, kinds)
    if recipe.head == "prompts":
        set_prompt_head(made, model, prompts)
    return made


def set_prompt_head(classifier: XLIPClassifier, model: XLIPModel, prompts: str) -> None:
    """Make the head the zero-shot classifier, in place.

    softmax([cos(v, t+), cos(v, t-)] * s)[0] = sigmoid(s * <v, t+ - t->) (docs/protocols.md, zero-shot scoring), so the
    weight of a kind is the difference of its two prompt embeddings, and the scores before the first step are the
    zero-shot ones exactly.
    After FLYP and CLIP-initialised heads (Wortsman et al. 2022, arXiv:2109.01903), which have no negative prompts.
    """
    chosen = load_prompts(prompts)
    rows = []
    for kind in classifier.kinds:
        texts = chosen.positive(kind), chosen.negative(kind)
        if not all(texts):
            raise XLIPError(f"prompts {chosen.identifier}: no text for {kind}; add it, or take --recipe.head random")
        present, absent = (F.normalize(model.encode_text(some).mean(0), dim=-1) for some in texts)
        rows.append(present - absent)
    with torch.no_grad():
        classifier.head.weight.copy_(torch.stack(rows))
        classifier.head.bias.zero_()


def fit_bias(logits: Tensor, targets: Tensor) -> Tensor:
    """(K,) what to add to the logits so that each kind's mean probability is its share of present labels.

    Ranks stay as they are; without it the first steps would move the whole tower only to lower all probabilities.
    Bisection, since the mean probability rises with the bias.

    Args:
        logits: (n, K) of the training images.
        targets: (n, K) of 1, 0, -1; a kind of one class only keeps its bias.
    """
    known = targets >= 0
    count = known.sum(0).clamp(min=1)
    share = ((targets == 1).sum(0) / count).double()
    low, high = (torch.full_like(share, bound) for bound in (-50.0, 50.0))
    for _ in range(60):
        middle = (low + high) / 2
        mean = (torch.sigmoid(logits.double() + middle) * known).sum(0) / count
        low, high = torch.where(mean < share, middle, low), torch.where(mean < share, high, middle)
    both = (share > 0) & (share < 1)
    return torch.where(both, (low + high) / 2, 0.0).float()

"""A map must depend on what the model learned and on the words (Adebayo et al. 2018, arXiv:1810.03292).

Here on a model of random weights, for its mechanics; `bench/explain.py` measures the same on trained ones.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tiny import tiny_model
from xlip.evaluate.adapter import XLIPAdapter
from xlip.evaluate.encoder import TorchEncoder
from xlip.explain.explanation import explain
from xlip.models.xlip import XLIPModel
from xlip.phantom import generate

MODEL = tiny_model().eval()
FILMS = [generate(index, size=64).pixels for index in range(4)]


def shuffled(parts: tuple[str, ...]) -> XLIPModel:
    """The model with the weights of some parts in another order within each tensor."""
    made, generator = copy.deepcopy(MODEL), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weights in made.named_parameters():
            if name.startswith(parts):
                order = torch.randperm(weights.numel(), generator=generator)
                weights.copy_(weights.flatten()[order].view_as(weights))
    made.processor = MODEL.processor
    return made


def maps(model: XLIPModel, words: str, how: str) -> list[np.ndarray]:
    return [explain(TorchEncoder(XLIPAdapter(model)), film, [words], how)[0].map.ravel() for film in FILMS]


def likeness(ones: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Mean rank correlation of maps of the same films."""
    return float(np.mean([spearmanr(a, b).statistic for a, b in zip(ones, others, strict=True)]))


@pytest.mark.parametrize("how", ["response", "occlusion"])
def test_a_map_depends_on_the_weights_of_both_towers_and_on_the_words(how: str) -> None:
    right = maps(MODEL, "Effusion", how)
    assert likeness(right, maps(copy.deepcopy(MODEL), "Effusion", how)) == pytest.approx(1)
    found = {
        "image tower": likeness(right, maps(shuffled(("image_tower", "image_head", "local")), "Effusion", how)),
        "text tower": likeness(right, maps(shuffled(("text_tower", "text_head")), "Effusion", how)),
        "words": likeness(right, maps(MODEL, "Fracture", how)),
    }
    # Without training all prompts lie close together, and the response is asked by them alone.
    assert found.pop("words") < (0.99 if how == "response" else 0.7)
    assert max(found.values()) < 0.7, found

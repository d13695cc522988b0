from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from tiny import KINDS, tiny_model
from xlip.errors import XLIPError
from xlip.finetune.lora import add_adapters, merge_adapters
from xlip.finetune.parameters import trainable
from xlip.finetune.recipe import Recipe
from xlip.finetune.start import starting_classifier

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
RECIPE = Recipe(mode="lora")


def test_adapters_change_nothing_until_trained_and_merge_into_a_plain_tower() -> None:
    pytest.importorskip("peft", reason="the extra lora is not installed")
    model = starting_classifier(tiny_model().eval(), KINDS, RECIPE, prompts="xlip", seed=0)
    names, before = set(model.state_dict()), model.predict_pixels(PIXELS)
    add_adapters(model, rank=2, alpha=4)
    assert np.allclose(model.predict_pixels(PIXELS), before, atol=1e-6)
    learning = trainable(model, RECIPE)
    adapters = {name: p for name, p in learning.items() if not name.startswith("head.")}
    assert len(adapters) == 2 * 2 * 4  # A and B of four projections in two blocks
    assert all("lora_" in name and ".attention." in name for name in adapters)
    with torch.no_grad():
        for parameter in adapters.values():
            parameter.add_(0.3)
    adapted = model.predict_pixels(PIXELS)
    assert not np.allclose(adapted, before, atol=1e-4)
    merge_adapters(model)
    assert set(model.state_dict()) == names
    assert np.allclose(model.predict_pixels(PIXELS), adapted, atol=1e-5)


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    model = starting_classifier(tiny_model().eval(), KINDS, RECIPE, prompts="xlip", seed=0)
    with pytest.raises(XLIPError, match=r"pip install 'xlip\[lora\]'"):
        add_adapters(model, rank=2, alpha=4)

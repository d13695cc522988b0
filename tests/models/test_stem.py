from __future__ import annotations

import pytest
import torch
from torch import nn

from tiny import CONFIG, tiny_processor
from xlip.errors import XLIPError
from xlip.models.configuration import XLIPConfig
from xlip.models.stem import ConvStem, StandardisedConv
from xlip.models.xlip import XLIPModel


@pytest.mark.parametrize("patch", [4, 8, 16, 32])
def test_one_token_per_patch(patch: int) -> None:
    stem = ConvStem(24, patch)
    assert stem(torch.rand(2, 1, 64, 96)).shape == (2, 24, 64 // patch, 96 // patch)


@pytest.mark.parametrize("patch", [1, 2, 12, 14, 64])
def test_other_patch_sizes_are_refused_with_a_remedy(patch: int) -> None:
    with pytest.raises(XLIPError, match=rf"4, 8, 16 or 32, not {patch};.*stem: patch"):
        ConvStem(24, patch)


def test_kernels_keep_their_own_initialisation_inside_a_model() -> None:
    image = {
        "image_size": 64,
        "patch_size": 16,
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.5,  # far from what a kernel of ours may be
    }
    text = {"vocab_size": len(tiny_processor().tokenizer), "hidden_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    model = XLIPModel(XLIPConfig(image=image, text=text, stem="conv", decoder_width=CONFIG.decoder_width))
    stem = model.image_tower.encoder.embeddings.patch_embeddings.projection
    kernels = [layer.weight.detach() for layer in stem if isinstance(layer, nn.Conv2d)]
    assert len(kernels) == 9
    for kernel in kernels:
        bound = kernel[0].numel() ** -0.5
        assert 0.8 * bound < float(kernel.abs().max()) <= bound
        assert float(kernel.std()) == pytest.approx(bound / 3**0.5, rel=0.25)


def test_standardised_kernels_ignore_scale_and_offset_of_the_weights() -> None:
    torch.manual_seed(0)
    layer, image = StandardisedConv(4, 8, 3, 1, 1, bias=False), torch.rand(1, 4, 8, 8)
    before = layer(image)
    with torch.no_grad():
        layer.weight.mul_(7).add_(3)
    assert torch.allclose(layer(image), before, atol=1e-3)


def test_the_images_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    stem, images = ConvStem(32, 8).train(), torch.rand(3, 1, 32, 32)
    assert torch.allclose(stem(images)[1:2], stem(images[1:2]), atol=1e-5)

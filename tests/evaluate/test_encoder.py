from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import CONFIG, tiny_processor
from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.evaluate.adapter import XLIPAdapter
from xlip.evaluate.encoder import TorchEncoder
from xlip.phantom import generate
from xlip.runtime.scores import map_queries
from xlip.train.build import build_model

SQUARES = np.stack([generate(index, size=64).pixels for index in range(3)])


@pytest.mark.parametrize("local", [False, True])
def test_an_encoder_gives_what_its_model_gives(local: bool) -> None:
    adapter = XLIPAdapter(build_model(replace(CONFIG, local=local), tiny_processor(), 0).eval(), "abc")
    encoder = TorchEncoder(adapter)
    texts = ["effusion", "no effusion"]
    assert np.allclose(encoder.encode_squares(SQUARES), adapter.encode_pixels(as_pixels(SQUARES)).numpy())
    assert np.allclose(encoder.encode_texts(texts), adapter.encode_text(texts).numpy())
    assert encoder.encode_squares(SQUARES).shape == (3, encoder.width)
    assert (encoder.identity, encoder.image_size, encoder.scale) == ("abc", 64, pytest.approx(adapter.scale()))
    pairs = encoder.encode_texts(texts)[None]
    assert encoder.has_maps == local
    if not local:
        with pytest.raises(XLIPError, match="no local head"):
            encoder.maps(SQUARES, pairs[:, 0])
        with pytest.raises(XLIPError, match="no local head"):
            encoder.encode_and_map(SQUARES, pairs[:, 0])
        return
    queries = map_queries(pairs)
    expected = adapter.maps(as_pixels(SQUARES), torch.from_numpy(queries))
    assert np.allclose(encoder.maps(SQUARES, queries), expected.numpy(), atol=1e-4)


def test_vectors_and_maps_come_of_one_pass_of_tower_and_local_head() -> None:
    model = build_model(replace(CONFIG, local=True), tiny_processor(), 0).eval()
    encoder, passes = TorchEncoder(XLIPAdapter(model, "abc")), []
    queries = encoder.encode_texts(["effusion", "no effusion"])
    for name in ("image_tower", "local"):
        getattr(model, name).register_forward_hook(lambda *_, name=name: passes.append(name))
    vectors, maps = encoder.encode_and_map(SQUARES, queries)
    assert sorted(passes) == ["image_tower", "local"]
    assert np.allclose(vectors, encoder.encode_squares(SQUARES), atol=1e-6)
    assert np.allclose(maps, encoder.maps(SQUARES, queries), atol=1e-5)

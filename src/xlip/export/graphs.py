"""What of a model is exported: each tower, the map, tower and map together, a classifier; traced with free sizes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from xlip.finetune.classifier import XLIPClassifier
from xlip.models.local import LocalHead
from xlip.models.xlip import XLIPModel


class ImageGraph(nn.Module):
    """(n, 1, S, S) in [0, 1] -> (n, E), L2-normalised. It holds only the parts that it needs, because a `.pt2` file
    keeps everything.
    """

    def __init__(self, model: XLIPModel) -> None:
        super().__init__()
        self.tower, self.head = model.image_tower, model.image_head

    def forward(self, pixels: Tensor) -> Tensor:
        """As `XLIPModel.images`."""
        return F.normalize(self.head(self.tower(pixels).pooled).float(), dim=-1)


class TextGraph(nn.Module):
    """Ids and mask (n, T) int64 -> (n, E), L2-normalised."""

    def __init__(self, model: XLIPModel) -> None:
        super().__init__()
        self.tower, self.head = model.text_tower, model.text_head

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """As `XLIPModel.texts`."""
        return F.normalize(self.head(self.tower(ids, mask.bool()).pooled).float(), dim=-1)


class MapGraph(nn.Module):
    """(n, 1, S, S) in [0, 1] and queries (K, E) -> (n, K, h, w), logits: the local head with its scale."""

    def __init__(self, model: XLIPModel, local: LocalHead) -> None:
        super().__init__()
        self.local, self.mean, self.std = local, model.config.pixel_mean, model.config.pixel_std

    def forward(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """As `XLIPModel.places` and `LocalHead.maps`."""
        return self.local.maps(self.local((pixels - self.mean) / self.std), queries)


class ImageMapGraph(nn.Module):
    """Pixels and queries as of `MapGraph` -> what `ImageGraph` and `MapGraph` say of them, in one pass."""

    def __init__(self, image: ImageGraph, maps: MapGraph) -> None:
        super().__init__()
        self.image, self.maps = image, maps

    def forward(self, pixels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """(n, E) and (n, K, h, w)."""
        return self.image(pixels), self.maps(pixels, queries)


@dataclass(frozen=True)
class Graph:
    """A module to trace, with inputs that show the sizes of an example."""

    name: str
    """image, text, map, image_map or classifier; the names of its files."""
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, dict[int, Any]]
    """Input -> axis -> the size that a user chooses."""
    outputs: tuple[str, ...]
    """What it computes."""
    joint: bool = False
    """Whether it computes in one pass what others compute in several: there is no `.pt2` file of it, which would hold
    their weights again."""

    def traced(self) -> ExportedProgram:
        """The graph by `torch.export`, for any number of images, texts, tokens and queries."""
        with torch.no_grad(), quiet():
            program = torch.export.export(
                self.module.eval(), (), kwargs=self.inputs, dynamic_shapes=self.free, strict=False
            )
        for part in program.graph_module.modules():  # regions without autocast are graphs of their own
            for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
                node.meta.pop("stack_trace", None)  # it says where files lay on the machine of the export
        return program


def graphs_of(model: XLIPModel) -> list[Graph]:
    """The towers of a model; its map, and image tower and map in one pass, where it has one. fp32 whatever the weights
    were stored in.
    """
    processor = model.processor
    assert processor is not None
    model = model.float().eval()  # type: ignore[no-untyped-call]
    pixels = torch.rand(2, 1, processor.image_size, processor.image_size)
    ids = torch.full((3, min(5, processor.max_tokens)), 5)
    texts, images = Dim("texts", min=1), Dim("images", min=1)
    tokens = Dim("tokens", min=2, max=processor.max_tokens)
    image = ImageGraph(model)
    found = [
        Graph("image", image, {"pixels": pixels}, {"pixels": {0: images}}, ("image_embedding",)),
        Graph(
            "text",
            TextGraph(model),
            {"ids": ids, "mask": torch.ones_like(ids)},
            {"ids": {0: texts, 1: tokens}, "mask": {0: texts, 1: tokens}},
            ("text_embedding",),
        ),
    ]
    if model.local is not None:
        given = {"pixels": pixels, "queries": torch.rand(3, model.config.embed_dim)}
        free = {"pixels": {0: images}, "queries": {0: Dim("queries", min=1)}}
        maps = MapGraph(model, model.local)
        found.append(Graph("map", maps, given, free, ("answers",)))
        both = ("image_embedding", "answers")
        found.append(Graph("image_map", ImageMapGraph(image, maps), given, free, both, joint=True))
    return found


def graphs_of_classifier(model: XLIPClassifier) -> list[Graph]:
    """A fine-tuned classifier: pixels to logits (n, K)."""
    pixels = torch.rand(2, 1, model.image_size, model.image_size)
    free = {"pixels": {0: Dim("images", min=1)}}
    return [Graph("classifier", model.float(), {"pixels": pixels}, free, ("kind_logits",))]


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters warn of their own internals (old names of `torch`, missing packages), which no user can mend."""
    import logging

    loggers = [
        logging.getLogger(name)
        for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export", "xlip.runtime.texts")
    ]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)

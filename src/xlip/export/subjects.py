"""What can be exported: a model of images and texts, or a fine-tuned classifier; each knows how it is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.evaluate.adapter import XLIPAdapter, load_model
from xlip.evaluate.cases import Cases
from xlip.evaluate.classification import predictions_of
from xlip.evaluate.embeddings import square_batches
from xlip.evaluate.encoder import TorchEncoder
from xlip.evaluate.measured import MeasuredExport
from xlip.evaluate.zeroshot import ZeroShot
from xlip.export.graphs import Graph, graphs_of, graphs_of_classifier
from xlip.export.parity import TEXTS, Parity, batches
from xlip.finetune.classifier import WEIGHTS, XLIPClassifier, classifier_folder
from xlip.identity import file_id
from xlip.images.gray import Gray
from xlip.metrics.kinds import kind_table
from xlip.pages.training_facts import training_facts
from xlip.runtime.export_facts import CLASSIFIER, EMBEDDING, TOKENIZER
from xlip.runtime.exported import ExportedClassifier, ExportedModel
from xlip.shipped import model_place

if TYPE_CHECKING:
    from xlip.batches.processor import XLIPProcessor

Areas = dict[str, float]
"""Kind -> AUROC, and `macro`."""


class Subject(Protocol):
    """What `export` asks of a model."""

    @property
    def image_size(self) -> int:
        """S, pixels."""

    @property
    def preprocess(self) -> str:
        """The way to a square."""

    def facts(self) -> dict[str, Any]:
        """The fields of `ExportFacts` that do not depend on the files."""

    def graphs(self) -> list[Graph]:
        """What is traced."""

    def write_beside(self, folder: Path) -> None:
        """What the graphs need beside them."""

    def compare(self, parity: Parity, form: str, folder: Path, squares: Gray) -> None:
        """Open an exported folder as a user would and compare it with the model, from pixels and words on.

        Raises:
            XLIPError: it differs.
        """

    def inputs(self, graph: Graph, squares: Gray) -> Iterator[dict[str, torch.Tensor]]:
        """Inputs of several sizes for one graph."""

    def areas(self, cases: Cases, prompts: str, exported: Path | None) -> Areas:
        """Of the model, or of an exported folder, on a set."""


def subject_of(place: str) -> Subject:
    """What `place` holds.

    Raises:
        XLIPError: neither an XLIP checkpoint nor a fine-tuned classifier.
    """
    if (folder := classifier_folder(place)) is not None:
        return Tuned(XLIPClassifier.from_pretrained(place), file_id(folder / WEIGHTS))
    model = load_model(place)
    if not isinstance(model, XLIPAdapter):
        raise XLIPError(f"{place}: expected an XLIP checkpoint or a fine-tuned classifier, got {model.identity}")
    return Towers(model, place)


@dataclass(frozen=True)
class Towers:
    """Two towers, and the map where there is one."""

    adapter: XLIPAdapter
    place: str

    @property
    def image_size(self) -> int:
        """S, pixels."""
        return self.adapter.image_size

    @property
    def preprocess(self) -> str:
        """The way to a square."""
        return self.adapter.preprocess

    @property
    def _processor(self) -> XLIPProcessor:
        assert self.adapter.model.processor is not None
        return self.adapter.model.processor

    def facts(self) -> dict[str, Any]:
        """See `Subject`."""
        training = training_facts(Path(model_place(self.place)))
        return {
            "task": EMBEDDING,
            "checkpoint": self.adapter.identity,
            "image_size": self.image_size,
            "preprocess": self.preprocess,
            "kinds": training.kinds if training else (),
            "prompts": training.prompts if training else "",
            "width": int(self.adapter.model.config.embed_dim),
            "scale": self.adapter.scale(),
            "local_share": self.adapter.local_share,
            "max_tokens": self._processor.max_tokens,
            "unknown_token": self._processor.tokenizer.unk_token,
        }

    def graphs(self) -> list[Graph]:
        """See `Subject`."""
        return graphs_of(self.adapter.model)

    def write_beside(self, folder: Path) -> None:
        """`tokenizer.json`, which also says how texts are padded and cut: any `tokenizers` library can do the rest."""
        from tokenizers import Tokenizer

        processor: Any = self._processor
        made = Tokenizer.from_str(processor.tokenizer.backend_tokenizer.to_str())
        made.enable_truncation(processor.max_tokens)
        made.enable_padding(
            direction=processor.tokenizer.padding_side,
            pad_id=processor.tokenizer.pad_token_id,
            pad_token=processor.tokenizer.pad_token,
        )
        made.save(str(folder / TOKENIZER))

    def compare(self, parity: Parity, form: str, folder: Path, squares: Gray) -> None:
        """See `Subject`."""
        own, other = TorchEncoder(self.adapter), ExportedModel.open(folder)
        ids, mask = other.tokenized(TEXTS)
        expected = self._processor.texts(TEXTS)
        if not (np.array_equal(ids, expected.ids.numpy()) and np.array_equal(mask, expected.mask.numpy())):
            raise XLIPError("export: tokenizer.json gives other ids than the checkpoint; nothing was written")
        images = [(own.encode_squares(part), other.encode_squares(part)) for part in batches(squares)]
        texts = [(own.encode_texts(part), other.encode_texts(part)) for part in (TEXTS[:1], TEXTS[:3], TEXTS)]
        parity.add(form, "image", images)
        parity.add(form, "text", texts)
        if own.has_maps:
            queries = self._queries(own)
            answers = [(own.maps(part, queries), other.maps(part, queries)) for part in batches(squares)]
            parity.add(form, "map", answers)
            both = [
                (own.encode_and_map(part, queries), other.encode_and_map(part, queries)) for part in batches(squares)
            ]
            parity.add(form, "image_map", [pair for one, two in both for pair in zip(one, two, strict=True)])

    @staticmethod
    def _queries(own: TorchEncoder) -> Any:
        return own.encode_texts(TEXTS)

    def inputs(self, graph: Graph, squares: Gray) -> Iterator[dict[str, torch.Tensor]]:
        """See `Subject`."""
        if graph.name == "text":
            for part in (TEXTS[:1], TEXTS):
                batch = self._processor.texts(part)
                yield {"ids": batch.ids, "mask": batch.mask.long()}
            return
        queries = torch.from_numpy(self._queries(TorchEncoder(self.adapter)))
        for images in batches(squares):
            yield {"pixels": as_pixels(images)} | ({"queries": queries} if graph.name == "map" else {})

    def areas(self, cases: Cases, prompts: str, exported: Path | None) -> Areas:
        """See `Subject`."""
        model = MeasuredExport(ExportedModel.open(exported)) if exported else self.adapter
        found = ZeroShot(prompts=prompts, cache=False, replicates=2).run(model, cases).kinds
        assert found is not None
        return _areas({kind: one.auroc for kind, one in found.per_kind.items()}, found.macro_auroc)


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned classifier."""

    model: XLIPClassifier
    identity: str

    @property
    def image_size(self) -> int:
        """S, pixels."""
        return self.model.image_size

    @property
    def preprocess(self) -> str:
        """The way to a square."""
        return self.model.preprocess

    def facts(self) -> dict[str, Any]:
        """See `Subject`."""
        return {
            "task": CLASSIFIER,
            "checkpoint": self.identity,
            "image_size": self.image_size,
            "preprocess": self.preprocess,
            "kinds": self.model.kinds,
        }

    def graphs(self) -> list[Graph]:
        """See `Subject`."""
        return graphs_of_classifier(self.model)

    def write_beside(self, folder: Path) -> None:
        """Nothing: its kinds stand in `export.json`."""

    def compare(self, parity: Parity, form: str, folder: Path, squares: Gray) -> None:
        """See `Subject`."""
        other = ExportedClassifier.open(folder)
        found = [(self.model.predict_pixels(part), other.predict_pixels(part)) for part in batches(squares)]
        parity.add(form, CLASSIFIER, found)

    def inputs(self, graph: Graph, squares: Gray) -> Iterator[dict[str, torch.Tensor]]:
        """See `Subject`."""
        for images in batches(squares):
            yield {"pixels": as_pixels(images)}

    def areas(self, cases: Cases, prompts: str, exported: Path | None) -> Areas:
        """See `Subject`; prompts have no part in it."""
        model: Any = ExportedClassifier.open(exported) if exported else self.model
        kept, scores = [], []
        for chunk, squares in square_batches(model, cases, 64):
            kept += [case.without_pixels() for case in chunk]
            scores.append(model.predict_pixels(squares))
        if not kept:
            raise XLIPError(f"{cases.name}: no image could be read")
        found = predictions_of(kept, self.model.kinds, np.concatenate(scores))
        table = kind_table(found.labels, found.scores, found.patients, replicates=2, seed=0)
        per_kind = {kind: one.auroc for kind, one in zip(found.kinds, table.per_kind, strict=True)}
        return _areas(per_kind, table.macro_auroc)


def _areas(per_kind: Mapping[str, float | None], macro: float | None) -> Areas:
    """The areas that exist; their mean stands for the macro mean where no kind has cases enough for one."""
    known = {kind: area for kind, area in per_kind.items() if area is not None and np.isfinite(area)}
    if not known:
        raise XLIPError("export: no kind of the data has both classes, so no AUROC to compare; name another set")
    enough = macro is not None and np.isfinite(macro)
    return known | {"macro": float(macro if enough else np.mean(list(known.values())))}  # type: ignore[arg-type]

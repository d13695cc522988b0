"""Models that `xlip export` wrote, by ONNX Runtime: neither torch nor `transformers` is imported."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.images.any_form import ImageLike, several_images
from xlip.images.any_form import squares as fitted
from xlip.images.gray import Gray
from xlip.runtime.encoder import Array, no_map
from xlip.runtime.export_facts import CLASSIFIER, EMBEDDING, TOKENIZER, ExportFacts, is_exported, read_facts
from xlip.runtime.texts import checked_texts
from xlip.shipped import WARNING, graphs_place, knows_phantoms_only

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IMAGES_PER_PASS, TEXTS_PER_PASS = 64, 256
"""More are computed in several passes: memory does not grow with what is asked for."""
JOINT = "image_map"
"""The graph of tower and map in one pass."""
ONLY_ERRORS = 3
"""Of ONNX Runtime's levels of severity."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Graphs:
    """The ONNX graphs of an exported folder, each opened when it is first used."""

    folder: Path
    facts: ExportFacts
    _open: dict[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.facts.graphs

    def run(self, name: str, *inputs: np.ndarray[Any, Any]) -> Array:
        """The first output of a graph for its inputs, in its own order."""
        return self.run_all(name, *inputs)[0]

    def run_all(self, name: str, *inputs: np.ndarray[Any, Any]) -> list[Array]:
        """All outputs of a graph for its inputs, in its own order."""
        session = self._session(name)
        named = {one.name: value for one, value in zip(session.get_inputs(), inputs, strict=True)}
        return [np.asarray(output, np.float32) for output in session.run(None, named)]

    def open(self) -> None:
        """Open all of them now, where the first question should not wait for it."""
        for name in self.facts.graphs:
            self._session(name)

    def _session(self, name: str) -> Any:
        if name not in self._open:
            self._open[name] = open_session(self.folder / self.facts.graphs[name])
        return self._open[name]


def open_session(file: Path) -> Any:
    """A graph ready to run on the CPU, by as many threads as `OMP_NUM_THREADS` says (as torch), else one a core.

    Raises:
        XLIPError: ONNX Runtime is not installed, or the file is no graph.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise XLIPError("exported models need ONNX Runtime; run `pip install 'xlip[serve]'`") from error
    options = onnxruntime.SessionOptions()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    # Threads that spin while they wait make a shared machine several times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ONLY_ERRORS
    with reading(file, "export the model again"):
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


class ExportedModel:
    """An `Encoder` over an exported folder.

    >>> model = ExportedModel.open("exported/mine")
    >>> image, text = model.encode_image("chest.dcm"), model.encode_texts(["pleural effusion"])
    >>> float(image[0] @ text[0])
    """

    def __init__(self, graphs: Graphs) -> None:
        self.graphs, self.facts = graphs, graphs.facts

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> ExportedModel:
        """The model of a folder that `xlip export` wrote, or `phantom`, that of the package.

        Raises:
            XLIPError: no such folder, a damaged one, a classifier, or one without ONNX graphs.
        """
        if knows_phantoms_only(folder):
            logger.warning(WARNING)
        return cls(_opened(Path(graphs_place(folder)), EMBEDDING))

    @property
    def identity(self) -> str:
        """That of the checkpoint, whose vectors these are; of another kind where numbers were rounded to int8."""
        return self.facts.identity

    @property
    def image_size(self) -> int:
        """S, pixels."""
        return self.facts.image_size

    @property
    def preprocess(self) -> str:
        """The way to a square."""
        return self.facts.preprocess

    @property
    def width(self) -> int:
        """E."""
        return self.facts.width

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""
        return self.facts.scale

    @property
    def local_share(self) -> float:
        """How much of the map's answer is added to a kind's logit."""
        return self.facts.local_share

    @property
    def has_maps(self) -> bool:
        """Whether there is a map of the model's own."""
        return "map" in self.graphs

    def squares(self, images: ImageLike | Iterable[ImageLike]) -> Gray:
        """Path, encoded bytes, PIL image or array (H, W), or several of them -> uint8 (n, S, S).

        Raises:
            XLIPError: an image that cannot be read.
        """
        return fitted(several_images(images), self.image_size, self.preprocess)

    def encode_image(self, images: ImageLike | Iterable[ImageLike]) -> Array:
        """What `squares` takes -> (n, E), L2-normalised.

        Raises:
            XLIPError: an image that cannot be read.
        """
        return self.encode_squares(self.squares(images))

    def encode_squares(self, squares: Gray) -> Array:
        """Uint8 (n, S, S) -> (n, E), L2-normalised."""
        return self.encode_pixels(as_floats(squares))

    def encode_pixels(self, pixels: Array) -> Array:
        """(n, 1, S, S) in [0, 1] -> (n, E), L2-normalised."""
        passes = [self.graphs.run("image", part) for part in _parts(pixels, IMAGES_PER_PASS)]
        return np.concatenate([np.zeros((0, self.width), np.float32), *passes])

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """Texts -> (n, E), L2-normalised.

        Raises:
            XLIPError: a text that the model's vocabulary cannot represent.
        """
        room = self.facts.max_tokens - self._tokenizer.num_special_tokens_to_add(False)
        checked = checked_texts(texts, self._tokens, unknown=self.facts.unknown_token, room=room)
        found = [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(checked), TEXTS_PER_PASS):
            found.append(self.graphs.run("text", *self.tokenized(checked[start : start + TEXTS_PER_PASS])))
        return np.concatenate(found)

    def tokenized(self, texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Ids and mask, int64 (n, T), padded to the longest and cut at `max_tokens`: what the text graph takes."""
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in encoded], np.int64)
        return ids, np.array([one.attention_mask for one in encoded], np.int64)

    def maps(self, squares: Gray, queries: Array) -> Array:
        """Uint8 (n, S, S), (K, E) -> (n, K, h, w), logits.

        Raises:
            XLIPError: a model without a local head.
        """
        return self.maps_of_pixels(as_floats(squares), queries)

    def maps_of_pixels(self, pixels: Array, queries: Array) -> Array:
        """As `maps`, of (n, 1, S, S) in [0, 1].

        Raises:
            XLIPError: a model without a local head.
        """
        if not self.has_maps:
            raise no_map(self.identity)
        given = np.ascontiguousarray(queries, np.float32)
        blank = [np.zeros((1, *pixels.shape[1:]), np.float32)]  # says h and w where there is no image
        parts = _parts(pixels, IMAGES_PER_PASS) or blank
        return np.concatenate([self.graphs.run("map", part, given) for part in parts])[: len(pixels)]

    def encode_and_map(self, squares: Gray, queries: Array) -> tuple[Array, Array]:
        """Uint8 (n, S, S), (K, E) -> (n, E) and (n, K, h, w), from one pass (two in folders of format 1).

        Raises:
            XLIPError: a model without a local head.
        """
        return self.encode_and_map_pixels(as_floats(squares), queries)

    def encode_and_map_pixels(self, pixels: Array, queries: Array) -> tuple[Array, Array]:
        """As `encode_and_map`, of (n, 1, S, S) in [0, 1].

        Raises:
            XLIPError: a model without a local head.
        """
        if JOINT not in self.graphs or not len(pixels):
            return self.encode_pixels(pixels), self.maps_of_pixels(pixels, queries)
        given = np.ascontiguousarray(queries, np.float32)
        passes = [self.graphs.run_all(JOINT, part, given) for part in _parts(pixels, IMAGES_PER_PASS)]
        vectors, maps = (np.concatenate(outputs) for outputs in zip(*passes, strict=True))
        return vectors, maps

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        """With the padding and the cutting that the folder says."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise XLIPError("exported models need `tokenizers` for texts; run `pip install 'xlip[serve]'`") from error
        file = self.graphs.folder / TOKENIZER
        with reading(file, "export the model again"):
            return Tokenizer.from_file(str(file))

    @cached_property
    def _uncut(self) -> Tokenizer:
        from tokenizers import Tokenizer

        made = Tokenizer.from_str(self._tokenizer.to_str())
        made.no_truncation()
        made.no_padding()
        return made

    def _tokens(self, text: str) -> Sequence[str]:
        found: list[str] = self._uncut.encode(text, add_special_tokens=False).tokens
        return found


class ExportedClassifier:
    """A fine-tuned classifier from an exported folder: images to probabilities of kinds; research use only."""

    def __init__(self, graphs: Graphs) -> None:
        self.graphs, self.kinds = graphs, tuple(graphs.facts.kinds)
        self.image_size, self.preprocess = graphs.facts.image_size, graphs.facts.preprocess

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> ExportedClassifier:
        """The classifier of a folder that `xlip export` wrote.

        Raises:
            XLIPError: no such folder, a damaged one, no classifier, or one without ONNX graphs.
        """
        return cls(_opened(Path(folder), CLASSIFIER))

    def predict_pixels(self, pixels: Gray) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Uint8 (n, S, S) -> probabilities (n, K)."""
        logits = [self.graphs.run(CLASSIFIER, part) for part in _parts(as_floats(pixels), IMAGES_PER_PASS)]
        whole = np.concatenate([np.zeros((0, len(self.kinds)), np.float32), *logits]).astype(np.float64)
        return np.asarray(1 / (1 + np.exp(-np.clip(whole, -700, 700))), np.float64)


def as_floats(squares: Gray) -> Array:
    """Uint8 (n, S, S) -> float32 (n, 1, S, S) in [0, 1], to the last bit what `xlip.batches.pixels` makes."""
    return np.asarray(squares[:, None].astype(np.float32) / np.float32(255), np.float32)


def _opened(folder: Path, task: str) -> Graphs:
    if not folder.is_dir():
        raise XLIPError(f"{folder}: no such folder; check the path")
    facts = read_facts(folder)
    if facts.task != task:
        said = {EMBEDDING: "a model of images and texts", CLASSIFIER: "a fine-tuned classifier (`xlip predict`)"}
        raise XLIPError(f"{folder}: expected {said[task]}, got {said[facts.task]}")
    if not facts.graphs:
        raise XLIPError(f"{folder}: holds no ONNX graphs; export the model with `--format onnx` or `both`")
    return Graphs(folder, facts)


def _parts(pixels: Array, size: int) -> list[Array]:
    return [pixels[start : start + size] for start in range(0, len(pixels), size)]


__all__ = ["ExportedClassifier", "ExportedModel", "as_floats", "is_exported", "open_session"]

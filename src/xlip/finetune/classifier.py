"""The fine-tuned model: an image tower, its projection, and one logit per kind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.files import write_json, write_whole
from xlip.images.any_form import ImageLike, squares
from xlip.models.towers import ImageTower
from xlip.models.xlip import XLIPModel

Array = np.ndarray[Any, Any]
CONFIG, WEIGHTS, FORMAT = "classifier.json", "classifier.safetensors", 1
SHAPE = ("image", "embed_dim", "stem", "pool", "pixel_mean", "pixel_std")
"""What of `XLIPConfig` an image classifier needs."""


@dataclass(frozen=True)
class KindScores:
    """What a classifier says of n images."""

    kinds: tuple[str, ...]
    probabilities: Array
    """(n, K) in [0, 1]."""

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, row: int) -> dict[str, float]:
        """Kind -> probability of one image."""
        return dict(zip(self.kinds, map(float, self.probabilities[row]), strict=True))


class XLIPClassifier(nn.Module):
    """Chest X-rays to probabilities of kinds; research use only.

    >>> model = XLIPClassifier.from_pretrained("runs/mine")
    >>> model.predict("chest.png")[0]["Effusion"]
    """

    def __init__(
        self, shape: dict[str, Any], kinds: Sequence[str], *, image_size: int, preprocess: str, scale: float
    ) -> None:
        super().__init__()
        self.shape, self.kinds = shape, tuple(kinds)
        self.image_size, self.preprocess, self.scale = image_size, preprocess, scale
        self.image_tower = ImageTower(
            shape["image"],
            stem=shape["stem"],
            pool=shape["pool"],
            mean=shape["pixel_mean"],
            std=shape["pixel_std"],
        )
        self.image_head = nn.Linear(shape["image"]["hidden_size"], shape["embed_dim"], bias=False)
        self.head = nn.Linear(shape["embed_dim"], len(self.kinds))
        self.notes: dict[str, Any] = {}
        """How it was trained; kept in the folder."""

    @classmethod
    def of(cls, model: XLIPModel, kinds: Sequence[str]) -> XLIPClassifier:
        """The image side of a model under a random head; the model stays as it is."""
        processor = model.processor
        assert processor is not None
        shape = {name: getattr(model.config, name) for name in SHAPE}
        scale = float(model.logit_scale_exp().detach())
        made = cls(shape, kinds, image_size=processor.image_size, preprocess=processor.preprocess, scale=scale)
        made.image_tower.load_state_dict(model.image_tower.state_dict())
        made.image_head.load_state_dict(model.image_head.state_dict())
        nn.init.normal_(made.head.weight, std=shape["embed_dim"] ** -0.5)
        nn.init.zeros_(made.head.bias)
        return made

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def embed(self, pixels: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Pixels (B, 1, S, S) in [0, 1] -> embeddings (B, E), L2-normalised, fp32.

        Args:
            pixels: the images.
            hidden: (B, N), True = a patch that is left out; every row has the same number.
        """
        encoded = self.image_tower(pixels) if hidden is None else self.image_tower.visible(pixels, hidden)
        return F.normalize(self.image_head(encoded.pooled).float(), dim=-1)

    def classify(self, embedding: Tensor) -> Tensor:
        """Embeddings (B, E) -> logits (B, K): scale * <v, w_k> + b_k."""
        return self.scale * F.linear(embedding, self.head.weight.float()) + self.head.bias.float()

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, S, S) in [0, 1] -> logits (B, K), fp32."""
        return self.classify(self.embed(pixels))

    def predict(self, images: ImageLike | Iterable[ImageLike], batch_size: int = 64) -> KindScores:
        """Probabilities of one image or of several (paths, PIL images, arrays (H, W)); images stream.

        Raises:
            XLIPError: an image that cannot be read.
        """
        single = isinstance(images, str | os.PathLike | bytes | np.ndarray | Tensor) or hasattr(images, "convert")
        several: Iterable[Any] = [images] if single else images  # type: ignore[assignment]
        parts = [
            self.predict_pixels(squares(chunk, self.image_size, self.preprocess))
            for chunk in _chunks(several, batch_size)
        ]
        return KindScores(self.kinds, np.concatenate(parts) if parts else np.zeros((0, len(self.kinds))))

    def predict_pixels(self, pixels: Array, batch_size: int = 64) -> Array:
        """Preprocessed uint8 pixels (n, S, S) -> probabilities (n, K) float64."""
        self.eval()
        parts = [np.zeros((0, len(self.kinds)))]
        with torch.no_grad():
            for start in range(0, len(pixels), batch_size):
                chunk = as_pixels(pixels[start : start + batch_size]).to(self.device)
                parts.append(torch.sigmoid(self(chunk).double()).cpu().numpy())
        return np.concatenate(parts)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Weights (safetensors) and config (JSON) into a folder that exists; nothing is pickled."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        write_whole(Path(folder) / WEIGHTS, save(tensors))
        config = {
            "format": FORMAT,
            "kinds": list(self.kinds),
            "shape": self.shape,
            "image_size": self.image_size,
            "preprocess": self.preprocess,
            "scale": self.scale,
            "notes": self.notes,
        }
        write_json(Path(folder) / CONFIG, config)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> XLIPClassifier:
        """Load a folder that `xlip finetune` or `save_pretrained` wrote; in evaluation mode.

        Raises:
            XLIPError: no classifier there, a damaged one, or weights of another architecture.
        """
        root = classifier_folder(folder)
        if root is None:
            raise XLIPError(f"{folder}: expected a fine-tuned model, found no {CONFIG}; run `xlip finetune` first")
        try:
            config = json.loads((root / CONFIG).read_text("utf-8"))
            options = {name: config[name] for name in ("image_size", "preprocess", "scale")}
            made = cls(config["shape"], config["kinds"], **options)
            saved = load_file(str(root / WEIGHTS))
        except (json.JSONDecodeError, KeyError, TypeError, OSError, SafetensorError) as error:
            raise XLIPError(f"{root}: a damaged fine-tuned model ({error}); copy or make it again") from error
        load_exactly(made, saved, str(root))
        made.notes = config.get("notes", {})
        return made.eval()


def classifier_folder(place: str | os.PathLike[str]) -> Path | None:
    """Where a classifier's files are: the folder, or `model` in that of `xlip finetune`; None where there are none."""
    return next((path for path in (Path(place), Path(place) / "model") if (path / CONFIG).is_file()), None)


def load_exactly(model: nn.Module, saved: dict[str, Tensor], where: str) -> None:
    """Load weights that fit in every name and shape.

    Raises:
        XLIPError: they do not; the first difference is named.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    different = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
    if different:
        name = different[0]
        raise XLIPError(
            f"{where}: weights of another architecture ({len(different)} differ; {name}: expected {own.get(name)}, "
            f"got {theirs.get(name)}); weights and config must come from the same model"
        )
    model.load_state_dict(saved)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk

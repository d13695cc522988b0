"""`xlip zeroshot`: classify images by their cosine to positive and negative prompts (PROTOCOLS 3)."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.data.prompts import PromptSet, load_prompts
from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, images, label_matrix, open_cases, split_id
from xlip.metrics.kinds import MIN_CASES, KindMetrics, evaluate_kinds, macro
from xlip.models.xlip import XLIPModel


@dataclass(frozen=True)
class ZeroShotResult:
    """Figures with all that makes them repeatable."""

    kinds: list[str]
    measured: list[KindMetrics]
    macro_ci95: tuple[float, float]
    identity: dict[str, str]
    """prompts, split, preprocessing, checkpoint."""
    cases: list[Case]
    labels: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any]
    dropped: list[tuple[str, str]]

    @property
    def macro_auroc(self) -> float:
        """Mean over kinds with enough cases."""
        return macro(self.measured)

    @property
    def left_out(self) -> list[str]:
        """Kinds with fewer than `MIN_CASES` positives or negatives: listed, but not in the macro mean."""
        pairs = zip(self.kinds, self.measured, strict=True)
        return [kind for kind, m in pairs if min(m.positives, m.negatives) < MIN_CASES]

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`; a figure that cannot be computed is null."""
        per_kind = {
            kind: {
                "auroc": _finite(m.auroc),
                "auprc": _finite(m.auprc),
                "positives": m.positives,
                "negatives": m.negatives,
                "ci95": [_finite(bound) for bound in m.ci95],
            }
            for kind, m in zip(self.kinds, self.measured, strict=True)
        }
        return {
            "macro_auroc": _finite(self.macro_auroc),
            "macro_ci95": [_finite(bound) for bound in self.macro_ci95],
            "per_kind": per_kind,
            "left_out": self.left_out,
            "images": len(self.cases),
            "dropped": len(self.dropped),
            **self.identity,
        }


def evaluate_zero_shot(
    model: str | XLIPModel,
    data: str,
    *,
    image_column: str = "path",
    patient_column: str = "",
    kinds: str = "",
    split: str = "",
    prompts: str = "xlip",
    batch_size: int = 64,
    replicates: int = 1000,
    seed: int = 0,
) -> ZeroShotResult:
    """Score every image of a prepared set or CSV against every kind; images stream, memory stays bounded.

    Raises:
        XLIPError: a fault in the data, or no readable image.
    """
    prompt_set = load_prompts(prompts)
    cases = open_cases(data, image_column=image_column, patient_column=patient_column, kinds=kinds, split=split)
    checkpoint = "in memory" if isinstance(model, XLIPModel) else checkpoint_id(model)
    loaded = model if isinstance(model, XLIPModel) else XLIPModel.from_pretrained(model)
    classifier = text_classifier(loaded, prompt_set, cases.kinds)
    processor = loaded.processor
    assert processor is not None
    readable = images(cases.items, processor.image_size, processor.preprocess, cases.dropped)
    read, scores = [], []
    while chunk := list(islice(readable, batch_size)):
        read += [case for case, _ in chunk]
        pixels = torch.from_numpy(np.stack([image for _, image in chunk])).unsqueeze(1).float() / 255
        embedding = loaded.encode_pixels(pixels.to(loaded.device))
        scores.append(kind_scores(embedding, classifier, loaded.logit_scale_exp()).cpu().numpy())
    if not read:
        first = f"; first: {cases.dropped[0][1]}" if cases.dropped else ""
        raise XLIPError(f"{data}: no labelled image could be read ({len(cases.dropped)} dropped{first})")
    labels, stacked = label_matrix(read, cases.kinds), np.concatenate(scores).astype(np.float64)
    patients = np.array([case.patient_id for case in read])
    measured, interval = evaluate_kinds(labels, stacked, patients, replicates=replicates, seed=seed)
    identity = {
        "prompts": prompt_set.identifier,
        "split": split_id(cases.name, read),
        "preprocessing": f"{processor.preprocess}/{processor.image_size}",
        "checkpoint": checkpoint,
    }
    return ZeroShotResult(cases.kinds, measured, interval, identity, read, labels, stacked, cases.dropped)


def text_classifier(model: XLIPModel, prompts: PromptSet, kinds: Sequence[str]) -> Tensor:
    """(K, 2, E): the mean embedding of each kind's positive and negative prompts, L2-normalised."""
    rows = []
    for kind in kinds:
        pair = [model.encode_text(texts).mean(0) for texts in (prompts.positive(kind), prompts.negative(kind))]
        rows.append(torch.stack(pair))
    return F.normalize(torch.stack(rows), dim=-1)


@torch.no_grad()
def kind_scores(embedding: Tensor, classifier: Tensor, scale: Tensor) -> Tensor:
    """softmax([cos(v, t+), cos(v, t-)] * scale)[0]: embedding (n, E), classifier (K, 2, E) -> (n, K) in [0, 1]."""
    logits = torch.einsum("ne,kpe->nkp", embedding.double(), classifier.double()) * scale.double()
    return logits.softmax(-1)[..., 0]


def checkpoint_id(path: str) -> str:
    """First 12 digits of the SHA-256 of the weights; the name itself for a hub id."""
    weights = Path(path) / "model.safetensors"
    if not weights.is_file():
        return path
    with weights.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def write_result(result: ZeroShotResult, folder: Path) -> None:
    """`metrics.json`, `scores.csv`, `dropped.csv`, `roc.png` and `index.html` into a folder; whole or not at all."""
    from xlip.evaluate.page import zero_shot_page
    from xlip.evaluate.plots import roc_grid
    from xlip.files import whole_folder

    with whole_folder(folder) as partial:
        (partial / "metrics.json").write_text(json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n", "utf-8")
        with (partial / "scores.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["study_id", *result.kinds, *(f"label:{kind}" for kind in result.kinds)])
            for case, score, label in zip(result.cases, result.scores, result.labels, strict=True):
                known = ["" if value < 0 else int(value) for value in label]
                writer.writerow([case.study_id, *(f"{value:.6f}" for value in score), *known])
        with (partial / "dropped.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("row", "reason"), *result.dropped])
        (partial / "roc.png").write_bytes(roc_grid(result))
        zero_shot_page(result).write(partial / "index.html")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

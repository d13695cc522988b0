"""A model and batches small enough for tests."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import numpy as np
import torch

from xlip.batches.batch import Batch
from xlip.batches.denials import Denial, denied_columns
from xlip.batches.descriptions import Description, describe
from xlip.batches.processor import XLIPProcessor
from xlip.batches.tokenizer import train_wordpiece
from xlip.models.xlip import XLIPModel
from xlip.objectives.objective import Context, HasViews, Objective
from xlip.phantom import Phantom, generate
from xlip.reports.entities import kinds_of, tag
from xlip.study.attributes import attribute_families, attribute_targets
from xlip.study.labels import UNKNOWN
from xlip.study.prompts import load_prompts
from xlip.study.record import Study
from xlip.train.build import ModelConfig, build_model
from xlip.train.pretrainer import encode_together

HEADERS = (
    Study("a", "a", "x", sex="F", view="AP", age=61.0),
    Study("b", "b", "x", sex="M", view="PA", age=23.5),
    Study("c", "c", "x", sex="F"),
)
KINDS = ("Effusion", "Cardiomegaly", "Pneumothorax", "No_Finding")
CONFIG = ModelConfig(
    image_size=64,
    width=32,
    depth=2,
    heads=2,
    text_width=32,
    text_depth=1,
    text_heads=2,
    embed_dim=16,
    decoder_width=32,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=400,
    max_tokens=48,
)


@cache
def phantom(number: int) -> Phantom:
    """Made once: most of the time of a small test would be phantoms."""
    return generate(number, size=64)


@cache
def tiny_tokenizer() -> Any:
    return train_wordpiece([phantom(i).report for i in range(60)], vocab_size=CONFIG.vocab_size)


def tiny_processor() -> XLIPProcessor:
    return XLIPProcessor(tiny_tokenizer(), CONFIG.image_size, "letterbox", CONFIG.max_tokens)


def tiny_model(seed: int = 0) -> XLIPModel:
    return build_model(CONFIG, tiny_processor(), seed)


def tiny_batch(model: XLIPModel, pairs: int = 4, images: int = 3, texts: int = 2, start: int = 0) -> Batch:
    """Phantoms as a batch: pairs, lone images, lone reports."""
    processor = model.processor
    assert processor is not None
    shown = [phantom(start + i) for i in range(pairs + images)]
    reports = [phantom(start + i).report for i in (*range(pairs), *range(pairs + images, pairs + images + texts))]
    tagged = [tag(report) for report in reports]
    prompts = load_prompts("xlip")
    described = [description(p, i) for i, p in enumerate(shown[pairs:])]
    families = [prompts.positive(kind)[0] for kind in KINDS] + [prompts.negative(kind)[0] for kind in KINDS]
    denials = [Denial(prompts.denials(kind)[0], frozenset({kind})) for kind in KINDS]
    denials += [Denial("No pleural effusion or pneumothorax.", frozenset({"Effusion", "Pneumothorax"}))]
    return Batch(
        pixels=processor.pixels([p.pixels for p in shown]),
        image_labels=codes([p.labels for p in shown]),
        reports=processor.texts(reports, tagged),
        report_labels=codes([kinds_of(r, e) for r, e in zip(reports, tagged, strict=True)]),
        report_key=torch.arange(len(reports)),
        prompts=processor.texts(families),
        pairs=pairs,
        kinds=KINDS,
        attributes=torch.from_numpy(attribute_targets([HEADERS[i % len(HEADERS)] for i in range(len(shown))])),
        attribute_texts=processor.texts([texts[0] for texts in attribute_families()]),
        image_seeds=torch.arange(start, start + len(shown)),
        report_seeds=torch.arange(start, start + len(reports)),
        image_studies=tuple(f"image-{start + row}" for row in range(len(shown))),
        report_studies=tuple(f"report-{start + row}" for row in range(len(reports))),
        descriptions=processor.texts([one.text for one in described], [one.entities for one in described]),
        described=torch.ones(images, dtype=torch.bool),
        denials=processor.texts([one.text for one in denials]),
        denied=torch.from_numpy(denied_columns(denials, KINDS)),
        regions=torch.zeros(len(shown), 0),
        meaning=torch.tensor([zlib.crc32(one.meaning.encode()) for one in described], dtype=torch.long),
    )


def description(phantom: Phantom, number: int) -> Description:
    study = Study("x", "x", "phantom", labels={kind: phantom.labels[kind] for kind in KINDS})
    made = describe(study, KINDS, load_prompts("xlip"), np.random.default_rng(number))
    assert made is not None
    return made


def codes(labels: list[dict[str, int]]) -> torch.Tensor:
    return torch.tensor([[label.get(k, UNKNOWN) for k in KINDS] for label in labels], dtype=torch.int8).view(-1, 4)


def context_of(model: XLIPModel, batch: Batch, objective: Objective, progress: float = 1.0, seed: int = 0) -> Context:
    """What `Pretrainer` would hand to an objective."""
    generator = torch.Generator().manual_seed(seed)
    inputs = objective.texts(model, batch, generator)
    return Context(
        model=model,
        batch=batch,
        images=model.images(batch.pixels),
        texts=encode_together(model, inputs),
        inputs=inputs,
        views={objective.name: model.images(objective.views(batch))} if isinstance(objective, HasViews) else {},
        progress=progress,
        generator=generator,
    )

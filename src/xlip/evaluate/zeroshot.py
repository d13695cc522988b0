"""`xlip zeroshot`: classify images by their cosine to positive and negative prompts.

The rule: docs/protocols.md, zero-shot scoring.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, Cases, open_cases
from xlip.evaluate.classification import over_views
from xlip.evaluate.embeddings import Further, embed
from xlip.evaluate.measured import arrays_of, open_measured
from xlip.evaluate.negation import negation, readings
from xlip.evaluate.prompt_choice import best_prompts, validation_cases
from xlip.evaluate.reference import distances_from
from xlip.evaluate.sensitivity import sensitivity
from xlip.identity import split_id
from xlip.images.gray import Gray
from xlip.results.abstention import Distance
from xlip.results.classification import classification_figures, sanity_checks, source_controlled
from xlip.results.exclusive import exclusive_figures
from xlip.results.figures import Classification, Negation, ZeroShotFigures
from xlip.results.result import Array, Predictions, Result
from xlip.runtime.encoder import Encoder, preprocessing_id
from xlip.runtime.scores import READINGS, kind_scores, map_answers, map_queries, prompt_pairs
from xlip.study.prompts import PromptSet, load_prompt_sets

if TYPE_CHECKING:
    from torch import Tensor

    from xlip.evaluate.adapter import ImageTextModel
    from xlip.models.xlip import XLIPModel


@dataclass(frozen=True)
class ZeroShotConfig:
    """`xlip zeroshot`."""

    model: str
    """Folder of a run, a saved or an exported model (which needs no torch), a hub id, or `phantom`, the model of the
    package."""
    data: str
    """Prepared Parquet (folder or file), or a CSV file."""
    out: str
    """Folder for figures, scores and pages."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    patient_column: str = ""
    """CSV: column of patient ids, which the intervals resample; without it every row is a patient."""
    kinds: str = ""
    """Kinds to score, separated by commas; default: all that the data label."""
    split: str = ""
    """Parquet: only this split; default: `test` where there is one, else everything."""
    prompts: str = "xlip"
    """A shipped prompt set, a YAML file, several of them separated by commas, or all: the first makes the headline,
    more than one show how much the choice matters."""
    scoring: str = "pnc"
    """pnc: a kind's positive prompts against its negative ones; pos or neg: one side alone."""
    query: str = ""
    """Free text instead of prompts: scores how well each image fits it; labels are only needed with --kinds."""
    neutral: str = "a chest radiograph."
    """What a query is weighed against."""
    batch_size: int = 64
    """Images that are encoded at once."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    seed: int = 0
    """Seed of the bootstrap."""
    no_cache: bool = False
    """Neither read nor keep image embeddings (in $XLIP_CACHE, default ~/.cache/xlip)."""


@dataclass(frozen=True)
class ZeroShot:
    """Zero-shot classification: the options of the evaluator."""

    prompts: str = "xlip"
    """A shipped set, a YAML file, several of them separated by commas, or `all`. The first makes the headline; more
    than one add `sensitivity`: the AUROC of each kind under each set, and its spread."""
    scoring: str = "pnc"
    """How the headline reads the prompts: pnc, pos or neg, see `runtime.scores.reading_scores`; `negation` has all."""
    chosen_on: str = ""
    """Split whose labels choose the thresholds and, of several prompt sets, the headline's; without it the threshold is
    0.5 and the first set the headline's. Never the images that are evaluated, nor a test part."""
    reference: str = ""
    """Training images (a prepared set, or a search index of them): adds abstention by the distance from these."""
    views: str = ""
    """max or mean: the score of a study is that of its views, where several images are one study (CheXpert)."""
    exclusive: bool = False
    """Every image has exactly one of the kinds (CheXpert 5x200): also report how often the largest score names it."""
    source_controlled: bool = False
    """Also report each kind on the sources alone that hold both of its classes (COVIDx)."""
    local_share: float = -1.0
    """How much of the local head's answer is added to a kind's logit; below 0: what the checkpoint says."""
    batch_size: int = 64
    cache: bool = True
    replicates: int = 1000
    seed: int = 0
    name: ClassVar[str] = "zeroshot"
    require: ClassVar[str] = "labels"

    def __post_init__(self) -> None:
        if self.scoring not in READINGS:
            raise XLIPError(f"scoring: expected one of {', '.join(READINGS)}; got {self.scoring!r}")

    def run(self, model: XLIPModel | ImageTextModel | Encoder, data: Cases) -> Result:
        """Score every image against every kind.

        Raises:
            XLIPError: nothing readable, a kind without prompts, or a score that is not finite.
        """
        start = time.perf_counter()
        scored = self._score(model, data)
        studies = over_views(scored.predictions, self.views)
        options: dict[str, Any] = {"replicates": self.replicates, "seed": self.seed}
        more: dict[str, Any] = {
            "near": scored.near,
            "validation": scored.validation,
            "sanity": sanity_checks(scored.predictions, scored.swapped, seed=self.seed),
            "negation": scored.negation,
        }
        if self.views:
            means = over_views(scored.predictions, "mean")
            more["studies"] = len(studies.study_ids)
            more["mean_over_views"] = classification_figures(means, Classification, card=False, **options)
        if self.exclusive:
            more["exclusive"] = exclusive_figures(studies, **options)
        if self.source_controlled:
            more["source_controlled"] = source_controlled(studies)
        if len(scored.by_set) > 1:
            more["sensitivity"] = sensitivity(scored.by_set, self.views, **options)
        figures = classification_figures(
            studies, ZeroShotFigures, images=len(scored.cases), dropped=len(data.dropped), **options, **more
        )
        return Result(
            self.name,
            scored.identity,
            figures,
            studies,
            scored.validation,
            dropped=tuple(data.dropped),
            seconds=time.perf_counter() - start,
            readings={name: one for name, one in scored.readings.items() if name != self.scoring},
        )

    def _score(self, model: XLIPModel | ImageTextModel | Encoder, data: Cases) -> _Scores:
        """The scores of every image under every prompt set; images are encoded once."""
        subject, sets = arrays_of(model), load_prompt_sets(self.prompts)
        if not self.chosen_on:
            return self._scored(subject, data, sets)
        unseen = validation_cases(data, self.chosen_on)
        watching = replace(self, chosen_on="", reference="", replicates=1)
        first, watched = best_prompts(watching._scored(subject, unseen, sets).by_set, self.views)
        ordered = sorted(sets, key=lambda one: one.identifier != first)
        scored = self._scored(subject, data, ordered)
        chosen = {"chosen of": ", ".join(one.identifier for one in sets)} if len(sets) > 1 else {}
        identity = {**scored.identity, "validation": split_id(unseen.name, watched.study_ids), **chosen}
        return replace(scored, identity=identity, validation=watched)

    def _scored(self, subject: Encoder, data: Cases, sets: Sequence[PromptSet]) -> _Scores:
        """The scores by every prompt set; the first is the headline's."""
        # Texts first: a kind without prompts is found before hours of images.
        classifiers = [prompt_pairs(subject.encode_texts, one, data.kinds) for one in sets]
        share = self.local_share if self.local_share >= 0 else subject.local_share
        local = local_term(subject, classifiers, share) if share else None
        embedded = embed(subject, data, batch_size=self.batch_size, cache=self.cache, further=local)
        images, cases = embedded.images, embedded.cases
        added = share * embedded.further.reshape(len(images), len(sets), -1) if local else np.zeros((1, len(sets), 1))
        far, near = distances_from(self.reference, subject, images)
        by_set, figures = {}, {}
        by_reading: dict[str, Predictions] = {}
        for number, (one, classifier) in enumerate(zip(sets, classifiers, strict=True)):
            found = readings(subject, one, cases, images, classifier, data.kinds, added[:, number])
            by_set[one.identifier] = replace(found[self.scoring], distances=far)
            # Of several sets the first alone keeps all its scores: with six of them, they would fill the memory.
            merged = {name: over_views(scores, self.views) for name, scores in found.items()}
            by_reading = by_reading or merged
            figures[one.identifier] = negation(merged, replicates=self.replicates, seed=self.seed)
        identity = {
            "prompts": sets[0].identifier,
            "split": split_id(data.name, (case.study_id for case in cases)),
            "preprocessing": preprocessing_id(subject),
            "checkpoint": subject.identity,
            "scoring": self.scoring,
        }
        if share:
            identity["local_share"] = f"{share:g}"
        exchanged = classifiers[0][:, ::-1]
        swapped = kind_scores(images, exchanged, subject.scale, -added[:, 0]) if self.scoring == "pnc" else None
        return _Scores(cases, by_set, by_reading, figures, swapped, identity, near)


@dataclass(frozen=True)
class _Scores:
    """What zero-shot classification measures, before any figure of the headline."""

    cases: list[Case]
    by_set: dict[str, Predictions]
    """Prompt set (id@version) -> scores by the wanted reading; the first is the headline's."""
    readings: dict[str, Predictions]
    """Of the first set, over views: every reading."""
    negation: dict[str, Negation]
    """Prompt set -> figures of every reading."""
    swapped: Array | None
    """(n, K) scores of the first set with positive and negative prompts exchanged; None where the two are no pair."""
    identity: dict[str, str]
    near: Distance | None
    """The reference of the distances."""
    validation: Predictions | None = None
    """By the first set, over views, where there is a validation split."""

    @property
    def predictions(self) -> Predictions:
        """Of the first set."""
        return next(iter(self.by_set.values()))


def evaluate_zero_shot(
    model: str | os.PathLike[str] | XLIPModel | ImageTextModel | Encoder,
    data: str | os.PathLike[str],
    *,
    cache: bool = True,
    **options: Any,
) -> Result:
    """Score every image of a prepared set or CSV against every kind; images stream, memory stays bounded.

    Args:
        model: in memory, or its folder or hub id.
        data: prepared Parquet (folder or file), or a CSV file.
        cache: read and keep image embeddings.
        options: any other field of `ZeroShotConfig` that says what is scored and how; `kinds` may be a list.

    Raises:
        TypeError: `ZeroShotConfig` has no such field.
        XLIPError: data in memory, a fault in the data, or no readable image.
    """
    if not isinstance(data, str | os.PathLike):
        raise XLIPError(
            f"data: expected the path of a prepared set or a table, got {type(data).__name__}; write a DataFrame by "
            "to_csv('table.csv', index=False), and name that file"
        )
    data = os.fspath(data)
    if not isinstance(kinds := options.get("kinds", ""), str):
        options["kinds"] = ",".join(kinds)
    config = ZeroShotConfig(model="", data=data, out="", **options)
    load_prompt_sets(config.prompts)  # a misspelt set is refused before the model is read
    columns = {name: getattr(config, name) for name in ("image_column", "patient_column", "kinds", "split")}
    choices = {name: getattr(config, name) for name in ("prompts", "scoring", "batch_size", "replicates", "seed")}
    cases, evaluator = open_cases(data, **columns), ZeroShot(cache=cache, **choices)
    return evaluator.run(open_measured(os.fspath(model)) if isinstance(model, str | os.PathLike) else model, cases)


def text_classifier(model: XLIPModel | ImageTextModel, prompts: PromptSet, kinds: Sequence[str]) -> Tensor:
    """`prompt_pairs` of a model of torch: (K, 2, E), L2-normalised.

    Raises:
        XLIPError: the set has no prompts for a kind.
    """
    import torch

    return torch.from_numpy(prompt_pairs(lambda texts: model.encode_text(texts).numpy(), prompts, kinds))


def local_term(model: Encoder, classifiers: Sequence[Array], share: float) -> Further:
    """The local head's answer to each kind, for each classifier (K, 2, E) in turn, (n, sets x K); in one pass with the
    embeddings.

    Raises:
        XLIPError: a model without a local head.
    """
    if not model.has_maps:
        raise XLIPError(f"zeroshot.local_share {share:g}: {model.identity} has no local head")
    pairs = np.concatenate(list(classifiers))
    queries = map_queries(pairs)

    def compute(squares: Gray) -> tuple[Array, Array]:
        vectors, maps = model.encode_and_map(squares, queries)
        return vectors, map_answers(maps).astype(np.float32)

    return Further(compute, hashlib.sha256(pairs.tobytes()).hexdigest())

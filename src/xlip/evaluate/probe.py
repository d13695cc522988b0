"""Linear probe: how much of the kinds can be read from frozen image embeddings, at a share of the labels."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel, adapted
from xlip.evaluate.cases import Cases, label_matrix, other_split
from xlip.evaluate.classification import over_views, predictions_of
from xlip.evaluate.embeddings import Embedded, embed
from xlip.evaluate.linear_heads import choose_c, fit_heads
from xlip.evaluate.reference import distances_among
from xlip.finetune.subsets import folds, label_share
from xlip.identity import split_id
from xlip.metrics.kinds import kind_table
from xlip.models.xlip import XLIPModel
from xlip.results.classification import classification_figures, sanity_checks, source_controlled
from xlip.results.figures import ProbeFigures, SeedFigures
from xlip.results.result import Array, Predictions, Result
from xlip.runtime.encoder import preprocessing_id
from xlip.sources.source import is_table
from xlip.study.labels import UncertainPolicy, label_codes, one_class

FOLDS = 3
"""Of the cross-validation that chooses C where the set has no validation split."""


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression on frozen embeddings: the options of the evaluator."""

    share: float = 1.0
    """Share of the training labels: whole patients, stratified, drawn by a seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One subset and one choice of C each; scores and intervals are those of the first."""
    c: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Candidates for the inverse strength of the penalty, chosen on validation, never on the test part."""
    train: str = ""
    """Another prepared set, or a CSV, to train on; default: the set itself."""
    train_split: str = "train"
    validation_split: str = "val"
    """Where there is none, cross-validation inside the training part, by patient."""
    uncertain: str = "ignore"
    """What an uncertain training label counts as, as in fine-tuning: ignore, present, absent, chexpert, or per kind."""
    views: str = ""
    """max or mean: the score of a test study is that of its views."""
    source_controlled: bool = False
    """Also report each kind on the sources alone that hold both of its classes."""
    batch_size: int = 64
    cache: bool = True
    replicates: int = 1000
    seed: int = 0
    """Seed of the bootstrap."""
    name: ClassVar[str] = "probe"
    require: ClassVar[str] = "labels"

    def run(self, model: XLIPModel | ImageTextModel, data: Cases) -> Result:
        """Train and measure, once per seed.

        Raises:
            XLIPError: no training split, a patient in both parts, a share outside (0, 1], or no seed.
        """
        start = time.perf_counter()
        if not 0 < self.share <= 1 or not self.seeds or not self.c:
            raise XLIPError(f"probe: expected a share in (0, 1], seeds and values of c; got {self.share}, {self.seeds}")
        subject = adapted(model)
        parts = self._parts(subject, data)
        train = split_id(parts.name, (case.study_id for case in parts.train.cases))
        checked = parts.validation.images if parts.validation else None
        far, near = distances_among(parts.train.images, checked, parts.test.images, f"{subject.identity} {train}")
        trained = [self._train(parts, data.kinds, seed, far) for seed in self.seeds]
        options: dict[str, Any] = {"dropped": len(data.dropped), "replicates": self.replicates, "seed": self.seed}
        if self.source_controlled:
            options["source_controlled"] = source_controlled(trained[0].test)
        figures = classification_figures(
            trained[0].test,
            ProbeFigures,
            validation=trained[0].unseen,
            near=near,
            training=label_matrix(parts.train.cases, data.kinds),
            sanity=sanity_checks(trained[0].test, seed=self.seed),
            share=self.share,
            **_over_seeds(self.seeds, trained),
            **options,
        )
        identity = {
            "split": split_id(data.name, (case.study_id for case in parts.test.cases)),
            "train": train,
            "preprocessing": preprocessing_id(subject),
            "checkpoint": subject.identity,
            "seeds": ", ".join(map(str, self.seeds)),
        }
        dropped, seconds = tuple(data.dropped), time.perf_counter() - start
        return Result(self.name, identity, figures, trained[0].test, trained[0].unseen, dropped, seconds)

    def _parts(self, model: ImageTextModel, data: Cases) -> _Parts:
        train = other_split(data, self.train_split, self.train)
        if train is None:
            raise XLIPError(f"{data.name}: no split {self.train_split!r} to train on; name one with `train_split`")
        has_splits = train.origin is not None and not is_table(train.origin.data)
        validation = other_split(train, self.validation_split) if has_splits else None
        embedded = [
            embed(model, part, batch_size=self.batch_size, cache=self.cache) if part else None
            for part in (data, train, validation)
        ]
        test, learned, chosen = embedded
        assert test is not None
        assert learned is not None
        _refuse_shared_patients(data.name, test, [part for part in (learned, chosen) if part])
        return _Parts(train.name, test, learned, chosen)

    def _train(self, parts: _Parts, kinds: list[str], seed: int, far: Array) -> _Trained:
        codes = label_codes([case.labels for case in parts.train.cases], kinds)
        labels = UncertainPolicy.parse(self.uncertain, "probe.uncertain").targets(codes, kinds)
        patients = np.array([case.patient_id for case in parts.train.cases])
        chosen = np.flatnonzero(label_share(patients, labels, self.share, seed))
        features, targets = parts.train.images[chosen], labels[chosen]
        if parts.validation is not None:
            held = (parts.validation.images, label_matrix(parts.validation.cases, kinds))
            c, scores = choose_c(features, targets, self.c, validation=held)
            cases = parts.validation.cases
        else:
            fold = folds(patients[chosen], targets, min(FOLDS, len(np.unique(patients[chosen]))), seed)
            c, scores = choose_c(features, targets, self.c, fold=fold)
            cases = [parts.train.cases[row] for row in chosen]
        heads = fit_heads(features, targets, c)
        test = predictions_of(parts.test.cases, kinds, heads.probabilities(parts.test.images))
        test = replace(test, distances=far)
        unseen = over_views(predictions_of(cases, kinds, scores), self.views)
        return _Trained(over_views(test, self.views), unseen, c, len(chosen), _untrained(targets, kinds))


@dataclass(frozen=True)
class _Parts:
    name: str
    test: Embedded
    train: Embedded
    validation: Embedded | None


@dataclass(frozen=True)
class _Trained:
    test: Predictions
    unseen: Predictions
    """Of the validation split, or out-of-fold ones of the training part."""
    c: float
    studies: int
    untrained: list[str]


def _over_seeds(seeds: tuple[int, ...], trained: list[_Trained]) -> dict[str, Any]:
    """What each seed gave, and the mean and standard deviation of the macro AUROC over them."""
    rows = [_of_seed(seed, one) for seed, one in zip(seeds, trained, strict=True)]
    areas = [row.macro_auroc for row in rows if row.macro_auroc is not None]
    return {
        "per_seed": tuple(rows),
        "macro_auroc_mean": float(np.mean(areas)) if areas else None,
        "macro_auroc_sd": float(np.std(areas, ddof=1)) if len(areas) > 1 else None,
    }


def _of_seed(seed: int, trained: _Trained) -> SeedFigures:
    test = trained.test
    table = kind_table(test.labels, test.scores, test.patients, replicates=1)
    return SeedFigures(
        seed=seed,
        macro_auroc=table.macro_auroc,
        per_kind=dict(zip(test.kinds, (one.auroc for one in table.per_kind), strict=True)),
        c=trained.c,
        train_images=trained.studies,
        untrained=tuple(trained.untrained),
    )


def _untrained(targets: Array, kinds: list[str]) -> list[str]:
    """Kinds that a small share shows only one class of: their scores are constant."""
    return [kind for kind, lacks in zip(kinds, one_class(targets), strict=True) if lacks]


def _refuse_shared_patients(name: str, test: Embedded, others: list[Embedded]) -> None:
    tested = {case.patient_id for case in test.cases}
    shared = {case.patient_id for other in others for case in other.cases} & tested
    if shared:
        raise XLIPError(
            f"{name}: {len(shared)} patients are in the training or validation part too; evaluate on a split of "
            "its own (prepare with --split or --holdout)"
        )

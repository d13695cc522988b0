"""Fine-tuning as an evaluator: the table over shares and seeds, and one result to make pages from."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.finetune.recipe import Recipe
from xlip.finetune.run import FineTuned, finetune
from xlip.finetune.table import Sample, difference, result_table, sample
from xlip.results.classification import classification_figures, sanity_checks, source_controlled
from xlip.results.figures import FineTuningFigures, Gain, ShareRow
from xlip.results.folder import write_files
from xlip.results.result import Predictions, Result
from xlip.results.scores_file import read_scores, write_scores

if TYPE_CHECKING:
    from xlip.evaluate.cases import Cases
    from xlip.finetune.run import FinetuneConfig
    from xlip.models.xlip import XLIPModel

Array = np.ndarray[Any, Any]
Say = Callable[[str], None]
SCORES = "scores-{}-seed-{}.csv"
"""Scores of each row of the table and seed; the seed-mean ones of the last share are `scores.csv`."""


@dataclass(frozen=True)
class FineTuning:
    """Trains on the set's own train and val parts at each share of the labels, measures on its test part."""

    data: str = ""
    """Prepared set or CSV with the splits train and test, of which the cases are the test part; default: the set that
    the cases come from."""
    fractions: str | tuple[float, ...] = "0.01,0.1,1"
    seeds: str | tuple[int, ...] = "0,1,2"
    out: str = ""
    """Folder for finished cells and the model, so that a stopped run goes on; '' = nothing is kept."""
    recipe: Recipe | Mapping[str, Any] = field(default_factory=Recipe)
    """A `Recipe`, or its options as a suite file has them."""
    kinds: str = ""
    """Default: those of the cases."""
    prompts: str = "xlip"
    validation: float = 0.15
    replicates: int = 1000
    source_controlled: bool = False
    """Also report each kind on the sources alone that hold both of its classes (COVIDx)."""

    @property
    def name(self) -> str:
        """Name in the registry and in suite files."""
        return "finetune"

    def run(self, model: XLIPModel, data: Cases) -> Result:
        """Fine-tune a copy of the model; the model stays as it is.

        Raises:
            XLIPError: the set has no training part or no labels.
        """
        from xlip.finetune.run import FinetuneConfig

        began = time.perf_counter()
        path = self.data or getattr(getattr(data, "origin", None), "data", "")
        if not path:
            raise XLIPError(f"{data.name}: expected the set to train on in the option `data` of finetune, got none")
        with tempfile.TemporaryDirectory() as folder:
            config = FinetuneConfig(
                model="in memory",
                data=path,
                out=self.out or folder,
                recipe=self.recipe if isinstance(self.recipe, Recipe) else _recipe(self.recipe),
                fractions=_listed(self.fractions),
                seeds=_listed(self.seeds),
                kinds=self.kinds or ",".join(data.kinds),
                prompts=self.prompts,
                validation=self.validation,
                replicates=self.replicates,
            )
            done = finetune(config, model=model)
        result = result_of(done, replicates=self.replicates, seconds=time.perf_counter() - began)
        _check_cases(result, data)
        if self.source_controlled:
            assert result.predictions is not None
            more = {"source_controlled": source_controlled(result.predictions)}
            return replace(result, figures=result.figures.model_copy(update=more))
        return result


def finetune_to(config: FinetuneConfig, say: Say = lambda line: None) -> Result:
    """Fine-tune, and write `metrics.json`, `scores.csv`, `validation_scores.csv` and `scores-SHARE-seed-N.csv` to
    `out`.

    Raises:
        XLIPError: as `finetune`; a baseline that is no fine-tuning of the same images.
    """
    began = time.perf_counter()
    done = finetune(config, say)
    samples = _samples(done)
    over = _over_baseline(done, samples, Path(config.baseline), config.replicates) if config.baseline else {}
    result = result_of(
        done,
        replicates=config.replicates,
        seconds=time.perf_counter() - began,
        over_baseline=over,
        recipe_options=asdict(config.recipe),
    )
    out = Path(config.out)
    for share, one in samples.items():
        for seed, scores in one.per_seed.items():
            write_scores(out / SCORES.format(share, seed), _predictions(done, one.rows, scores))
    write_files(result, out)
    return result


def result_of(
    done: FineTuned,
    *,
    replicates: int = 1000,
    seconds: float = 0.0,
    over_baseline: Mapping[str, Gain] | None = None,
    recipe_options: Mapping[str, Any] | None = None,
) -> Result:
    """The result of the largest share, seed-mean scores; the whole table is `figures.table`."""
    largest = max(scored.cell.fraction for scored in done.cells)
    own = [scored for scored in done.cells if scored.cell.fraction == largest]
    tested, watched = sample(own), sample(own, validation=True)
    predictions = _predictions(done, tested.rows, tested.mean)
    rows = [ShareRow(**row) for row in result_table(done, replicates=replicates)]
    if over_baseline:
        rows = [row.model_copy(update={"over_baseline": over_baseline.get(row.share)}) for row in rows]
    options: dict[str, Any] = {"recipe_options": dict(recipe_options)} if recipe_options else {}
    folded = any(scored.cell.fold is not None for scored in own)
    validation = _predictions(done, watched.rows, watched.mean) if len(watched.rows) and not folded else None
    figures = classification_figures(
        predictions,
        FineTuningFigures,
        dropped=len(done.data.dropped),
        training=done.truth[done.data.rows("train")],
        validation=validation,
        replicates=replicates,
        sanity=sanity_checks(predictions),
        one_class=done.left_out,
        share=largest,
        seeds=tuple(tested.per_seed),
        table=tuple(rows),
        **options,
    )
    return Result("finetune", done.identity, figures, predictions, validation, done.data.dropped, seconds)


def table_rows(table: Sequence[ShareRow]) -> list[list[str]]:
    """Header and cells of the table of all shares."""
    named = {"over_zero_shot": "above zero-shot", "over_baseline": "above baseline"}
    compared = {key: title for key, title in named.items() if any(getattr(row, key) for row in table)}
    lines = [["labels", "training images", "macro AUROC", "95 % over patients", *compared.values()]]
    for row in table:
        low, high = row.ci95
        spread = f" (s.d. {row.sd:.3f})" if row.sd is not None else ""
        lines.append([
            row.share,
            str(row.training_images),
            f"{_text(row.auroc)}{spread}",
            f"{_text(low)} to {_text(high)}",
            *(_difference_text(getattr(row, key)) for key in compared),
        ])  # fmt: skip
    return lines


def _listed(values: object) -> str:
    """`0.1,1` from the same or from (0.1, 1), as a suite's list comes."""
    return ",".join(map(str, values)) if isinstance(values, tuple) else str(values)


def _recipe(options: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe(**options)
    except TypeError as error:
        raise XLIPError(f"finetune.recipe: {str(error).split('() ')[-1]}; see `xlip finetune --help`") from error


def _check_cases(result: Result, data: Cases) -> None:
    """The cases are what was tested: an evaluation must not report the test part of another set."""
    assert result.predictions is not None
    tested, asked = set(result.predictions.study_ids), {case.study_id for case in data.items}
    if not tested <= asked or len(asked - tested) > len(result.dropped):
        raise XLIPError(
            f"{data.name}: expected the test part of the set that is trained on ({len(tested)} images), got "
            f"{len(asked)} other cases; take the split test, or name their set in the option `data` of finetune"
        )


def _samples(done: FineTuned) -> dict[str, Sample]:
    """The rows of the table by name, as in `result_table`."""
    fractions = sorted({scored.cell.fraction for scored in done.cells})
    shares = {f"{f:.4g}": sample([s for s in done.cells if s.cell.fraction == f]) for f in fractions}
    return {**({"zero-shot": sample([done.zero_shot])} if done.zero_shot else {}), **shares}


def _over_baseline(done: FineTuned, samples: dict[str, Sample], baseline: Path, replicates: int) -> dict[str, Gain]:
    """Share -> how far it lies above the baseline, for every share that the baseline has too."""
    gains = {}
    for share, one in samples.items():
        files = sorted(baseline.glob(SCORES.format(share, "*")))
        if share == "zero-shot" or not files:
            continue
        theirs = [read_scores(file) for file in files]
        ours = _predictions(done, one.rows, one.mean)
        for file, other in zip(files, theirs, strict=True):
            if ours.study_ids != other.study_ids or ours.kinds != other.kinds:
                raise XLIPError(f"{file}: a baseline of other images or kinds; fine-tune it on the same data and split")
        scores = np.stack([other.scores for other in theirs])
        found = difference(ours.labels, one.scores, scores, ours.patients, replicates=replicates)
        gains[share] = Gain(**found)
    return gains


def _predictions(done: FineTuned, rows: Array, scores: Array) -> Predictions:
    data = done.data
    ids = tuple(data.study_ids[rows].tolist())
    groups = {name: values[rows] for name, values in data.groups.items()}
    return Predictions(data.kinds, ids, data.patients[rows], done.truth[rows], scores, groups)


def _difference_text(found: Gain | None) -> str:
    if found is None or found.difference is None:
        return ""
    low, high = (f"{bound:+.3f}" for bound in found.ci95)
    return f"{found.difference:+.3f} ({low} to {high})"


def _text(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"

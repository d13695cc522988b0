"""The figures of every evaluator, typed: what `metrics.json` holds beside the identity.

A new figure is one field here (with a default, so that older folders are still read) and one section of the page
(`xlip.pages.sections`). The JSON schema is made from these classes (`xlip.results.schema`).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from xlip.metrics.kinds import has_enough
from xlip.results.abstention import Abstention
from xlip.results.checks import Sanity
from xlip.results.cohort import Cohort, Decision
from xlip.results.exclusive import ExclusiveFigures
from xlip.results.regions import AbsentFigures, RegionFigures
from xlip.results.typed import NONE, Area, Count, Headline, Interval, Mean, Number, Part, Share, Span, Truth


class KindFigures(Part):
    """One kind."""

    auroc: Share
    auprc: Share
    positives: Count
    negatives: Count
    ci95: Interval
    """Of the AUROC."""

    @property
    def enough(self) -> bool:
        """See `has_enough`."""
        return has_enough(self.positives, self.negatives)


class ControlledFigures(KindFigures):
    """One kind on the sources that hold both of its classes."""

    sources: tuple[str, ...]


class GroupFigures(Part):
    """The cases with one value of one variable (women, say)."""

    value: str
    images: Count
    patients: Count
    kinds: tuple[str, ...]
    """With enough cases in this group; the means are over these."""
    macro_auroc: Share
    macro_ci95: Interval
    macro_auprc: Share
    whole_macro_auroc: Share
    """Of all cases over the same kinds: what `macro_auroc` may be compared with."""

    @property
    def gap(self) -> float | None:
        """How far the group lies above (below: negative) all cases over the same kinds."""
        if self.macro_auroc is None or self.whole_macro_auroc is None:
            return None
        return self.macro_auroc - self.whole_macro_auroc


class BandFigures(Part):
    """The frequent, the middling or the rare kinds."""

    kinds: tuple[str, ...]
    macro_auroc: Share
    macro_auprc: Share


class LongTail(Part):
    """Means over the kinds by how frequent they are."""

    counted_in: str
    """Whose labels say how frequent a kind is: `training` or `test`."""
    head: BandFigures
    medium: BandFigures
    tail: BandFigures


class PromptSetFigures(Part):
    """AUROC under one prompt set."""

    macro_auroc: Share
    per_kind: dict[str, Share]


class PromptTest(Part):
    """One prompt set against the headline's, on the same images."""

    prompts: str
    kind: str
    """'' = the macro mean."""
    difference: Number
    """Its AUROC less the headline's."""
    ci95: Span
    p: Share
    """Two-sided, paired bootstrap over patients."""
    p_holm: Share
    """Adjusted for all tests of the evaluation (Holm 1979)."""


class Sensitivity(Part):
    """How far the choice of prompts moves the AUROC."""

    sets: dict[str, PromptSetFigures]
    spread: dict[str, Share]
    """Kind -> largest less smallest AUROC."""
    macro_spread: Share
    tests: tuple[PromptTest, ...] = ()
    """Every other set against the first, for every kind and the macro mean."""

    @property
    def changed(self) -> tuple[int, int]:
        """How many kinds and sets differ from the headline's after adjustment, of how many."""
        known = [one.p_holm for one in self.tests if one.kind and one.p_holm is not None]
        return sum(value < 0.05 for value in known), len(known)

    @property
    def worst_and_best(self) -> tuple[str, str] | None:
        """Sets with the least and the largest macro AUROC; None where none was measured."""
        known = {name: one.macro_auroc for name, one in self.sets.items() if one.macro_auroc is not None}
        return (min(known, key=lambda name: known[name]), max(known, key=lambda name: known[name])) if known else None


class ReadingFigures(Part):
    """AUROC of the kinds when their prompts are read in one way; the macro mean is over the usual kinds."""

    macro_auroc: Share
    macro_ci95: Interval
    per_kind: dict[str, Area]


READING_TITLES = {"pos": "POS", "neg": "NEG", "pnc": "PNC", "no_x": "'no X'"}
"""Field of `Negation` -> what a column is called."""


class Negation(Part):
    """What the positive prompt, the negative one and 'no X' are worth alone, beside the pair; 1 is right for each."""

    pos: ReadingFigures
    """By the cosine to the positive prompts."""
    neg: ReadingFigures
    """By the cosine to the negative prompts, the least first: below 0.5, a denial looks most like what it denies."""
    pnc: ReadingFigures
    """By the pair."""
    no_x: ReadingFigures | None = None
    """By the cosine to 'no X' (the kind's phrases), the least first; without No_Finding, which has no such denial."""


class Figures(Part):
    """What every evaluator reports."""

    images: Count
    dropped: Count = 0
    replicates: Count | None = None
    """Of the bootstrap over patients; None, as the seed, in folders of older versions."""
    bootstrap_seed: Count | None = None

    def headline(self) -> list[Headline]:
        """The figures that stand for an evaluation in a table."""
        return []


class Classification(Figures):
    """Figures of scores per kind."""

    macro_auroc: Share
    macro_ci95: Interval
    macro_auprc: Share = None
    per_kind: dict[str, KindFigures]
    left_out: tuple[str, ...]
    """Kinds with too few cases for the macro means."""
    subgroups: dict[str, tuple[GroupFigures, ...]] | None = None
    """Variable (sex, age, view, source) -> its groups; None in folders of older versions."""
    long_tail: LongTail | None = None
    sanity: Sanity | None = None
    source_controlled: dict[str, ControlledFigures] | None = None
    cohort: Cohort | None = None
    """Who was tested; None, as the next two, in folders of older versions."""
    decisions: dict[str, Decision] | None = None
    """Kind -> its threshold, and what that does here; kinds with both classes alone."""
    abstention: Abstention | None = None

    @property
    def counted(self) -> list[str]:
        """The kinds of the macro means."""
        return [kind for kind in self.per_kind if kind not in self.left_out]

    def worst_group(self) -> tuple[str, GroupFigures] | None:
        """(variable, group) that lies furthest below all cases over the same kinds; None without groups."""
        named = [(name, group) for name, groups in (self.subgroups or {}).items() for group in groups]
        return min((one for one in named if one[1].gap is not None), key=lambda one: one[1].gap or 0.0, default=None)

    def headline(self) -> list[Headline]:
        """The macro AUROC."""
        return [("macro AUROC", self.macro_auroc, self.macro_ci95)]


class ZeroShotFigures(Classification):
    """`zeroshot`, and the baselines."""

    exclusive: ExclusiveFigures | None = None
    """Where every image has one of the kinds (CheXpert 5x200)."""

    sensitivity: Sensitivity | None = None
    negation: dict[str, Negation] | None = None
    """Prompt set (id@version) -> its readings; None in folders of older versions."""
    studies: Count | None = None
    """Where the scores of a study's views became one."""
    mean_over_views: Classification | None = None

    def headline(self) -> list[Headline]:
        """The macro AUROC, and the accuracy where one of the kinds is to be named."""
        rows = super().headline()
        if self.exclusive is not None:
            name = f"accuracy of {len(self.exclusive.per_kind)}"
            rows.append((name, self.exclusive.accuracy, self.exclusive.accuracy_ci95))
        return rows


class QueryFigures(Classification):
    """`query`: kinds alone where labels were named to compare with."""

    query: str
    neutral: str
    macro_auroc: Share = None
    macro_ci95: Interval = NONE
    per_kind: dict[str, KindFigures] = Field(default={})
    left_out: tuple[str, ...] = ()

    def headline(self) -> list[Headline]:
        """One line per kind: a mean over them has no meaning."""
        return [(f"AUROC {kind}", one.auroc, one.ci95) for kind, one in self.per_kind.items()]


class SeedFigures(Part):
    """One training of a probe."""

    seed: Count
    macro_auroc: Share
    per_kind: dict[str, Share]
    c: float
    train_images: Count
    untrained: tuple[str, ...]


class ProbeFigures(Classification):
    """`probe`: figures of the first seed, and how far seeds differ."""

    share: float
    per_seed: tuple[SeedFigures, ...]
    macro_auroc_mean: Share
    macro_auroc_sd: Number

    def headline(self) -> list[Headline]:
        """The macro AUROC, and its spread where there are several seeds."""
        rows = super().headline()
        if self.macro_auroc_sd is not None:
            rows += [("  mean of seeds", self.macro_auroc_mean, NONE), ("  s.d. of seeds", self.macro_auroc_sd, NONE)]
        return rows


class ClassifierFigures(Classification):
    """`classify`: a fine-tuned classifier."""

    not_trained_on: tuple[str, ...] = ()
    """Kinds that the set labels and the classifier does not know."""


class Gain(Part):
    """Macro AUROC of one training less that of another on the same images."""

    difference: Number
    ci95: Span
    p: Share


class ShareRow(Part):
    """One share of the labels; `zero-shot` is the start."""

    share: str
    auroc: Share
    """Mean over the seeds."""
    ci95: Interval
    sd: Number
    per_seed: dict[str, Share] = Field(default={})
    auroc_of_mean: Share = None
    training_images: int | float = 0
    kept_steps: tuple[int, ...] = ()
    seconds: float = 0
    over_zero_shot: Gain | None = None
    over_baseline: Gain | None = None


class FineTuningFigures(Classification):
    """`finetune`: figures of the largest share, scores averaged over the seeds, and the table of all shares."""

    one_class: tuple[str, ...] = ()
    """Kinds that could not be trained."""
    share: float
    seeds: tuple[Count, ...]
    table: tuple[ShareRow, ...]
    recipe_options: dict[str, Any] = Field(default={})


class OneRanking(Part):
    """What a single ranking of the candidates gives to every query."""

    recall: dict[str, Share]
    kind_precision: dict[str, Share]
    precision_over_kinds: dict[str, Share]


class Direction(Part):
    """Retrieval from images to reports, or the other way."""

    recall: dict[str, Mean]
    median_rank: Number
    kind_precision: dict[str, Share]
    kind_precision_by_chance: Share
    candidates: Count
    kind_precision_ci95: dict[str, Interval] = Field(default={})
    """Of `kind_precision`, over patients; empty in folders of older versions, as what follows."""
    precision_over_kinds: dict[str, Mean] = Field(default={})
    """Share of the first k with the query's kind: mean over its queries for every kind with enough of them, then over
    these kinds. A ranking that serves the most frequent kind alone gets little."""
    by_frequency: dict[str, OneRanking] = Field(default={})
    """Rankings by how frequent the candidates' kinds are in the set, the same for all queries: by their `largest`
    frequency, and by the `sum` of the frequencies."""


class Found(Part):
    """One item that a query found."""

    what: str
    hit: Truth
    score: Number


class Example(Part):
    """A query, and what it found."""

    query: str
    found: tuple[Found, ...]


class RetrievalFigures(Figures):
    """`retrieval`."""

    image_to_text: Direction
    text_to_image: Direction
    examples: tuple[Example, ...] = ()
    distinct_reports: Count

    def headline(self) -> list[Headline]:
        """Recall in both directions."""
        directions = (("image-text", self.image_to_text), ("text-image", self.text_to_image))
        return [(f"{name} R@{k}", one.mean, one.ci95) for name, part in directions for k, one in part.recall.items()]


class GroundingFigures(Figures, RegionFigures):
    """`grounding`."""

    regions_of_kind: dict[str, RegionFigures]
    sizes: dict[str, RegionFigures] = Field(default={})
    """small, medium, large, by the share of the image that a region covers; see `xlip.metrics.grounding.SIZES`."""
    threshold: Number = None
    """Of the heat as it is, for `iou_chosen` and `absent`: the largest mean IoU on validation regions; None without."""
    threshold_chosen_on: str = ""
    """Split id of these."""
    absent: dict[str, AbsentFigures] = Field(default={})
    """Kind -> what is coloured for it on images that lack it, at `threshold`."""

    def headline(self) -> list[Headline]:
        """Pointing game, IoU and CNR, and what needs a threshold from validation."""
        rows = [(name, one.mean, one.ci95) for name in ("pointing", "iou", "cnr") for one in (getattr(self, name),)]
        if self.iou_chosen is not None:
            rows.append(("iou, threshold of validation", self.iou_chosen.mean, self.iou_chosen.ci95))
        return rows


FIGURES: dict[str, type[Figures]] = {
    "zeroshot": ZeroShotFigures,
    "query": QueryFigures,
    "probe": ProbeFigures,
    "retrieval": RetrievalFigures,
    "grounding": GroundingFigures,
    "chance": ZeroShotFigures,
    "prior": ZeroShotFigures,
    "finetune": FineTuningFigures,
    "classify": ClassifierFigures,
}
"""Evaluator -> what it reports."""

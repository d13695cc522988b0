"""One line per figure, to be pasted into a paper: with everything that the figure depends on."""

from __future__ import annotations

from collections.abc import Iterator

from xlip.results.cohort import KindCohort
from xlip.results.figures import Classification
from xlip.results.result import Result
from xlip.results.typed import Headline


def paper_lines(result: Result) -> list[str]:
    """Every kind's AUROC with its decision, and the headline figures: value and interval, split, prompts, cohort,
    prevalence, threshold, seeds, checkpoint, version.

    What a figure does not have (a threshold, say) is called none, what an older xlip did not write is called not known.
    """
    lines = [_line(result, headline, _whole(result), "none") for headline in result.figures.headline()]
    if result.kinds:
        lines += list(_kinds(result, result.kinds))
    return lines


def _kinds(result: Result, figures: Classification) -> Iterator[str]:
    for kind, one in figures.per_kind.items():
        cohort = figures.cohort.per_kind.get(kind) if figures.cohort else None
        decided = (figures.decisions or {}).get(kind)
        threshold, more = "none", ""
        if decided is not None:
            threshold = f"{_number(decided.threshold)} by rule {decided.rule}"
            more = (
                f", sensitivity {_value(decided.sensitivity, decided.sensitivity_ci95)}"
                f", specificity {_value(decided.specificity, decided.specificity_ci95)}"
            )
        elif figures.decisions is None:
            threshold = "not known"
        counts = f"prevalence {_share(one.positives, one.negatives)}"
        yield _line(result, (f"{kind} AUROC", one.auroc, one.ci95), counts + _against(cohort), threshold, more)


def _against(cohort: KindCohort | None) -> str:
    """Who the negatives are, and the AUROC against each; and on the sources with both classes."""
    if cohort is None:
        return " (negatives not known)"
    parts = [f"negatives {cohort.healthy} healthy, {cohort.sick} otherwise sick, {cohort.unclear} not known"]
    for name, area in (("healthy", cohort.against_healthy), ("otherwise sick", cohort.against_sick)):
        if area.auroc is not None:
            parts.append(f"AUROC against {name} {_value(area.auroc, area.ci95)}")
    if cohort.same_source is not None:
        sources = ", ".join(cohort.sources) or "no source"
        value = _value(cohort.same_source.auroc, cohort.same_source.ci95)
        parts.append(f"on sources with both classes ({sources}) {value}")
    return f" ({'; '.join(parts)})"


def _whole(result: Result) -> str:
    """Prevalences of the kinds of a macro mean."""
    figures = result.kinds
    if figures is None or not figures.counted:
        return "prevalence none"
    shares = [
        one.positives / (one.positives + one.negatives) for one in (figures.per_kind[kind] for kind in figures.counted)
    ]
    words = f"prevalence {100 * min(shares):.1f} to {100 * max(shares):.1f} % over {len(shares)} kinds"
    card = figures.cohort
    if card is None or not card.compared:
        return words
    sides = (("healthy", card.macro_against_healthy), ("otherwise sick", card.macro_against_sick))
    against = "; ".join(f"against {name} negatives {_value(area.auroc, area.ci95)}" for name, area in sides)
    return f"{words} ({against}; {len(card.compared)} kinds)"


def _line(result: Result, headline: Headline, cohort: str, threshold: str, more: str = "") -> str:
    name, value, bounds = headline
    identity, figures = result.identity, result.figures
    card = result.kinds.cohort if result.kinds else None
    cases = f"{figures.images} images" + (f", {card.cases} cases of {card.patients} patients" if card else "")
    seeds = f"training {identity['seeds']}, " if "seeds" in identity else ""
    drawn = "not known" if figures.replicates is None else f"{figures.bootstrap_seed} ({figures.replicates} replicates)"
    prompts = identity.get("prompts", "none") + (f" ({identity['scoring']})" if "scoring" in identity else "")
    parts = [
        f"{name.strip()} {_value(value, bounds)}{more}",
        f"split {identity['split']}",
        f"protocol {result.evaluator}",
        f"prompts {prompts}",
        f"cohort {cases}",
        cohort,
        f"threshold {threshold}",
        f"seeds {seeds}bootstrap {drawn}",
        f"preprocessing {identity['preprocessing']}",
        f"checkpoint {identity['checkpoint']}",
        f"xlip {result.version or 'not known'}",
    ]
    return "; ".join(parts)


def _value(value: float | None, bounds: tuple[float | None, float | None]) -> str:
    low, high = bounds
    return _number(value) + ("" if low is None else f" (95 % CI {_number(low)} to {_number(high)})")


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _share(positives: int, negatives: int) -> str:
    known = positives + negatives
    return f"{100 * positives / known:.1f} % ({positives} of {known})" if known else "not known"

"""The commands that measure: zeroshot, evaluate, compare, report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from xlip.cli.as_json import record_table
from xlip.cli.show import (
    print_dropped,
    print_left_out,
    print_lines,
    print_negation,
    print_sanity,
    print_table,
    report_or_warning,
)
from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.evaluate.interaction_run import InteractionConfig
    from xlip.evaluate.suite import EvaluateConfig
    from xlip.evaluate.zeroshot import ZeroShotConfig
    from xlip.pages.write import ReportConfig
    from xlip.results.compare import CompareConfig
    from xlip.results.figures import Classification
    from xlip.results.leaderboard import LeaderboardConfig
    from xlip.results.result import Result


def run_zeroshot(config: ZeroShotConfig) -> None:
    """Classify zero-shot."""
    from pathlib import Path

    from xlip.evaluate.cases import open_cases
    from xlip.evaluate.measured import open_measured
    from xlip.evaluate.zeroshot import ZeroShot
    from xlip.pages.write import add_pages
    from xlip.results.folder import check_result_folder, write_folder
    from xlip.study.prompts import load_prompt_sets

    check_result_folder(Path(config.out))
    if config.query:
        _run_query(config)
        return
    load_prompt_sets(config.prompts)  # a misspelt set is refused before the model is read
    columns = {name: getattr(config, name) for name in ("image_column", "patient_column", "kinds", "split")}
    options = {name: getattr(config, name) for name in ("prompts", "scoring", "batch_size", "replicates", "seed")}
    cases, model = open_cases(config.data, **columns), open_measured(config.model)
    result = ZeroShot(cache=not config.no_cache, **options).run(model, cases)
    write_folder(result, Path(config.out))
    _print_classification(result)
    same = {name: getattr(config, name) for name in ("data", "image_column", "prompts")}
    with report_or_warning(config.out):
        page, *_ = add_pages(result, Path(config.out), model=model, run=config.model, **same)
        print(f"look at {page}")


def _print_classification(result: Result) -> None:
    """Kinds, macro mean, groups, sanity checks, prompt sets, and what makes the figures repeatable."""
    from xlip.pages.flat_figures import number, span
    from xlip.pages.groups import worst_group_words
    from xlip.pages.sections import KIND_HEADER, kind_rows

    figures = result.kinds
    assert figures is not None
    *kinds, macro = kind_rows(figures)
    print_table(KIND_HEADER, kinds, last=macro)
    print(f"macro AUROC {number(figures.macro_auroc)} ({span(*figures.macro_ci95)})")
    print_left_out(figures.left_out)
    print_dropped(result.dropped)
    if worst := worst_group_words(figures):
        print(worst)
    print_sanity(figures)
    print_negation(figures)
    _print_sensitivity(figures)
    print_lines(result)
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))


def _print_sensitivity(figures: Classification) -> None:
    """AUROC of each kind under each prompt set, and its spread."""
    from xlip.pages.flat_figures import number

    found = getattr(figures, "sensitivity", None)
    if found is None:
        return
    rows = {
        kind: [*(one.per_kind[kind] for one in found.sets.values()), spread] for kind, spread in found.spread.items()
    }
    rows["macro"] = [*(one.macro_auroc for one in found.sets.values()), found.macro_spread]
    print_table(("AUROC", *found.sets, "spread"), ([name, *map(number, values)] for name, values in rows.items()))
    if found.worst_and_best:
        worst, best = found.worst_and_best
        areas = f"{number(found.sets[worst].macro_auroc)} and {number(found.sets[best].macro_auroc)}"
        print(f"worst and best prompts: {worst} and {best}, macro AUROC {areas}")
    changed, count = found.changed
    print(f"{changed} of {count} AUROCs differ from those of the first prompt set (p < 0.05, adjusted after Holm)")


def _run_query(config: ZeroShotConfig) -> None:
    """Score every image against free text."""
    from pathlib import Path

    from xlip.evaluate.cases import open_cases
    from xlip.evaluate.measured import open_measured
    from xlip.evaluate.query import Query
    from xlip.pages.flat_figures import number
    from xlip.results.folder import write_folder
    from xlip.study.kinds import named

    against = tuple(named(config.kinds))
    columns = {name: getattr(config, name) for name in ("image_column", "patient_column", "kinds", "split")}
    cases = open_cases(config.data, require="labels" if against else "image", **columns)
    options = {name: getattr(config, name) for name in ("neutral", "batch_size", "replicates", "seed")}
    query = Query(config.query, against=against, cache=not config.no_cache, **options)
    result, ranking = query.ranked(open_measured(config.model), cases)
    write_folder(result, Path(config.out), {"ranking.csv": ranking})
    record_table(("rank", "study", "score"), [row[:3] for row in ranking[1:6]])
    for rank, study, score, _ in ranking[1:6]:
        print(f"{rank}. {study} {float(str(score)):.3f}")
    for kind, one in result.kinds.per_kind.items() if result.kinds else ():
        print(f"AUROC against {kind} {number(one.auroc)}")
    print(f"query {config.query!r} against {config.neutral!r}; {len(ranking) - 1} images")
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))
    print(f"all of them: {config.out}/ranking.csv; scores in {config.out}/scores.csv")


def run_probe(config: InteractionConfig) -> None:
    """Probe the interaction of text and image."""
    from pathlib import Path

    from xlip.evaluate.interaction_run import HEADER, probe, table
    from xlip.pages.interaction import write_interaction

    figures = probe(config)
    page = write_interaction(figures, Path(config.out or config.run))
    print_table(HEADER, table(figures))
    print(f"look at {page}; figures in interaction.json beside it")


def run_evaluate(config: EvaluateConfig) -> int:
    """Run a suite; 1 where an entry has a fault."""
    from pathlib import Path

    from xlip.evaluate.suite import negation_rows, prompt_rows, run_suite, summary_rows
    from xlip.evaluate.suite_file import load_suite
    from xlip.evaluate.transport import counts, transports
    from xlip.pages.transport import write_transport_page
    from xlip.pages.write import add_pages_of_suite

    if not config.model:
        raise XLIPError("evaluate: name at least one model with --model")
    places = dict(item.partition("=")[::2] for item in config.data)
    if not all(places.values()):
        raise XLIPError(f"--data: expected NAME=PATH, got {' '.join(config.data)!r}")
    refit = counts(config.refit)
    options: dict[str, Any] = {"cache": not config.no_cache, "replicates": config.replicates}
    options |= {name: value for name in ("reference", "chosen_on") if (value := getattr(config, name))}
    suite, out = load_suite(config.suite), Path(config.out)
    outcomes = run_suite(config.model, suite, out, root=config.root, places=places, options=options, say=print)
    for line in add_pages_of_suite(outcomes):
        print(line, file=sys.stderr)
    for folder, found in transports(outcomes, refit=refit, replicates=config.replicates):
        kept, count = found.carries("sensitivity 95")
        print(
            f"{write_transport_page(found, folder)}: {kept} of {count} thresholds keep 95 % sensitivity on another set"
        )
    header, *rows = summary_rows(outcomes)
    print_table(header[:-1], (row[:-1] for row in rows))
    names, *readings = negation_rows(outcomes)
    if readings:
        print_table(names, readings)
    families, *spread = prompt_rows(outcomes)
    if spread:
        print_table(families, spread)
    for one in outcomes:
        if one.result is not None:
            print_sanity(one.result.figures, f"{one.model} {one.entry}: ")
    for one in outcomes:
        if one.result is not None:
            print(f"# {one.model} {one.entry}")
            print_lines(one.result)
    faults = sum(len(one.problems) for one in outcomes)
    print(f"{out}/summary.md, report.html in each folder" + (f"; {faults} faults, see above" if faults else ""))
    return 1 if faults else 0


def run_compare(config: CompareConfig) -> None:
    """Compare two evaluations."""
    from pathlib import Path

    from xlip.results import compare as comparing

    comparison = comparing.compare(config)
    for name, side in (("A", comparison.a), ("B", comparison.b)):
        print(f"{name}: {side['folder']} ({', '.join(f'{key} {side[key]}' for key in side if key != 'folder')})")
    *kinds, macro = comparing.table_rows(comparison)
    print_table(comparing.HEADER, kinds, last=macro)
    if readings := comparing.reading_table(comparison):
        print_table(comparing.READING_HEADER, readings)
    if groups := comparing.group_table(comparison):
        print_table(comparing.GROUP_HEADER, groups)
        print(comparing.verdict(comparison))
    for note in comparing.notes(comparison):
        print(note)
    if config.out:
        print(f"written to {comparing.write_comparison(comparison, Path(config.out))}")


def run_leaderboard(config: LeaderboardConfig) -> None:
    """Put many evaluations on one page."""
    from pathlib import Path

    from xlip.pages.flat_figures import number, span
    from xlip.pages.leaderboard import write_leaderboard_page
    from xlip.results.leaderboard import leaderboard

    found = leaderboard(config)
    for board in found.boards:
        print(f"split {board.split}, {len(board.kinds)} kinds")
        rows = [
            (one.folder, number(one.macro_auroc), span(*one.macro_ci95),
             number(one.against_best.difference) if one.against_best else "first", number(one.p_holm))
            for one in board.entries
        ]  # fmt: skip
        print_table(("evaluation", "macro AUROC", "95 % interval", "less the first", "p, Holm"), rows)
    for one in found.apart:
        print(f"not compared: {one.folder} ({one.figure}): {one.reason}")
    print(f"look at {write_leaderboard_page(found, Path(config.out))}; leaderboard.json beside it")


def run_report(config: ReportConfig) -> None:
    """Write the report of an evaluation."""
    from xlip.pages.write import pages_of_folder

    page, *others = pages_of_folder(config)
    print(f"look at {page}; beside it {', '.join(file.name for file in others)}")

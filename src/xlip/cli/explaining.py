"""The commands that show where a model sees something, and that sort films by it: explain, abstain, triage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlip.cli.as_json import record_table
from xlip.cli.encoders import open_encoder
from xlip.cli.show import print_dropped

if TYPE_CHECKING:
    from xlip.explain.choosing import AbstainConfig
    from xlip.explain.reference import Reference
    from xlip.explain.run import ExplainConfig
    from xlip.pacs.triage import TriageConfig
    from xlip.runtime.encoder import Encoder


def run_explain(config: ExplainConfig) -> None:
    """Draw maps."""
    from importlib.util import find_spec
    from pathlib import Path

    from xlip.explain.run import explain_films
    from xlip.pages.explanations import write_explanations

    result = explain_films(config, open_encoder(config.model), print)
    if find_spec("jinja2") is None:  # a server has what maps need, and not what pages need
        print("no page is written: it needs the package jinja2; run `pip install 'xlip[search]'`")
        page = Path(config.out)
    else:
        page = write_explanations(result, Path(config.out))
    print_dropped(result["left_out"])
    scale = result["scale"]
    print(f"by {result['how']}; one scale for all: {scale['low']:g} to {scale['high']:g} {scale['unit']}")
    print(f"thresholds: {result['abstention']['chosen_on']}")
    print(f"look at {page}; pictures and arrays in maps/, boxes.csv and explanations.json beside it")


def run_abstain(config: AbstainConfig) -> None:
    """Choose thresholds."""
    from xlip.explain.choosing import choose_rule

    rule, file, left_out = choose_rule(config, open_encoder(config.model))
    print_dropped(left_out)
    record_table(("kind", "threshold"), [*sorted(rule.of_kind.items()), ("other words", rule.threshold)])
    for kind, threshold in sorted(rule.of_kind.items()):
        print(f"{kind} {threshold:.3f}")
    print(f"other words {rule.threshold:.3f}")
    print(f"{rule.chosen_on}; written to {file}")


def run_triage(config: TriageConfig) -> None:
    """Sort films."""
    import sys

    from xlip.pacs.triage import triage
    from xlip.pacs.watch import own_entity, triage_what_comes

    encoder, judge = open_encoder(config.model), triage_what_comes if own_entity(config.source) else triage
    found = judge(
        config, encoder, lambda line: print(line, file=sys.stderr, flush=True), _reference_in(config, encoder)
    )
    print(", ".join(f"{count} {words}" for words, count in found.items()))
    if not config.reference:
        print("no --reference: the distance from the training data was not looked at")
    print(f"worklist: {config.out}; research use only, not for diagnosis")


def _reference_in(config: TriageConfig, encoder: Encoder) -> Reference | None:
    """The reference where it is a search index; None where it is images, or none is named."""
    from pathlib import Path

    if not (Path(config.reference) / "index.json").is_file() or not config.reference:
        return None
    from xlip.explain.reference import reference_in
    from xlip.search.open import open_store

    return reference_in(open_store(config.reference), encoder)

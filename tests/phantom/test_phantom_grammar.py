from __future__ import annotations

import numpy as np

from xlip.phantom import PHANTOM_KINDS
from xlip.phantom.findings import Plan, plan
from xlip.phantom.generate import _plans
from xlip.phantom.sentences import NOUNS, write_report
from xlip.study.kinds import NO_FINDING


def drawn(seed: int, plans: list[Plan] | None = None) -> tuple[list[Plan], str, tuple]:
    rng = np.random.default_rng(seed)
    plans = _plans(rng) if plans is None else plans
    return plans, *write_report(plans, rng)


def test_ten_thousand_reports_hardly_repeat() -> None:
    assert len({drawn(seed)[1] for seed in range(10_000)}) >= 9_900


def test_reports_of_one_finding_differ_in_words() -> None:
    effusion = plan("Effusion", np.random.default_rng(0))
    reports = {drawn(seed, [effusion])[1].lower() for seed in range(200)}
    assert len(reports) >= 190
    assert all(any(noun in report for report in reports) for noun in NOUNS["Effusion"])


def test_a_finding_is_stated_and_never_denied_and_spans_are_exact() -> None:
    for seed in range(500):
        plans, report, entities = drawn(seed)
        present = {item.kind for item in plans}
        said = {entity.kind for entity in entities if entity.assertion in ("present", "uncertain") and entity.kind}
        denied = {entity.kind for entity in entities if entity.assertion == "absent"}
        assert said == present or (not present and said <= {NO_FINDING})
        assert denied <= set(PHANTOM_KINDS) - present
        for entity in entities:
            words = report[entity.start : entity.end]
            assert words == words.strip() != ""
            if entity.kind in present:
                assert words.lower() in NOUNS[entity.kind]


def test_a_report_never_names_the_other_side_of_a_lone_finding() -> None:
    nodule = next(item for seed in range(20) if (item := plan("Nodule", np.random.default_rng(seed))).side == "left")
    for seed in range(200):
        _, report, entities = drawn(seed, [nodule])
        places = {report[e.start : e.end].lower() for e in entities if e.type == "location"}
        assert places & {"left", "left-sided"}
        assert not places & {"right", "right-sided"}


def test_no_template_mark_is_left_in_a_report() -> None:
    for seed in range(500):
        report = drawn(seed)[1]
        assert not set("[]{}|") & set(report)
        assert "  " not in report
        assert ".." not in report

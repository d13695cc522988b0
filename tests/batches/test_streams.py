"""Which studies a stream holds, which of them a step takes, and what of them a batch shows: against plain Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import tiny_processor
from xlip.batches import streams
from xlip.batches.augmentation import Augment
from xlip.batches.streams import STREAMS, BatchSampler
from xlip.batches.study_table import SetConfig, StudyTable
from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.reports import entities
from xlip.reports.entities import kinds_of, tag, with_entities
from xlip.study.attributes import attribute_targets
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.parquet import write_studies
from xlip.study.prompts import load_prompts
from xlip.study.record import Study

KINDS = ("Effusion", "Cardiomegaly", "Pneumothorax", "No_Finding")
REPORTS = (
    "Small left pleural effusion. No pneumothorax.",
    "Possible effusion. The heart is enlarged.",
    "Normal chest.",
    None,
)
LABELS = ({}, {"Effusion": ABSENT, "Cardiomegaly": UNCERTAIN}, {"Pneumothorax": PRESENT})
PROMPTS = load_prompts("xlip")
SETS = ("one", "two")


def made(name: str, number: int) -> Study:
    """Study `number` of a set: every mix of view, report, labels, split and image comes about."""
    rng = np.random.default_rng(number)
    report = REPORTS[number % len(REPORTS)]
    image = encode(rng.integers(0, 255, tuple(rng.integers(20, 40, 2)), dtype=np.uint8), lossless=True)
    return Study(
        f"{name}/{number}",
        f"{name}/p{number}",
        name,
        image=None if report and number % 5 == 0 else image,
        report=report,
        entities=tag(report or ""),
        labels=LABELS[number % len(LABELS)],
        view=("PA", "LATERAL", "AP", "")[number // 4 % 4],
        split=("train", "train", "val")[number // 2 % 3],
        sex=("F", "M", "")[number % 3],
    )


@cache
def studies_of(name: str) -> list[Study]:
    """The studies of a set; made where a test asks, for they take seconds of every worker that collects."""
    return [made(name, number) for number in range(48 + 24 * SETS.index(name))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    for name in SETS:
        write_studies(studies_of(name), root / f"{name}.parquet")
    return root


def fits(study: Study, stream: str) -> bool:
    """Frontal or unknown views alone have an image for training; a text needs none, and a lone image no report."""
    image = study.image is not None and study.view != "LATERAL"
    return {"pairs": image and study.report is not None, "images": image, "texts": study.report is not None}[stream]


def shown(study: Study, stream: str, labels: bool) -> Study:
    """What of a study the stream may see: nothing else is read."""
    if not labels:
        study = study._replace(labels={})
    names = {"report", "entities"} | ({"image", "labels", "view", "sex"} if stream == "pairs" else set())
    if stream == "images":
        names = {"image", "labels", "view", "sex"}
    return Study(study.study_id, "", "")._replace(**{name: getattr(study, name) for name in names})


CONFIGS = st.lists(
    st.builds(
        SetConfig,
        path=st.sampled_from(SETS),
        labels=st.booleans(),
        split=st.sampled_from(["train", "val"]),
        repeat=st.integers(1, 3),
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=40)
@given(configs=CONFIGS, stream=st.sampled_from(STREAMS), excluded=st.sets(st.integers(0, 47), max_size=20))
def test_a_table_holds_what_fits_its_stream_and_shows_what_the_set_allows(
    folder: Path, configs, stream, excluded
) -> None:
    ids = frozenset(f"one/{number}" for number in excluded)
    expected = [
        shown(study, stream, config.labels)
        for config in configs
        for study in studies_of(config.path)
        if fits(study, stream) and study.split == config.split and study.study_id not in ids
        for _ in range(config.repeat)
    ]
    table = StudyTable([replace(one, path=str(folder / f"{one.path}.parquet")) for one in configs], stream, ids)
    assert [table[index] for index in range(len(table))] == expected
    reports = {study.study_id: study.report for study in expected if study.report}
    assert set(table.reports()) == set(reports.values())


def test_known_kinds_are_those_that_a_table_may_show(folder: Path) -> None:
    path = str(folder / "one.parquet")
    tagged = {"Effusion", "Pneumothorax", "Cardiomegaly", "No_Finding"}
    labelled = {"Effusion", "Cardiomegaly", "Pneumothorax"}
    assert StudyTable([SetConfig(path)], "images").known_kinds() == labelled
    assert StudyTable([SetConfig(path, labels=False)], "images").known_kinds() == set()
    assert StudyTable([SetConfig(path, labels=False)], "pairs").known_kinds() == tagged


def test_no_report_is_read_at_a_step_and_in_an_older_file_each_once(
    folder: Path, tmp_path: Path, processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Counter()
    monkeypatch.setattr(entities, "kinds_of", lambda *study: count.update([study]) or kinds_of(*study))
    run = {"mix": {"pairs": 5, "texts": 5}, "ranks": 1, "seed": 0}
    made = {}
    for name in ("new", "old"):
        studies = [study if name == "old" else with_entities(study, study.entities, "") for study in studies_of("one")]
        write_studies([study for study in studies if study.report], tmp_path / f"{name}.parquet")
        if name == "old":
            table = pq.read_table(tmp_path / "old.parquet").drop_columns(["report_kinds"])
            pq.write_table(table, tmp_path / "old.parquet")
        count.clear()
        sets = [SetConfig(str(tmp_path / f"{name}.parquet"))]
        tables = {stream: StudyTable(sets, stream) for stream in ("pairs", "texts")}
        (sampler,) = samplers(run, processor, {**tables, "images": range(0)})
        made[name] = [sampler(step).report_labels.tolist() for step in range(12)]
        assert sum(count.values()) == (len(tables["pairs"]) + len(tables["texts"]) if name == "old" else 0)
    assert made["old"] == made["new"]


def test_what_a_report_does_not_mention_counts_as_its_set_says(folder: Path, processor) -> None:
    sets = [SetConfig(str(folder / "one.parquet")), SetConfig(str(folder / "two.parquet"), unmentioned="absent")]
    tables = {"pairs": StudyTable(sets, "pairs"), "images": range(0), "texts": StudyTable(sets[::-1], "texts")}
    (sampler,) = samplers({"mix": {"pairs": 7, "texts": 7}, "ranks": 1, "seed": 0}, processor, tables)
    silent = spoken = 0
    for step in range(10):
        batch = sampler(step)
        for study, row in zip(batch.report_studies, batch.report_labels.tolist(), strict=True):
            report = REPORTS[int(study.partition("/")[2]) % len(REPORTS)] or ""
            stated = kinds_of(report, tag(report))
            counted = 0 if study.startswith("two/") and stated else -1
            assert row == [stated.get(kind, counted) for kind in KINDS]
            silent += counted == 0
            spoken += bool(stated) and counted == -1
    assert silent
    assert spoken
    with pytest.raises(XLIPError, match="unmentioned: expected unknown or absent, got 'none'"):
        SetConfig("set", unmentioned="none")


def test_a_set_of_which_nothing_fits_is_refused(folder: Path) -> None:
    with pytest.raises(XLIPError, match="no study of split 'test' fits the stream 'pairs'"):
        StudyTable([SetConfig(str(folder / "one.parquet"), split="test")], "pairs")


@st.composite
def runs(draw) -> dict:
    """Sizes of the tables, mix, ranks and seed."""
    return {
        "sizes": {name: draw(st.integers(0, 23)) for name in STREAMS},
        "mix": draw(st.dictionaries(st.sampled_from(STREAMS), st.integers(0, 9))),
        "ranks": draw(st.integers(1, 4)),
        "seed": draw(st.integers(0, 2**40)),
    }


def samplers(run: dict, processor=None, tables=None, augment: Augment | None = None, **options) -> list[BatchSampler]:
    """One for each rank."""
    tables = tables or {name: range(size) for name, size in run["sizes"].items()}
    shared = {"augment": augment, "seed": run["seed"], "ranks": run["ranks"], **options}
    return [
        BatchSampler(tables, run["mix"], processor, PROMPTS, KINDS, rank=rank, **shared) for rank in range(run["ranks"])
    ]


@settings(deadline=None)
@given(run=runs(), steps=st.integers(1, 25))
def test_the_ranks_together_walk_through_one_permutation_an_epoch(run: dict, steps: int) -> None:
    ranks = samplers(run)
    for name in STREAMS:
        size, count = run["sizes"][name], run["mix"].get(name, 0)
        taken = [ranks[rank].indices(name, step) for step in range(steps) for rank in range(run["ranks"])]
        shares = [count * (rank + 1) // len(ranks) - count * rank // len(ranks) for rank in range(len(ranks))]
        assert [len(one) for one in taken] == [share if size else 0 for share in shares] * steps
        walk = [index for one in taken for index in one]
        for first in range(0, len(walk), size or 1):
            epoch = walk[first : first + size]
            assert len(set(epoch)) == len(epoch)
            assert set(epoch) <= set(range(size))


@settings(deadline=None)
@given(run=runs(), steps=st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_a_step_is_the_same_whatever_came_before(run: dict, steps: list[int]) -> None:
    for rank, walked in enumerate(samplers(run)):
        for step in steps:
            fresh = samplers(run)[rank]
            assert all(walked.indices(name, step) == fresh.indices(name, step) for name in STREAMS)
        assert len(walked._orders) <= 4 * len(STREAMS)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**40))
def test_epochs_streams_and_seeds_have_orders_of_their_own(seed: int) -> None:
    run = {"sizes": dict.fromkeys(STREAMS, 30), "mix": dict.fromkeys(STREAMS, 30), "ranks": 1, "seed": seed}
    (sampler,), (other,) = samplers(run), samplers({**run, "seed": seed + 1})
    orders = [one.indices(name, step) for one in (sampler, other) for name in STREAMS for step in range(3)]
    assert len({tuple(order) for order in [*orders, range(30)]}) == len(orders) + 1
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(30))}


@pytest.fixture(scope="module")
def tables(folder: Path) -> dict[str, StudyTable]:
    paths = {name: str(folder / f"{name}.parquet") for name in SETS}
    return {
        "pairs": StudyTable([SetConfig(paths["one"])], "pairs"),
        "images": StudyTable([SetConfig(paths["two"]), SetConfig(paths["one"], labels=False)], "images"),
        "texts": StudyTable([SetConfig(paths["two"])], "texts"),
    }


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


def codes(labels: list[dict[str, int]]) -> list[list[int]]:
    """1 present, 0 absent, 2 uncertain, -1 unknown."""
    return [[row.get(kind, -1) for kind in KINDS] for row in labels]


@settings(deadline=None, max_examples=12)
@given(run=runs(), step=st.integers(0, 40), cache_bytes=st.sampled_from([0, 3 * 64 * 64, 1 << 30]))
def test_a_batch_is_made_of_its_rows(run: dict, step: int, tables, processor, cache_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CACHE_BYTES", cache_bytes)
        sampler = samplers(run, processor, tables, attributes=True)[-1]
        check(sampler, step)
        check(sampler, step)


def test_rows_of_equal_number_in_two_streams_are_kept_apart(tables, processor) -> None:
    run = {"mix": {"pairs": 4, "images": 6, "texts": 2}, "ranks": 1, "seed": 0}
    (sampler,) = samplers(run, processor, tables, attributes=True)
    for step in range(8):
        check(sampler, step)


def check(sampler: BatchSampler, step: int) -> None:
    batch, processor = sampler(step), sampler.processor
    drawn = {name: [sampler.tables[name][index] for index in sampler.indices(name, step)] for name in STREAMS}
    with_image, with_report = drawn["pairs"] + drawn["images"], drawn["pairs"] + drawn["texts"]
    assert batch.pairs == len(drawn["pairs"])
    assert torch.equal(batch.pixels, processor.pixels([study.image for study in with_image]))
    read = [kinds_of(study.report, study.entities) for study in with_report]
    own = [dict(study.labels) for study in with_image]
    expected = [{**read[row], **labels} if row < batch.pairs else labels for row, labels in enumerate(own)]
    assert batch.image_labels.tolist() == codes(expected)
    assert batch.report_labels.tolist() == codes(read)
    texts = [study.report for study in with_report]
    wanted = processor.texts(texts, [study.entities for study in with_report])
    for name in ("ids", "mask", "group", "is_entity"):
        assert torch.equal(getattr(batch.reports, name), getattr(wanted, name))
    same = batch.report_key[:, None] == batch.report_key
    assert same.tolist() == [[one == other for other in texts] for one in texts]
    assert torch.equal(batch.attributes, torch.from_numpy(attribute_targets(with_image)))


def test_draws_are_the_steps_and_the_ranks_own_and_prompts_are_everybodys(folder: Path, processor) -> None:
    ids = [study.study_id for study in studies_of("one") if fits(study, "images") and study.split == "train"]
    alone = StudyTable([SetConfig(str(folder / "one.parquet"))], "images", frozenset(ids[1:]))
    assert len(alone) == 1  # so every row of every step shows the same image
    tables = {**dict.fromkeys(STREAMS, range(0)), "images": alone}
    first, second = samplers({"mix": {"images": 2}, "ranks": 2, "seed": 3}, processor, tables, Augment())
    assert torch.equal(first(0).pixels, first(0).pixels)
    drawn = [pixels for batch in (first(0), second(0), first(1)) for pixels in batch.pixels]
    assert len({float(pixels.sum()) for pixels in drawn}) == len(drawn)
    assert torch.equal(first(5).prompts.ids, second(5).prompts.ids)
    assert len({tuple(first(step).prompts.ids.flatten().tolist()) for step in range(6)}) == 6


def test_prompts_come_kind_by_kind_positive_first(tables, processor) -> None:
    (sampler,) = samplers({"mix": {"texts": 1}, "ranks": 1, "seed": 0}, processor, tables)
    families = [PROMPTS.positive(kind) for kind in KINDS] + [PROMPTS.negative(kind) for kind in KINDS]
    ids = sampler(0).prompts.ids
    assert len(ids) == len(families)
    for row, family in zip(ids.tolist(), families, strict=True):
        known = [processor.texts([text]).ids[0].tolist() for text in family]
        assert any(row[: len(text)] == text and not any(row[len(text) :]) for text in known)

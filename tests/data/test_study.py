"""The Parquet record: entities with links survive, and files of the first schema are still read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from xlip.data.entities import TAGGER, tag
from xlip.data.study import Entity, Study, from_row, read_studies, schema, to_row, write_studies

TEXT = "Small left pleural effusion. No pneumothorax. History of tuberculosis."
STUDY = Study("a/1", "a/p", "a", report=TEXT, labels={"Effusion": 1}, entities=tag(TEXT), tagger=TAGGER)


def test_entities_with_links_survive_the_file(tmp_path: Path) -> None:
    assert STUDY.entities[2].severities == (0,)
    assert STUDY.entities[2].locations == (1,)
    assert STUDY.entities[2].side == "left"
    assert write_studies([STUDY, replace(STUDY, study_id="a/2", entities=(), tagger="")], tmp_path / "s.parquet") == 2
    first, second = read_studies(tmp_path / "s.parquet")
    assert first == STUDY
    assert (second.entities, second.tagger) == ((), "")
    assert pq.read_schema(tmp_path / "s.parquet").metadata[b"xlip_schema"] == b"2"


def test_columns_left_out_stay_empty(tmp_path: Path) -> None:
    write_studies([STUDY], tmp_path / "s.parquet")
    (study,) = read_studies(tmp_path / "s.parquet", columns=["study_id", "tagger"])
    assert (study.study_id, study.tagger, study.report, study.entities) == ("a/1", TAGGER, None, ())


def test_a_file_of_the_first_schema_is_read(tmp_path: Path) -> None:
    old_entity = pa.struct([(n, schema().field("entities").type.value_type.field(n).type) for n in OLD_FIELDS])
    fields = [
        pa.field("entities", pa.list_(old_entity)) if field.name == "entities" else field
        for field in schema()
        if field.name != "tagger"
    ]
    row = {name: value for name, value in to_row(STUDY).items() if name != "tagger"}
    row["entities"] = [{name: item[name] for name in OLD_FIELDS} for item in row["entities"]]
    old = pa.schema(fields, metadata={"xlip_schema": "1"})
    pq.write_table(pa.Table.from_pylist([row], schema=old), tmp_path / "old.parquet")
    for columns in (None, ["study_id", "report", "entities", "tagger"]):
        (study,) = read_studies(tmp_path / "old.parquet", columns=columns)
        plain = tuple(Entity(e.start, e.end, e.type, e.assertion, e.kind) for e in STUDY.entities)
        assert (study.entities, study.tagger, study.report) == (plain, "", TEXT)


def test_a_row_without_the_new_fields_is_a_study() -> None:
    row = to_row(STUDY)
    del row["tagger"]
    assert from_row(row) == replace(STUDY, tagger="")


OLD_FIELDS = ("start", "end", "type", "assertion", "kind")

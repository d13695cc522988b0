"""The Parquet record: entities with links survive, and files of the first schema are still read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xlip.errors import XLIPError
from xlip.reports.entities import TAGGER, tag
from xlip.study.parquet import from_row, read_studies, schema, to_row, write_studies
from xlip.study.record import Box, Entity, Study

TEXT = "Small left pleural effusion. No pneumothorax. History of tuberculosis."
STUDY = Study("a/1", "a/p", "a", report=TEXT, labels={"Effusion": 1}, entities=tag(TEXT), tagger=TAGGER)


def test_entities_with_links_survive_the_file(tmp_path: Path) -> None:
    assert STUDY.entities[2].severities == (0,)
    assert STUDY.entities[2].locations == (1,)
    assert STUDY.entities[2].side == "left"
    assert write_studies([STUDY, STUDY._replace(study_id="a/2", entities=(), tagger="")], tmp_path / "s.parquet") == 2
    first, second = read_studies(tmp_path / "s.parquet")
    assert first == STUDY
    assert (second.entities, second.tagger) == ((), "")
    assert pq.read_schema(tmp_path / "s.parquet").metadata[b"xlip_schema"] == b"3"


def test_every_field_of_a_full_study_survives_the_file(tmp_path: Path) -> None:
    full = STUDY._replace(
        image=b"png", image_path="a.png", view="PA", split="val", sections={"impression": TEXT}, width=80,
        height=60, pixel_spacing=(0.25, 0.5), sex="F", age=50.0, boxes=(Box("Effusion", 0.25, 0.5, 0.125, 0.25),),
        masks={"Effusion": b"mask"}, tags=("one", "two"), report_kinds={"Effusion": 1, "Pneumothorax": 0},
        language="en",
    )  # fmt: skip
    defaults = Study._field_defaults
    assert not [n for n, value in full._asdict().items() if value in ("", 0, None, (), {}, defaults.get(n))]
    write_studies([full], tmp_path / "s.parquet")
    assert list(read_studies(tmp_path / "s.parquet")) == [full]


def test_columns_left_out_stay_empty(tmp_path: Path) -> None:
    write_studies([STUDY], tmp_path / "s.parquet")
    (study,) = read_studies(tmp_path / "s.parquet", columns=["study_id", "tagger"])
    assert (study.study_id, study.tagger, study.report, study.entities) == ("a/1", TAGGER, None, ())


def test_a_file_of_the_first_schema_is_read(tmp_path: Path) -> None:
    """Neither what the tagger added nor what `prepare` added: those come back as their defaults."""
    old_entity = pa.struct([(n, schema().field("entities").type.value_type.field(n).type) for n in OLD_FIELDS])
    fields = [
        pa.field("entities", pa.list_(old_entity)) if field.name == "entities" else field
        for field in schema()
        if field.name in OLD_COLUMNS
    ]
    row = {name: to_row(STUDY)[name] for name in OLD_COLUMNS}
    row["entities"] = [{name: item[name] for name in OLD_FIELDS} for item in row["entities"]]
    old = pa.schema(fields, metadata={"xlip_schema": "1"})
    pq.write_table(pa.Table.from_pylist([row], schema=old), tmp_path / "old.parquet")
    for columns in (None, ["study_id", "report", "entities", "tagger"]):
        (study,) = read_studies(tmp_path / "old.parquet", columns=columns)
        plain = tuple(Entity(e.start, e.end, e.type, e.assertion, e.kind) for e in STUDY.entities)
        assert (study.entities, study.tagger, study.report) == (plain, "", TEXT)
        assert (study.sections, study.boxes, study.width, study.age, study.tags) == ({}, (), 0, None, ())


@pytest.mark.parametrize("name", ["report", "entities"])
def test_a_table_without_a_column_of_the_first_schema_is_refused(tmp_path: Path, name: str) -> None:
    write_studies([STUDY], tmp_path / "s.parquet")
    pq.write_table(pq.read_table(tmp_path / "s.parquet").drop_columns([name]), tmp_path / "less.parquet")
    with pytest.raises(XLIPError, match=rf"lacks the columns \['{name}'\]"):
        list(read_studies(tmp_path / "less.parquet"))


def test_a_row_without_the_new_fields_is_a_study() -> None:
    row = {name: to_row(STUDY)[name] for name in OLD_COLUMNS}
    assert from_row(row) == STUDY._replace(tagger="")


OLD_COLUMNS = ("study_id", "patient_id", "source", "split", "view", "image", "report", "labels", "entities")
OLD_FIELDS = ("start", "end", "type", "assertion", "kind")

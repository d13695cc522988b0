from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.search.where import checked, matching

ROWS = [
    {"view": "PA", "age": 70.0, "Sex At Birth": "F", "row": 3},
    {"view": "AP", "age": 20.0, "Sex At Birth": None, "row": 1},
    {"view": None, "age": None, "Sex At Birth": "M", "row": 2},
    {"view": "PA", "age": 45.5, "Sex At Birth": "M", "row": 9},
]
TABLE = pa.Table.from_pylist(ROWS)


def rows(text: str) -> list[int]:
    return matching(checked(text, TABLE.column_names), TABLE).nonzero()[0].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("view = 'PA' and age > 60", [0]),
        ("VIEW = 'PA' or Age < 30", [0, 1, 3]),
        ("not (view = 'PA')", [1]),
        ("view is null", [2]),
        ("view in ('PA', 'LATERAL') and age between 40 and 50", [3]),
        ("\"Sex At Birth\" = 'M'", [2, 3]),
        ("lower(view) like 'p%'", [0, 3]),
        ("view ilike '%p'", [1]),
        ("age + 10 >= 80", [0]),
        ("coalesce(age, 0) = 0", [2]),
        ("case when view = 'PA' then age > 50 else true end", [0, 1, 2]),
        ("row > 2", [0, 3]),
        ("true", [0, 1, 2, 3]),
        ("view = 'PA' -- and age > 60", [0, 3]),
    ],
)
def test_a_filter_keeps_the_rows_that_it_says(text: str, expected: list[int]) -> None:
    assert rows(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "view = 'PA'; drop table rows",
        "1=1) union select 1 from rows --",
        "(select count(*) from rows) > 0",
        "exists (select 1)",
        "age in (select 1)",
        "age = any(select 1)",
        "view = (select content from read_text('/etc/passwd'))",
        "read_text('/etc/passwd') is not null",
        "getenv('HOME') = 'x'",
        "current_setting('memory_limit') = 'x'",
        "nextval('x') = 1",
        "sum(age) > 3",
        "row_number() over () < 3",
        "age > 60 limit 1",
        "age > 60) order by (age",
        "age > 60 order by age",
        "age > 60) group by (age",
        "age > 60 qualify true",
        "repeat('x', 1000000000) = ''",
        "list_transform([1], x -> x) is null",
        "* is null",
        "columns('a.*') > 3",
        "age > ?",
        "age > $1",
        "pragma_version() = 1",
        "view = 'PA",
        "copy rows to '/tmp/x'",
        "attach 'x.db'",
        "age > 1" + " or age > 1" * 1000,
        "view = '\udce4'",
        "not " * 500 + "true",
        "view > 3 and view + 1 > 'x'",
    ],
)
def test_anything_but_a_condition_over_the_row_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(XLIPError) as caught:
        rows(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--where")


def test_an_unknown_column_is_named_with_those_that_there_are() -> None:
    with pytest.raises(XLIPError, match="no column 'sex'; its columns are view, age, Sex At Birth, row"):
        rows("sex = 'F'")
    with pytest.raises(XLIPError, match=r"no column 'rows\.age'"):
        rows("rows.age > 3")


@given(st.text(max_size=60))
def test_no_text_does_more_than_raise_its_error(text: str) -> None:
    try:
        found = rows(text)
    except XLIPError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert set(found) <= set(range(len(ROWS)))

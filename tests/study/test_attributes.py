from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.study.attributes import attribute_columns, attribute_families, attribute_targets, attributes
from xlip.study.record import Study


def study(**known: object) -> Study:
    return Study("s", "p", "x")._replace(**known)


def test_every_attribute_is_a_field_of_a_study_and_every_value_has_texts_of_its_own() -> None:
    families = attribute_families()
    assert [one.name for one in attributes()] == ["sex", "view", "age"]
    assert all(one.name in Study._fields and len(one.values) == len(one.texts) for one in attributes())
    assert all(families)
    assert len({text for texts in families for text in texts}) == sum(len(texts) for texts in families)


def test_the_columns_follow_each_other_and_cover_all_families() -> None:
    covered = [column for columns in attribute_columns() for column in range(columns.start, columns.stop)]
    assert covered == list(range(len(attribute_families())))


@given(st.sampled_from(["", "F", "M"]), st.sampled_from(["", "PA", "AP"]), st.none() | st.floats(0, 120))
def test_a_target_sums_to_one_where_the_header_says_something_and_to_zero_elsewhere(sex, view, age) -> None:
    (target,) = attribute_targets([study(sex=sex, view=view, age=age)])
    sums = [float(target[columns].sum()) for columns in attribute_columns()]
    assert sums == pytest.approx([float(bool(sex)), float(bool(view)), float(age is not None)], abs=1e-6)
    assert (target >= 0).all()


def test_named_values_are_one_and_an_age_is_a_normal_density_on_the_points() -> None:
    sex, view, age = (columns for columns in attribute_columns())
    (target,) = attribute_targets([study(sex="M", view="PA", age=56.0)])
    points, spread = np.array(attributes()[2].values), attributes()[2].spread
    density = [np.exp(-((point - 56.0) ** 2) / (2 * spread**2)) for point in points]
    assert target[sex].tolist() == [float(value == "M") for value in attributes()[0].values]
    assert target[view].tolist() == [float(value == "PA") for value in attributes()[1].values]
    assert target[age] == pytest.approx(np.array(density) / np.sum(density), abs=1e-6)
    assert points[target[age].argmax()] == 60


def test_a_view_that_has_no_text_is_unknown_and_no_study_makes_no_row() -> None:
    assert not attribute_targets([study(view="LATERAL")]).any()
    assert attribute_targets([]).shape == (0, len(attribute_families()))

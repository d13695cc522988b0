"""Options of a training as a mapping: read as the command line reads them, each mapping by itself."""

from __future__ import annotations

from copy import deepcopy

import pytest

from xlip.errors import XLIPError
from xlip.objectives.registry import OBJECTIVE_DEFAULTS
from xlip.train.options import config_of


def test_what_one_mapping_says_is_not_left_in_the_next() -> None:
    full = {
        "out": "a",
        "seed": 3,
        "data": {"pairs": [{"path": "x", "repeat": 2}], "mix": {"pairs": 2}},
        "model": {"width": 96},
        "objectives": {"contrastive": {"weight": 0.5}},
        "optim": {"lr": 0.5},
    }
    before = deepcopy(full)
    first, plain, again = config_of(full), config_of({"out": "b"}), config_of(full)
    assert full == before
    assert first == again
    assert (first.seed, first.model.width, first.optim.lr, first.data.pairs[0].repeat) == (3, 96, 0.5, 2)
    assert plain.seed != 3
    assert plain.model.width != 96
    assert plain.optim.lr != 0.5
    assert plain.data.pairs == []
    assert plain.objectives == OBJECTIVE_DEFAULTS
    assert first.data is not again.data


@pytest.mark.parametrize(
    ("options", "said"),
    [({"out": "a", "stepps": 1}, "stepps"), ({"out": "a", "steps": "many"}, "steps"), ({}, "out")],
)
def test_a_wrong_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(XLIPError, match=rf"{said}.*see `xlip pretrain --help`"):
        config_of(options)

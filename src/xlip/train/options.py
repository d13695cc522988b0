"""From a mapping of options, as YAML holds it, to the config of a training."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from xlip.errors import XLIPError
from xlip.options import check_groups
from xlip.train.config import PretrainConfig


def config_of(options: Mapping[str, Any]) -> PretrainConfig:
    """What `xlip pretrain` would make of options; the mapping stays as it is.

    Raises:
        XLIPError: an unknown option, or a value of another type.
    """
    import jsonargparse

    check_groups(options, PretrainConfig)
    parser = _parser()
    try:
        # A copy: the parser puts its own objects into the lists that it is given.
        parsed = parser.parse_object({"run": deepcopy(dict(options))})
        made: PretrainConfig = parser.instantiate(parsed).run
    except (jsonargparse.ArgumentError, KeyError, TypeError, ValueError) as error:
        raise XLIPError(f"{' '.join(str(error).split())}; see `xlip pretrain --help`") from error
    return made


@cache
def _parser() -> Any:
    """Made once: reading signatures and docstrings takes longer than reading the options of a run."""
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(PretrainConfig, "run")
    return parser

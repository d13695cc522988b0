"""`AutoConfig`, `AutoModel` and `AutoProcessor` of `transformers` know XLIP once `xlip` is imported.

Neither torch nor `transformers` is imported for it: their tables hold names, whose modules are imported when a name is
asked for, and get ours as they load.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

AUTO = "transformers.models.auto"
TABLES = {
    f"{AUTO}.modeling_auto": ("MODEL_MAPPING", "XLIPModel"),
    f"{AUTO}.processing_auto": ("PROCESSOR_MAPPING", "XLIPProcessor"),
}
"""The modules that define `AutoModel` and `AutoProcessor`: the table in each, and what it shall name."""


def register_when_needed() -> None:
    """Register now where `transformers` has its tables already, else as they load."""
    # Where `transformers` looks for a class of the model type xlip: our package, which loads its names lazily too.
    sys.modules["transformers.models.xlip"] = sys.modules["xlip"]
    for name in TABLES:
        if name in sys.modules:
            _register(name)
    sys.meta_path.insert(0, _Watch())


class _Watch(MetaPathFinder):
    """Lets the usual importers find the tables, and registers after they have loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in TABLES:
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((one for one in found if one is not None), None)
        loader: Any = spec.loader if spec else None
        if loader is not None:
            execute = loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                _register(fullname)

            loader.exec_module = execute_and_register
        return spec


def _register(name: str) -> None:
    mapping, cls = TABLES[name]
    # Parts of `transformers` that it does not promise; without them its auto classes do not know us, that is all.
    with suppress(AttributeError, KeyError):
        table = getattr(sys.modules[name], mapping)
        table._reverse_config_mapping["XLIPConfig"] = "xlip"
        table._model_mapping["xlip"] = cls
        sys.modules[f"{AUTO}.configuration_auto"].CONFIG_MAPPING._mapping["xlip"] = "XLIPConfig"

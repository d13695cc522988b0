"""Names of other projects that our pages link to, as inventories that Sphinx reads without a network.

`others.yaml` lists the names that our annotations use. Sphinx would otherwise fetch an inventory of megabytes from each
project at every build, and a build without a network would differ from one with it.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import yaml

HERE = Path(__file__).parent


def write_inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """Write `PROJECT.inv` (Sphinx inventory, version 2) into `folder`; returns Sphinx's `intersphinx_mapping`."""
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, facts in yaml.safe_load((HERE / "others.yaml").read_text("utf-8")).items():
        head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: stable\n"
        head += "# The remainder of this file is compressed using zlib.\n"
        lines = [
            f"{name} py:{role} 1 {page} -\n" for role, names in facts["names"].items() for name, page in names.items()
        ]
        file = folder / f"{project}.inv"
        file.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))
        mapping[project] = (facts["url"], str(file))
    return mapping

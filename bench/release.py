"""Check what is to be released: `--dist dist` its files, `--tag v1.2.3` that everything names the same version."""

from __future__ import annotations

import argparse
import re
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import yaml

from facts import ROOT

LARGEST_WHEEL = 12_000_000
"""Bytes, with the checkpoint of the phantom; everything else in it is below 3 MB."""
LARGEST_REST = 3_000_000
NEEDED = ("xlip/py.typed", "xlip/shipped/phantom/model.safetensors", "xlip/shipped/phantom/README.md",
          "xlip/serve/static/", "xlip/study/prompts.yaml")  # fmt: skip


def version() -> str:
    """Of the one place where it stands."""
    found = re.search(r'(?m)^__version__ = "([^"]+)"$', (ROOT / "src" / "xlip" / "__init__.py").read_text("utf-8"))
    if found is None:
        raise SystemExit('src/xlip/__init__.py: expected a line __version__ = "..."')
    return found.group(1)


def check_versions(tag: str) -> None:
    cited = str(yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"])
    for name, found in (("the tag", tag.removeprefix("v")), ("CITATION.cff", cited)):
        if found != version():
            raise SystemExit(f"{name}: expected version {version()}, got {found}")
    if f"\n## {version()} (" not in (ROOT / "CHANGELOG.md").read_text("utf-8"):
        raise SystemExit(f"CHANGELOG.md: expected a section '## {version()} (DATE)'")


def check_dist(folder: Path) -> None:
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        rest = sum(one.compress_size for one in archive.infolist() if "/shipped/phantom/" not in one.filename)
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = str(message_from_bytes(archive.read(metadata))["Version"])
    missing = [need for need in NEEDED if not any(name.startswith(need) for name in names)]
    if missing:
        raise SystemExit(f"{wheel.name}: lacks {', '.join(missing)}")
    if said != version():
        raise SystemExit(f"{wheel.name}: expected version {version()}, got {said}; remove build/ and *.egg-info")
    if wheel.stat().st_size > LARGEST_WHEEL or rest > LARGEST_REST:
        raise SystemExit(
            f"{wheel.name}: {wheel.stat().st_size:,} bytes, {rest:,} of them without the checkpoint; expected at most "
            f"{LARGEST_WHEEL:,} and {LARGEST_REST:,}"
        )
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    if lacking := {"pyproject.toml", "README.md", "LICENSE", "src/xlip/py.typed"} - held:
        raise SystemExit(f"{sdist.name}: lacks {', '.join(sorted(lacking))}")
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, {rest:,} without the checkpoint; "
          f"{sdist.name}: {sdist.stat().st_size:,} bytes")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path)
    parser.add_argument("--tag")
    options = parser.parse_args()
    if options.dist:
        check_dist(options.dist)
    if options.tag:
        check_versions(options.tag)


if __name__ == "__main__":
    main()

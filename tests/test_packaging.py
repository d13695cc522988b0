"""What a release ships and says of itself: metadata, files, versions, targets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import xlip

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
HOLES = {
    "duckdb": "1.4.2",
    "h11": "0.16",
    "jinja2": "3.1.6",
    "onnx": "1.23",
    "pillow": "12.3",
    "pydicom": "3.0.2",
    "python-multipart": "0.0.30",
    "ray": "2.54",
    "starlette": "1.3.1",
    "transformers": "5.5",
}
"""Package -> the first version without a published hole (docs/reference/support.md says which)."""


def requirements() -> list[Requirement]:
    lines = [*PROJECT["project"]["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    return [Requirement(line) for line in lines]


def test_the_version_stands_in_one_place_and_all_else_agrees() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "xlip.__version__"}
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == xlip.__version__
    headings = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert headings[0] == "Unreleased"
    assert headings[1].startswith(f"{xlip.__version__} (")
    tag = [sys.executable, "bench/release.py", "--tag"]
    assert subprocess.run([*tag, f"v{xlip.__version__}"], cwd=ROOT, check=False).returncode == 0
    wrong = subprocess.run([*tag, "v9.9.9"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert wrong.returncode != 0
    assert "expected version" in wrong.stderr


def test_the_citation_is_valid() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    schema = json.loads((ROOT / "tests" / "citation_schema.json").read_text("utf-8"))
    jsonschema.validate(cited, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cited, "authors": []}, schema)


def test_no_lower_bound_has_a_published_hole_and_every_requirement_has_one() -> None:
    for one in requirements():
        if one.name == "xlip":
            continue
        lows = [part.version for part in one.specifier if part.operator == ">="]
        assert lows or one.name in ("pandas-stubs", "types-PyYAML", "types-openpyxl"), one
        if one.name.lower() in HOLES:
            assert Version(lows[0]) >= Version(HOLES[one.name.lower()]), one


def test_the_named_extras_are_there_and_what_default_tests_need_is_in_dev() -> None:
    named = {"serve", "search", "onnx", "pacs", "ray", "lora", "radgraph", "docs", "dev", "train", "data"}
    assert named <= set(EXTRAS)
    dev = {Requirement(line).name for line in EXTRAS["dev"]}
    assert {"pytest", "jsonschema", "mlcroissant", "packaging", "psutil"} <= dev


def test_the_lowest_versions_are_those_of_the_project() -> None:
    done = subprocess.run(
        [sys.executable, "bench/lowest.py", "--print"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    pins = dict(line.split("==") for line in done.stdout.split())
    assert pins["numpy"] == "2.1"
    assert Version(pins["transformers"]) >= Version("5.5")
    assert {"torch", "pyarrow", "fastapi", "peft"} <= set(pins)


def test_the_files_of_a_first_rate_project_are_there_and_parse() -> None:
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", "src/xlip/py.typed", "LICENSE"):
        assert (ROOT / name).is_file(), name
    for file in (ROOT / ".github").rglob("*.yml"):
        assert yaml.safe_load(file.read_text("utf-8")), file
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["steps"][-1]["with"] == {"attestations": True}
    assert "password" not in (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8").replace(
        "no\n# password", ""
    )
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert {hook["id"] for hook in hooks["repos"][0]["hooks"]} >= {"ruff", "ruff-format", "mypy"}


def test_the_makefile_explains_every_target() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    told = set(re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE))
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    assert targets <= told, targets - told


def test_the_support_policy_names_what_the_metadata_say() -> None:
    page = (ROOT / "docs" / "reference" / "support.md").read_text("utf-8")
    said = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if "Python :: 3." in line]
    assert said == ["3.11", "3.12", "3.13", "3.14"]
    assert all(version in page for version in said)
    for name, version in HOLES.items():
        assert f"| {name} | {version} |" in page


@pytest.mark.slow
def test_wheel_and_sdist_build_and_hold_what_they_need(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)], check=True, capture_output=True
    )
    subprocess.run([sys.executable, "bench/release.py", "--dist", str(tmp_path)], cwd=ROOT, check=True)

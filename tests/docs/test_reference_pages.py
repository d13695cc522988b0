"""The reference is whole: every command, option, setting, kind and module has its place, and says what it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import xlip
from doc_blocks import DOCS, ROOT
from xlip.cli import COMMANDS
from xlip.study.kinds import kinds
from xlip.study.prompts import load_prompts


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[ModuleType, ModuleType, dict[str, str]]]:
    """(fields of dataclasses, pages, the text of every page)."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(DOCS / "_extensions"))
    import dataclass_fields
    import reference_pages

    yield dataclass_fields, reference_pages, reference_pages.pages()
    patch.undo()
    for name in ("dataclass_fields", "reference_pages"):
        sys.modules.pop(name, None)


def test_every_setting_says_what_it_is(made: tuple[ModuleType, ModuleType, dict[str, str]]) -> None:
    fields, _, pages = made
    found = {cls: fields.described(cls) for cls in fields.configs()}
    assert [f"{cls.__name__}.{item.name}" for cls, items in found.items() for item in items if not item.says] == []
    for cls, items in found.items():
        section = pages["config.md"].split(f"## {cls.__name__}\n")[1].split("\n## ")[0]
        for item in items:
            assert f"| `{item.name}` |" in section, (cls, item.name)


def test_every_command_has_its_options(made: tuple[ModuleType, ModuleType, dict[str, str]]) -> None:
    page = made[2]["cli.md"]
    for name in COMMANDS:
        assert f"\n## xlip {name}\n" in page
    section = page.split("## xlip prepare\n")[1].split("\n## ")[0]
    for option in ("--root", "--holdout", "--short_side"):
        assert f"`{option}`" in section


def test_every_kind_and_prompt_set_has_its_row(made: tuple[ModuleType, ModuleType, dict[str, str]]) -> None:
    pages = made[2]
    for kind in kinds().values():
        assert f"| `{kind.id}` | {kind.name} |" in pages["kinds.md"]
    for name in re.findall(r"^## (\w+)\n\nVersion", pages["prompts.md"], re.MULTILINE):
        assert f"`{load_prompts(name).identifier}`" in pages["prompts.md"]


def test_every_module_has_its_place(made: tuple[ModuleType, ModuleType, dict[str, str]]) -> None:
    _, reference, pages = made
    listed = {
        module
        for name, text in pages.items()
        if name.startswith("api/")
        for module in re.findall(r"automodule:: (\S+)", text)
    }
    root = Path(xlip.__file__).parent
    for file in root.rglob("*.py"):
        parts = file.relative_to(root.parent).with_suffix("").parts
        if parts[-1] not in ("__init__", "__main__") and parts[1] not in reference.SKIPPED:
            assert ".".join(parts) in listed, file


def test_a_field_is_read_with_its_docstring_default_and_type(
    made: tuple[ModuleType, ModuleType, dict[str, str]],
) -> None:
    fields = made[0]
    (one, two) = fields.described(Sample)
    assert (one.name, one.type, one.default, one.says) == ("count", "int | None", "3", "How many.")
    assert (two.name, two.default, two.says) == ("names", "''", "")


@dataclass
class Sample:
    """For the test above."""

    count: int | None = 3
    """How
    many."""
    names: str = ""


def test_every_page_of_the_documentation_that_the_source_names_is_there() -> None:
    """`docs/howto/serve.md` in a docstring, a comment or an error leads somewhere."""
    places = [ROOT / name for name in ("src", "bench", "configs", "tests", "README.md", "CONTRIBUTING.md")]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
    for file in files:
        if file.suffix in (".py", ".yaml", ".md", ".html", "") and file.is_file() and "__pycache__" not in file.parts:
            for name in re.findall(r"\bdocs/[\w/]+\.(?:md|json|svg|webp)\b", file.read_text("utf-8", errors="ignore")):
                assert (ROOT / name).is_file() or file.parent.name == "bench", f"{file}: {name}"


def test_every_test_that_a_page_names_is_there() -> None:
    for file in DOCS.rglob("*.md"):
        if "log" not in file.parts and file.name not in ("log.md", "mutants.md"):
            for name in re.findall(r"`(tests/[\w/]+\.(?:py|txt))`", file.read_text("utf-8")):
                assert (ROOT / name).is_file(), f"{file}: {name}"


def test_no_page_cites_what_is_not_in_the_repository() -> None:
    for file in [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.yaml"), *DOCS.rglob("*.md")]:
        assert not re.search(r"\b(DESIGN|PROTOCOLS) \d|\((DESIGN|PROTOCOLS)\)", file.read_text("utf-8")), file


IDIOMS = re.compile(
    r"whisper|gives? (nobody|no one|itself) away|\bin earnest\b|\bpraises?\b|\bthe doors\b|"
    r"\bswallow(s|ed)? (the|a|what)\b|\bnobody's business\b"
)


def test_prose_has_no_idioms_of_the_house() -> None:
    """Those that readers stumbled over; the log, which quotes what was tried, is left out."""
    files = [
        *(ROOT / "src").rglob("*.py"),
        *DOCS.rglob("*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "Makefile",
    ]
    found = [
        f"{file}: {match[0]}"
        for file in files
        if "log" not in file.parts and file.stem != "log"
        for match in IDIOMS.finditer(file.read_text("utf-8"))
    ]
    assert found == []

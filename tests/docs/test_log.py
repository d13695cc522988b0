"""The log is moved to its topics whole: no line is lost, the newest section stands first, links lead where they led."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from doc_blocks import DOCS, ROOT

OLD = """# Log

## The tagger

First. See [figures](data/tag.json).

## Serving

Second.

## The tagger, again

Third: [page](https://example.org).
"""


def test_sections_go_to_their_topics_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = runpy.run_path(str(ROOT / "bench" / "log_topics.py"))
    monkeypatch.setitem(script["main"].__globals__, "DOCS", tmp_path)
    (tmp_path / "log.md").write_text(OLD, "utf-8")
    script["main"]()
    reports = (tmp_path / "log/reports.md").read_text("utf-8")
    assert reports.index("Third") < reports.index("First")
    assert "](../data/tag.json)" in reports
    assert "](https://example.org)" in reports
    assert "Second." in (tmp_path / "log/use.md").read_text("utf-8")
    index = (tmp_path / "log.md").read_text("utf-8")
    assert "log/reports\n" in index
    (tmp_path / "log.md").write_text(f"{index}\n## The tagger, later\n\nFourth.\n", "utf-8")
    script["main"]()
    again = (tmp_path / "log/reports.md").read_text("utf-8")
    assert again.index("Fourth") < again.index("Third") < again.index("First")
    assert again.count("../data/tag.json") == 1


def test_the_log_says_where_its_topics_are() -> None:
    for page in (DOCS / "log").glob("*.md"):
        assert f"log/{page.stem}\n" in (DOCS / "log.md").read_text("utf-8")

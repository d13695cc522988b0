from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluations import KINDS, result
from xlip.pages.page import Page, figure_text
from xlip.pages.write import add_pages

CHROMIUM = Path("/usr/bin/chromium")
VOID = {"meta", "link", "img"}


class Balance(HTMLParser):
    """Fails on a tag that is closed in the wrong order; keeps what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return add_pages(result(), tmp_path)[0]


def test_the_page_is_well_formed_and_loads_nothing_from_elsewhere(page: Path) -> None:
    parser = Balance()
    parser.feed(page.read_text("utf-8"))
    assert parser.open == []
    assert parser.count["tr"] > len(KINDS)
    assert parser.count["img"] == 8
    assert all(address.startswith(("data:", "#")) for address in parser.loaded)


def test_the_page_says_what_it_is_not_what_was_left_out_and_what_was_dropped(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "not a medical device" in text
    assert re.search(r"fewer than 10 positives or negatives: Hernia\.", text)
    assert re.search(r"1 images? could not be read", text)
    assert "the file is &lt;b&gt;damaged&lt;/b&gt;" in text
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower()


def test_words_of_the_data_cannot_become_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    Page(evil).text(evil).heading(evil).table((evil,), [(evil,)]).figure(b"", evil).write(tmp_path / "a.html")
    assert "<script" not in (tmp_path / "a.html").read_text("utf-8")


@pytest.mark.parametrize(("value", "text"), [(0.12345, "0.123"), (1, "1.000"), (float("nan"), "-")])
def test_figures_have_three_decimals_or_a_dash(value: float, text: str) -> None:
    assert figure_text(value) == text


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
def test_the_page_opens_in_a_browser(page: Path) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "<h1>Zero-shot classification on set/test</h1>" in done.stdout

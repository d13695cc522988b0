"""The site builds without a warning; its notebooks run on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from doc_blocks import DOCS

pytest.importorskip("sphinx", reason="needs the extra [docs]")
pytest.importorskip("myst_nb", reason="needs the extra [docs]")


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees"), str(DOCS), str(tmp_path / "site")]
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "<img" in (tmp_path / "site/concepts/response.html").read_text("utf-8")
    assert "XLIPModel" in (tmp_path / "site/reference/generated/api/models.html").read_text("utf-8")

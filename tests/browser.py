"""Pages in headless Chromium: what a reader would see, by way of the command line alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium on the path; `make system` installs it as root")
# Reads the page after everything has loaded and leaves what it found in the document, which --dump-dom prints.
PROBE = """<script>
addEventListener('load', () => {
  const all = selector => [...document.querySelectorAll(selector)];
  const found = {
    widths: all('img').map(image => image.naturalWidth),
    unnamed: all('img').filter(image => !image.hasAttribute('alt')).length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    broken: all('a[href^="#"]').filter(link => !document.getElementById(link.getAttribute('href').slice(1))).length,
    text: document.body.innerText};
  const note = document.createElement('pre');
  note.id = 'probe';
  note.textContent = JSON.stringify(found);
  document.body.append(note);
});
</script>"""


@dataclass(frozen=True)
class Seen:
    """What a browser found on a page."""

    widths: list[int]
    """Of every picture as decoded; 0 = it could not be shown."""
    unnamed: int
    """Pictures without an alternative text."""
    overflow: int
    """Pixels by which the page is wider than the window."""
    broken: int
    """Links into the page that lead nowhere."""
    text: str
    console: list[str]
    """What the browser's console says: errors, warnings, failed requests."""


def look(page: Path, folder: Path, width: int = 1100) -> Seen:
    """Open a page; the probe goes into a copy beside it, so that relative pictures are found."""
    copy = page.with_name(f"probed-{page.name}")
    copy.write_text(page.read_text("utf-8") + PROBE, "utf-8")
    try:
        output, errors = _run(copy, folder, width)
    finally:
        copy.unlink()
    found = re.search(r'<pre id="probe">(.*?)</pre>', output, re.DOTALL)
    assert found, errors[-2000:]
    console = [line for line in errors.splitlines() if ":CONSOLE" in line]
    return Seen(**json.loads(unescape(found.group(1))), console=console)


def _run(page: Path, folder: Path, width: int) -> tuple[str, str]:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    options += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1000", "--virtual-time-budget=20000"]
    command = [CHROMIUM, *options, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr

"""The code blocks of the documentation, and how a test runs the blocks of a page one after another.

What a block needs is said in a comment before it, which no reader sees: `<!-- test: WORD, KEY=VALUE -->`.

| word | what a test does |
|---|---|
| (none) | runs every command in this process, every line of Python in one namespace of the page |
| `slow` | the same, among the slow tests; by default commands are parsed and Python is compiled |
| `parse` | parses commands and compiles Python: what runs would take hours, or never ends |
| `syntax` | asks bash whether it understands the block; of other languages nothing: it talks to other programs |
| `root` | parses from the root of the repository, where `configs/` is |
| `exit=1` | expects this exit code of the block's last command |
| `file=NAME` | writes the block to this file of the page's folder |
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from xlip import cli
from xlip.cli.parse import parse

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SHELL = ("sh", "bash")
WITHOUT_CODE = ("text", "nginx")
FENCE = re.compile(
    r"(?:^<!-- test: (?P<words>[^\n]*?) -->\n+)?^```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S
)
TINY = (
    "{image_size: 64, width: 32, depth: 1, heads: 2, text_width: 32, text_depth: 1, text_heads: 2, embed_dim: 16, "
    "decoder_width: 32, decoder_layers: 1, decoder_heads: 2, vocab_size: 400, max_tokens: 48}"
)
FAST = {
    "prepare": ["--workers", "0"],
    "audit": ["--workers", "0"],
    "embed": ["--workers", "0"],
    "pretrain": ["--steps", "2", "--workers", "0", "--data.mix", "{pairs: 4, images: 4, texts: 4}"],
    "zeroshot": ["--replicates", "10"],
    "evaluate": ["--replicates", "10"],
    "compare": ["--replicates", "10"],
    "finetune": ["--replicates", "10", "--recipe.most_steps", "2", "--recipe.least_steps", "1"],
    "ablate": ["--quick"],
}
"""What is added to a command so that it takes seconds."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    words: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        """Lines of a shell block, continued ones as one, without comments."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def pages() -> list[str]:
    """Every page with its place below `docs/`; generated ones, measurements and the log are left out."""
    left_out = ("reference/generated/", "log", "measurements/")
    found = (file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md"))
    return sorted(page for page in found if not page.startswith(left_out))


def blocks(page: str) -> list[Block]:
    """The blocks of a page in their order; directives of the site (`{toctree}`) are none, cells of notebooks are."""
    text = (DOCS / page).read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        cell = match["language"].startswith("{code-cell}")
        if cell or not match["language"].startswith("{"):
            words = dict([*word.strip().split("=", 1), ""][:2] for word in (match["words"] or "").split(",") if word)
            line = text.count("\n", 0, match.start("language")) + 1
            text_ = re.sub(r"^:tags:.*\n", "", match["text"]) if cell else match["text"]
            found.append(Block(page, line, "python" if cell else match["language"], text_, words))
    return found


def check(block: Block) -> None:
    """What can be known of a block without running it, in the folder of its page."""
    if "root" in block.words:
        with chdir(ROOT):
            check(replace(block, words={}))
        return
    if block.language in SHELL:
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
        assert done.returncode == 0, (block, done.stderr)
        if "syntax" not in block.words:
            for words in (shlex.split(line, comments=True) for line in block.commands):
                if words and words[0] == "xlip":
                    parse(words[1:])
    elif block.language == "python":
        compile(block.text, f"{block.page}:{block.line}", "exec")
    elif block.language in ("yaml", "json"):
        (yaml.safe_load if block.language == "yaml" else json.loads)(block.text)
    else:
        assert block.language in WITHOUT_CODE, f"{block.page}:{block.line}: a block names its language"


def run(block: Block, names: dict[str, Any], *, slow: bool) -> None:
    """Run a block in the current folder; `names` is the Python namespace of its page."""
    if "file" in block.words:
        Path(block.words["file"]).write_text(block.text, "utf-8")
    elif {"parse", "syntax", "root"} & set(block.words) or ("slow" in block.words and not slow):
        check(block)
    elif block.language == "python":
        exec(compile(block.text, f"{block.page}:{block.line}", "exec"), names)
    elif block.language in SHELL:
        *first, last = block.commands
        for line in first:
            assert _command(line) == 0, f"{block.page}:{block.line}: {line}"
        assert _command(last) == int(block.words.get("exit", 0)), f"{block.page}:{block.line}: {last}"
    else:
        check(block)


def _command(line: str) -> int:
    words = shlex.split(line, comments=True)
    if words[0] == "xlip":
        small = ["--model", TINY] if words[1] == "pretrain" and "checkpoint" not in _config_of(words) else []
        return cli.main([*words[1:], *FAST.get(words[1], []), *small])
    return subprocess.run(["bash", "-euo", "pipefail", "-c", line]).returncode


def _config_of(words: list[str]) -> str:
    """The text of the file that a command takes its options from."""
    return Path(words[words.index("--config") + 1]).read_text("utf-8") if "--config" in words else ""

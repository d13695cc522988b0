"""Cut docs/log.md by topic: `python bench/log_topics.py` moves its sections to docs/log/TOPIC.md, the newest first.

docs/log.md becomes the list of them. Whoever tries something appends a section to docs/log.md and runs this again: the
section goes to the top of its topic. Text is moved, never changed, but for the paths of its links.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = "# Log: what was tried, with figures\n"
LEAD = """What helped, what did not, and by how much: one page for each topic, the newest sections first. Sections below
the list have not been moved to their topic yet (`python bench/log_topics.py`).
"""
TOPICS = {
    "finetuning": ("Fine-tuning", r"fine-tun"),
    "reports": ("Reports and the tagger", r"tagger|reports of one"),
    "use": ("Using a model: maps, search, serving, PACS, export", r"maps|films|pacs|serving|search|export|triage|abst"),
    "data": ("Data: preparing, auditing, layouts", r"data prep|audit|tables|layout|archive|preparing|picture|quality"),
    "method": (
        "The method: what text and image do for each other",
        r"interaction|demo|denial|real radiograph|real |method",
    ),
    "evaluation": ("Evaluation: metrics, evaluators, pages", r"metric|evaluat|zero-shot|pages|leader"),
    "engine": ("Training: batches, processes, checkpoints", r"batch|process|step|checkpoint|engine|speed|precision"),
    "project": ("The project: packaging, tests, documentation", r""),
}
"""File -> title, and what the title of a section of this topic holds; the first that fits."""


def topic_of(title: str) -> str:
    return next(name for name, (_, pattern) in TOPICS.items() if re.search(pattern, title, re.IGNORECASE))


def moved(text: str) -> str:
    """A section one folder further down: relative links gain `../`."""
    return re.sub(r"\]\((?!https?:|#|\.\./)([^)]+)\)", r"](../\1)", text)


def sections(text: str) -> list[str]:
    """Sections with their headings, in order."""
    return [part.rstrip() + "\n" for part in re.split(r"^(?=## )", text, flags=re.MULTILINE) if part.startswith("## ")]


def main() -> None:
    folder = DOCS / "log"
    folder.mkdir(exist_ok=True)
    found: dict[str, list[str]] = {name: [] for name in TOPICS}
    for section in reversed(sections((DOCS / "log.md").read_text("utf-8"))):
        found[topic_of(section.partition("\n")[0])].append(moved(section))
    listed = []
    for name, (title, _) in TOPICS.items():
        file = folder / f"{name}.md"
        every = found[name] + (sections(file.read_text("utf-8")) if file.exists() else [])
        if every:
            file.write_text(f"# {title}\n\n" + "\n".join(every), "utf-8")
            titles = "; ".join(section.partition("\n")[0].removeprefix("## ") for section in every)
            listed.append((name, f"- [{title}](log/{name}.md): {titles}."))
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *(f"log/{name}" for name, _ in listed), "```"])
    text = "\n".join([HEAD, LEAD, *(line for _, line in listed), "", toctree, ""])
    (DOCS / "log.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()

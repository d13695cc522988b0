"""Invented reports with known names, dates, numbers and addresses: what de-identification is measured on.

Two files hold their templates and values: `development.yaml`, on which rules may be developed, and `measured.yaml`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("invented")
_SLOT = re.compile(r"\{([A-Z]+)\}")
TYPES = {"NAME": "NAME", "LAST": "NAME", "LISTED": "NAME", "EMAIL": "EMAIL"}
"""Slots whose mark has another name than they."""


@dataclass(frozen=True)
class Invented:
    """A report, its language, and (start, end, type) of what must not stay in it."""

    text: str
    language: str
    spans: tuple[tuple[int, int, str], ...]


def invented_reports(half: str, count: int, seed: int = 0) -> list[Invented]:
    """Reports of a half (`development` or `measured`), the templates in turn, the values drawn at random."""
    content = yaml.safe_load((FOLDER / f"{half}.yaml").read_text("utf-8"))
    rng = random.Random(seed)
    templates = content["templates"]
    return [_filled(templates[number % len(templates)], content, rng) for number in range(count)]


def _filled(template: dict[str, str], content: dict[str, Any], rng: random.Random) -> Invented:
    text, spans, last = "", [], 0
    for slot in _SLOT.finditer(template["text"]):
        text += template["text"][last : slot.start()]
        value = _value(slot.group(1), template["language"], content, rng)
        spans.append((len(text), len(text) + len(value), TYPES.get(slot.group(1), slot.group(1))))
        text, last = text + value, slot.end()
    return Invented(text + template["text"][last:], template["language"], tuple(spans))


def _value(slot: str, language: str, content: dict[str, Any], rng: random.Random) -> str:
    if slot == "EMAIL":
        return str(rng.choice(content["emails"]))
    if slot in ("NAME", "LAST", "LISTED"):
        first, last = rng.choice(content["first"][language]), rng.choice(content["last"][language])
        middle = f" {rng.choice('ABCDEFGHJKLMPRST')}." if language == "en" and rng.random() < 0.3 else ""
        name = {"NAME": f"{first}{middle} {last}", "LAST": last, "LISTED": f"{last}, {first}"}[slot]
        return name.upper() if rng.random() < 0.15 else name
    key = {"ADDRESS": "addresses", "DATE": "dates", "PHONE": "phones", "ID": "ids"}[slot]
    return str(rng.choice(content[key][language]))

"""Disease-kind prompts: the texts that stand for a kind being present or absent (`prompts.yaml`, PROTOCOLS 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from xlip.data.kinds import NO_FINDING, canonical, kinds
from xlip.errors import XLIPError


@dataclass(frozen=True)
class PromptSet:
    """Positive and negative templates, with exceptions for single kinds."""

    id: str
    version: int
    templates: Mapping[bool, tuple[str, ...]]
    exceptions: Mapping[str, Mapping[bool, tuple[str, ...]]]
    synonyms: Mapping[str, tuple[str, ...]]

    @property
    def identifier(self) -> str:
        """What a number made with this set is printed with."""
        return f"{self.id}@{self.version}"

    def positive(self, kind: str) -> tuple[str, ...]:
        """All texts that state a kind."""
        return self._texts(kind, True)

    def negative(self, kind: str) -> tuple[str, ...]:
        """All texts that deny a kind."""
        return self._texts(kind, False)

    def _texts(self, kind: str, present: bool) -> tuple[str, ...]:
        if kind in self.exceptions:
            return self.exceptions[kind][present]
        phrases = self.synonyms.get(kind, (kinds()[kind].name,))
        texts = (template.format(phrase) for phrase in phrases for template in self.templates[present])
        return tuple(dict.fromkeys(texts))


@cache
def prompt_sets() -> dict[str, PromptSet]:
    """The shipped sets by id."""
    return _parse(files("xlip.data").joinpath("prompts.yaml").read_text("utf-8"), "prompts.yaml")


def load_prompts(id_or_path: str) -> PromptSet:
    """A shipped set by its id, or the first set of a YAML file of the same form.

    Raises:
        XLIPError: neither a set nor a file, or a malformed file.
    """
    if id_or_path in prompt_sets():
        return prompt_sets()[id_or_path]
    path = Path(id_or_path)
    if not path.is_file():
        raise XLIPError(f"prompts: expected one of {', '.join(prompt_sets())} or a YAML file; got {id_or_path!r}")
    return next(iter(_parse(path.read_text("utf-8"), id_or_path).values()))


def _parse(text: str, name: str) -> dict[str, PromptSet]:
    import yaml

    try:
        raw = yaml.safe_load(text)
        synonyms = {canonical(kind): tuple(phrases) for kind, phrases in (raw.get("synonyms") or {}).items()}
        return {id_: _prompt_set(id_, item, synonyms) for id_, item in raw["sets"].items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise XLIPError(
            f"{name}: expected `sets: {{id: {{version, positive, negative}}}}`; fault at {error}"
        ) from error


def _prompt_set(id_: str, item: Mapping[str, Any], synonyms: Mapping[str, tuple[str, ...]]) -> PromptSet:
    exceptions = {canonical(kind): _pair(pair) for kind, pair in (item.get("kinds") or {}).items()}
    if NO_FINDING not in exceptions:
        raise XLIPError(f"prompt set {id_}: {NO_FINDING} needs a pair of its own under `kinds`")
    return PromptSet(id_, int(item["version"]), _pair(item), exceptions, synonyms)


def _pair(item: Mapping[str, Sequence[str]]) -> dict[bool, tuple[str, ...]]:
    return {True: tuple(item["positive"]), False: tuple(item["negative"])}

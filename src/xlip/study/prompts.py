"""Disease-kind prompts: the texts that stand for a kind being present or absent (`prompts.yaml`).

The rule: docs/protocols.md, zero-shot scoring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.study.kinds import NO_FINDING, canonical, is_kind, kinds


@dataclass(frozen=True)
class PromptSet:
    """Positive and negative templates, with exceptions for single kinds."""

    id: str
    version: int
    templates: Mapping[bool, tuple[str, ...]]
    exceptions: Mapping[str, Mapping[bool, tuple[str, ...]]]
    synonyms: Mapping[str, tuple[str, ...]]
    normal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind -> sentences of a normal region, which deny the kind without naming it."""
    normal_share: float = 0.0
    """How much of a kind's negative family they make up, in [0, 1)."""
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Words for the named slots of templates (`{severity} {} {place}`); every combination is a text."""

    @property
    def identifier(self) -> str:
        """What a number made with this set is printed with."""
        return f"{self.id}@{self.version}"

    def positive(self, kind: str) -> tuple[str, ...]:
        """All texts that state a kind.

        Raises:
            XLIPError: the set has neither templates nor a pair for this kind.
        """
        return self._texts(kind, True)

    def negative(self, kind: str) -> tuple[str, ...]:
        """All texts that deny a kind; sentences of `normal` are repeated, as often as makes up their share.

        Raises as `positive`.
        """
        denied = self._texts(kind, False)
        if kind in self.exceptions or kind not in self.normal or not self.normal_share:
            return denied
        wanted = len(denied) * self.normal_share / (1 - self.normal_share)
        return denied + self.normal[kind] * max(1, round(wanted / len(self.normal[kind])))

    def denials(self, kind: str) -> tuple[str, ...]:
        """The negative texts that name the kind ('no pleural effusion'), without the sentences of a normal region.

        Raises as `positive`.
        """
        return self._texts(kind, False)

    def plain_denials(self, kind: str) -> tuple[str, ...]:
        """'no X' for each phrase of the kind; nothing for No_Finding, of which 'no no finding' would be the denial, and
        nothing for a kind of one's own that has a pair of texts but no phrase.
        """
        if kind == NO_FINDING or (kind not in kinds() and kind not in self.synonyms):
            return ()
        return tuple(f"no {phrase}" for phrase in self.phrases(kind))

    def phrases(self, kind: str) -> tuple[str, ...]:
        """The words that templates name a kind by.

        Raises:
            XLIPError: a kind of one's own without any.
        """
        if kind not in kinds() and kind not in self.synonyms:
            raise XLIPError(
                f"prompt set {self.id}: no prompts for {kind!r}, which is no kind that XLIP knows; name a YAML file by "
                f"--prompts with a pair under `kinds: {{{kind}: ...}}`, or with words for it under `synonyms`"
            )
        return self.synonyms.get(kind) or (kinds()[kind].name,)

    def _texts(self, kind: str, present: bool) -> tuple[str, ...]:
        if kind in self.exceptions:
            return self.exceptions[kind][present]
        if not self.templates[present]:
            raise XLIPError(
                f"prompt set {self.id}: no prompts for the kind {kind}; add a pair under `kinds: {{{kind}: ...}}`"
            )
        phrases = self.phrases(kind)
        texts = (
            text
            for phrase in phrases
            for template in self.templates[present]
            for text in self._filled(template, phrase)
        )
        return tuple(dict.fromkeys(texts))

    def _filled(self, template: str, phrase: str) -> Iterator[str]:
        """The template with the kind's phrase and every combination of the words for its slots."""
        names = [name for name in self.slots if f"{{{name}}}" in template]
        for words in product(*(self.slots[name] for name in names)):
            yield " ".join(template.format(phrase, **dict(zip(names, words, strict=True))).split())


@cache
def prompt_sets() -> dict[str, PromptSet]:
    """The shipped sets by id."""
    return _parse(files("xlip.study").joinpath("prompts.yaml").read_text("utf-8"), "prompts.yaml")


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
    with reading(path, "expected a YAML file of prompts as xlip/study/prompts.yaml"):
        text = path.read_text("utf-8")
    return next(iter(_parse(text, id_or_path).values()))


def load_prompt_sets(spec: str) -> list[PromptSet]:
    """`all` shipped sets, or the sets that a list separated by commas names, each as for `load_prompts`.

    Raises:
        XLIPError: as `load_prompts`, or a list that names nothing or one set twice.
    """
    names = list(prompt_sets()) if spec == "all" else [name.strip() for name in spec.split(",") if name.strip()]
    sets = [load_prompts(name) for name in names]
    if not sets:
        raise XLIPError(f"prompts: expected all, or one of {', '.join(prompt_sets())} or a YAML file; got {spec!r}")
    if len({one.identifier for one in sets}) < len(sets):
        raise XLIPError(f"prompts: {spec!r} names a set twice; give each its own id or version")
    return sets


def _parse(text: str, name: str) -> dict[str, PromptSet]:
    import yaml

    try:
        raw = yaml.safe_load(text)
        synonyms, normal = (
            {_id(kind): tuple(phrases) for kind, phrases in (raw.get(part) or {}).items()}
            for part in ("synonyms", "normal")
        )
        return {id_: _prompt_set(id_, item, synonyms, normal) for id_, item in raw["sets"].items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise XLIPError(
            f"{name}: expected `sets: {{id: {{version, positive, negative}}}}`; fault at {' '.join(str(error).split())}"
        ) from error


def _prompt_set(
    id_: str, item: Mapping[str, Any], synonyms: Mapping[str, tuple[str, ...]], normal: Mapping[str, tuple[str, ...]]
) -> PromptSet:
    exceptions = {_id(kind): _pair(pair) for kind, pair in (item.get("kinds") or {}).items()}
    templates = _pair(item) if "positive" in item or "negative" in item else {True: (), False: ()}
    if templates[True] and NO_FINDING not in exceptions:
        own = "".join(f"unknown kind {kind!r}; " for kind in exceptions if kind not in kinds())
        raise XLIPError(
            f"prompt set {id_}: {own}{NO_FINDING} needs a pair of its own under `kinds`, for no template can name it"
        )
    share = float(item.get("normal_share", 0.0))
    if not 0 <= share < 1:
        raise XLIPError(f"prompt set {id_}: normal_share must lie in [0, 1), got {share}")
    slots = {name: tuple(words) for name, words in (item.get("slots") or {}).items()}
    made = PromptSet(id_, int(item["version"]), templates, exceptions, synonyms, normal, share, slots)
    for template in (*templates[True], *templates[False]):
        next(made._filled(template, ""))  # a misspelt slot is a KeyError here
    return made


def _id(kind: str) -> str:
    # A name that is not known is a kind of one's own; whether it was meant shows where the data lack it.
    return canonical(kind) if is_kind(kind) else str(kind)


def _pair(item: Mapping[str, Any]) -> dict[bool, tuple[str, ...]]:
    pair = {True: item["positive"], False: item["negative"]}
    for texts in pair.values():
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(text, str) and text.strip() for text in texts)
        ):
            raise TypeError(f"expected a list of texts, got {texts!r}")
    return {present: tuple(texts) for present, texts in pair.items()}

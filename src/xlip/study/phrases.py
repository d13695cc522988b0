"""Words of a report that boxes stand for (MS-CXR), as tags of a study."""

from __future__ import annotations

from collections.abc import Iterable

_MARK = "phrase:"


def phrase_tag(kind: str, words: str) -> str:
    """The tag that says which words the boxes of a kind stand for."""
    return f"{_MARK}{kind}:{words}"


def phrases_of(tags: Iterable[str]) -> dict[str, str]:
    """Kind -> its words; several phrases of one kind, whose boxes make one region, are joined as sentences are."""
    found: dict[str, str] = {}
    for tag in tags:
        if tag.startswith(_MARK):
            kind, _, words = tag.removeprefix(_MARK).partition(":")
            found[kind] = f"{found[kind].rstrip('.')}. {words}" if kind in found else words
    return found

"""Words as every list of ours compares them: without case and accents; and phrases with choices spelled out."""

from __future__ import annotations

import re
import unicodedata

_INNERMOST = re.compile(r"\(([^()]*)\)")


def fold(word: str) -> str:
    """A word without case and accents, so that 'Neumotórax' and 'neumotorax' are one."""
    if word.isascii():
        return word.lower()
    parts = unicodedata.normalize("NFKD", word.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part)) or word


def expand(phrase: str) -> list[str]:
    """'(small|tiny|) nodule' -> 'small nodule', 'tiny nodule', 'nodule'; choices may hold choices."""
    todo = [phrase]
    done: dict[str, None] = {}
    while todo:
        part = todo.pop()
        choice = _INNERMOST.search(part)
        if choice is None:
            done[" ".join(part.split())] = None
        else:
            todo += [part[: choice.start()] + option + part[choice.end() :] for option in choice.group(1).split("|")]
    return list(done)

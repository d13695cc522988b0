"""The component that ties each finding to its place, its side and its degree."""

from __future__ import annotations

from spacy.language import Language
from spacy.tokens import Doc

from xlip.reports.tagger.assertion import JUDGED
from xlip.reports.tagger.reading import READING, Mention, Reading, Sentence

REACH = 9
"""Most that a link may cost, in tokens; a comma or 'and' on the way costs more, a stop word forbids it."""


def links_component(doc: Doc) -> Doc:
    """Link every place and degree word to the nearest finding of its sentence; nothing is shared."""
    reading: Reading = doc.user_data[READING]
    numbers = {id(mention): number for number, mention in enumerate(reading.mentions)}
    for sentence in reading.sentences():
        heads = [mention for mention in sentence.mentions if mention.type in JUDGED]
        if not heads:
            continue
        separators = [n for n in range(sentence.first, sentence.last) if reading.words[n] in (",", "and", "or")]
        for mention in sentence.mentions:
            if mention.type in JUDGED or mention.group == "normal":
                continue
            head = _nearest(mention, heads, sentence, separators)
            if head is not None:
                links = head.severities if mention.type == "severity" else head.locations
                links.append(numbers[id(mention)])
    return doc


def _nearest(mention: Mention, heads: list[Mention], sentence: Sentence, separators: list[int]) -> Mention | None:
    stops = [cue.first for cue in sentence.cues if cue.group in ("stop", "existential")]
    best, lowest = None, REACH + 1.0
    for head in heads:
        ahead = head.first >= mention.last
        first, last = (mention.last, head.first) if ahead else (head.last, mention.first)
        # Degrees stand before their finding; places on either side.
        cost = last - first + (0 if ahead else 3 if mention.type == "severity" else 1)
        cost += 3 * sum(first <= place < last for place in separators)
        if cost < lowest and not any(first <= stop < last for stop in stops):
            best, lowest = head, cost
    return best


def side_of(groups: set[str]) -> str:
    """left, right, bilateral or nothing, from the groups of the linked words (`side:left`, ...)."""
    sides = {group.removeprefix("side:") for group in groups if group.startswith("side:")}
    return "bilateral" if len(sides) > 1 else next(iter(sides), "")


Language.component("xlip_links", func=links_component)

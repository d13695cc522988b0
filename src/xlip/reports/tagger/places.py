"""The component that takes the kind from findings of parts that no chest film is read for: 'knee joint effusion'."""

from __future__ import annotations

from spacy.language import Language
from spacy.tokens import Doc

from xlip.reports.tagger.lexicon import Lexicon, load_lexicon
from xlip.reports.tagger.reading import OTHER, READING, Mention, Reading, Sentence

PLAIN_WORDS = frozenset({"contains", "contain", "containing", "involving", "pole", "his", "her"})
"""Words of these rules that the lexicon lacks: the tokenizer keeps them all the same."""
REACH = 7
"""Tokens between a finding and its part."""
_OF = frozenset({"of", "in", "within", "involving", "about", "around", "at", "on", "to"})
_SKIPPED = frozenset({"the", "a", "an", "and", "or", "joint", "wall", "pole", "his", "her", "both"})
_OWNS = frozenset({"contains", "contain", "shows", "show", "has", "have", "demonstrates", "reveals", "containing", ":"})


def make_places(nlp: Language, name: str, language: str) -> PlaceComponent:
    """For `nlp.add_pipe('xlip_places')`."""
    return PlaceComponent(load_lexicon(language))


class PlaceComponent:
    """Findings of another part of the body keep their words and lose their kind."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._outside = lexicon.outside

    def __call__(self, doc: Doc) -> Doc:
        """Judge every finding of the sentences that name such a part."""
        reading: Reading = doc.user_data[READING]
        outside = self._outside
        if any(mention.group in outside for mention in reading.mentions):
            for sentence in reading.sentences():
                self._judge(sentence, reading.words)
        return doc

    def _judge(self, sentence: Sentence, words: list[str]) -> None:
        inside = sentence.mentions
        at = {place: mention for mention in inside for place in range(mention.first, mention.last)}
        seen = {cue.first: cue.last for cue in sentence.cues if cue.group == "existential"}
        for finding in inside:
            if finding.type != "finding" or finding.kind is None:
                continue
            for part in (
                _before(finding, at, words, sentence.first),
                _after(finding, at, words, sentence.last, seen),
                _owner(finding, inside, words),
            ):
                if part is not None and finding.kind in self._outside.get(part.group, ()):
                    finding.kind, finding.rule = None, f"of another part: {' '.join(words[part.first : part.last])}"
                    break


def _before(finding: Mention, at: dict[int, Mention], words: list[str], first: int) -> Mention | None:
    """'knee joint effusion': the nearest anatomy before, nothing but describing words between."""
    for place in range(finding.first - 1, max(first, finding.first - REACH) - 1, -1):
        mention = at.get(place)
        if mention is not None and mention.type == "anatomy":
            return mention
        if mention is None and words[place] not in _SKIPPED and (words[place] != OTHER or place < finding.first - 1):
            return None  # one word between that the lexicon lacks is an adjective: 'metatarsal stress fracture'
        if mention is not None and mention.type not in ("location", "severity"):
            return None
    return None


def _after(
    finding: Mention, at: dict[int, Mention], words: list[str], last: int, seen: dict[int, int]
) -> Mention | None:
    """'mass (is seen) in the left breast', 'in the lower pole of the kidney': the first anatomy after 'of' or 'in'."""
    start = seen.get(finding.last, finding.last)
    if start >= last or words[start] not in _OF:
        return None
    found: Mention | None = None
    for place in range(start + 1, min(last, start + REACH)):
        mention = at.get(place)
        if mention is not None and mention.type == "anatomy":
            found = mention
            if mention.last >= last or words[mention.last] != "of":
                return found  # 'in both lobes of the liver' goes on to the liver
            continue
        if mention is None and words[place] not in _SKIPPED and words[place] not in _OF:
            return found
        if mention is not None and mention.type not in ("location", "severity"):
            return found
    return found


def _owner(finding: Mention, inside: list[Mention], words: list[str]) -> Mention | None:
    """'The liver shows a mass', 'Knee: effusion': the only anatomy before, and a word that gives it the finding."""
    parts = [other for other in inside if other.type == "anatomy" and other.last <= finding.first]
    between = words[parts[0].last : finding.first] if parts else []
    if len(parts) == 1 and len(between) <= REACH and "," not in between and not _OWNS.isdisjoint(between):
        return parts[0]
    return None


Language.factory("xlip_places", default_config={"language": "en"}, func=make_places)

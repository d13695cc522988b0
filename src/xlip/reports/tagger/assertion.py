"""The component that reads what the report asserts of each finding: stated, denied, doubted, past, or only asked about.

The idea is that of NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009): cues act forwards or backwards inside
their sentence until a word that ends the scope. Ours differs in what ends a scope (a clause with a verb of its own),
and in how two cues combine; the cues are in the lexicon, the rules in docs/reference/tagger.md.
"""

from __future__ import annotations

from bisect import bisect_left

from spacy.language import Language
from spacy.tokens import Doc

from xlip.reports.tagger.reading import READING, Cue, Mention, Reading, Sentence

JUDGED = ("finding", "device", "procedure")
"""Entity types that get an assertion; words of place and degree have none."""
_ENDS = ("stop", "verb", "existential")
_DEGREES = ("degree", "low")
"""Groups of descriptors that state a finding where they follow a comma: 'no effusion, mild edema'."""
NEAREST = 6
"""Cues on each side that may act on a finding; more of them only make bad input slow."""
_ASIDES = ("although", "though", "while")
"""'Pneumonia, although less likely, ...'"""
_TURNING = frozenset({"unlikely", "improbable", "implausible", "doubtful", "doubted"})
"""Cues of one such word stand behind their finding ('pneumonia unlikely') or, where none is there, before it."""
_TRAILING = frozenset(
    {"possible", "probable", "likely", "possibly", "probably", "questionable", "suspected", "presumed", "equivocal"}
)
"""Words of doubt that act ahead ('probable effusion'), but back where the clause ends with them: 'effusion likely.'"""
_CLOSING = frozenset(".,;:)")
_SINGULAR = ("is", "was", "has")
"""'Edema and effusion is not seen' denies the effusion alone."""


def assertion_component(doc: Doc) -> Doc:
    """Set the assertion of every mention that does not carry its own."""
    reading: Reading = doc.user_data[READING]
    for sentence in reading.sentences():
        if sentence.imposed != "present":
            for mention in sentence.mentions:
                if mention.type in JUDGED or mention.kind:
                    mention.assertion, mention.rule = sentence.imposed, f"section: {sentence.imposed}"
        elif sentence.cues:
            _judge(sentence, reading.words[sentence.first : sentence.last])
    return doc


def _judge(sentence: Sentence, words: list[str]) -> None:
    scope = _Scope(sentence, words)
    for mention in sentence.mentions:
        if mention.type in JUDGED and not mention.settled:
            mention.assertion, cue = scope.assertion(mention)
            if cue is not None:
                rule = f"{cue.group.replace('_', ' ')}: {' '.join(scope.between(cue.first, cue.last))}"
                mention.rule = f"{mention.rule}; {rule}" if mention.rule else rule


class _Scope:
    """Which cues of a sentence reach a mention, and what they say together."""

    def __init__(self, sentence: Sentence, words: list[str]) -> None:
        self._first, self._words, self._mentions = sentence.first, words, sentence.mentions
        self._ends = [cue for cue in sentence.cues if cue.group in _ENDS]
        self._before = [cue for cue in sentence.cues if cue.group.endswith(("_before", "_around"))]
        self._after = [cue for cue in sentence.cues if cue.group.endswith(("_after", "_around"))]
        self._turn()

    def _turn(self) -> None:
        """Let words of doubt act in the other direction where nothing stands in theirs."""
        judged = [mention for mention in self._mentions if mention.type in JUDGED]
        turned = [cue for cue in self._after if self._leads(cue, judged)]
        trailing = [cue for cue in self._before if self._trails(cue, judged)]
        if turned:
            self._before = sorted([*self._before, *turned])
        if trailing:
            self._before = [cue for cue in self._before if cue not in trailing]
            self._after = sorted([*self._after, *trailing])

    def _leads(self, cue: Cue, judged: list[Mention]) -> bool:
        """'Unlikely pneumonia': one word of doubt behind nothing, right before what it doubts."""
        words = self.between(cue.first, cue.last)
        if len(words) > 1 or words[0] not in _TURNING:
            return False
        start = max((other.last for other in self._ends if other.last <= cue.first), default=self._first)
        for place in range(cue.first - 1, start - 1, -1):
            if self._words[place - self._first] in (",", "and", "or"):
                start = place + 1
                break
        return not any(start <= mention.first < cue.first for mention in judged)

    def _trails(self, cue: Cue, judged: list[Mention]) -> bool:
        """'Effusion probable.': one word of doubt right behind a finding, at the end of its clause."""
        words = self.between(cue.first, cue.last + 1)
        if cue.last - cue.first > 1 or words[0] not in _TRAILING:
            return False
        return (len(words) == 1 or words[1] in _CLOSING) and any(mention.last == cue.first for mention in judged)

    def between(self, first: int, last: int) -> list[str]:
        """The words of tokens [first, last)."""
        return self._words[first - self._first : last - self._first]

    def assertion(self, mention: Mention) -> tuple[str, Cue | None]:
        """What is asserted of a mention, and the cue that decided it."""
        ahead = self._cue_ahead(mention)
        behind = self._cue_behind(mention)
        states = {_state(ahead), _state(behind)} - {""}
        if "hypothetical" in states or "present" in states:
            deciding = ahead if _state(ahead) in ("hypothetical", "present") else behind
        elif _state(ahead) == "absent" or behind is None:
            deciding = ahead  # 'no fracture is suspected'
        else:
            deciding = behind
        return _state(deciding) or "present", deciding

    def _cue_ahead(self, mention: Mention) -> Cue | None:
        """The nearest cue before a mention, or the one before that which governs it ('no sign suspicious for ...')."""
        number = bisect_left(self._before, (mention.first,))
        near = self._before[max(0, number - NEAREST) : number]
        reaching = [cue for cue in near if self._reaches(cue, mention)]
        if not reaching:
            return None
        nearest = reaching[-1]
        for outer in reversed(reaching[:-1]):
            words = self.between(outer.last, nearest.first)
            if "," in words or "and" in words:
                break
            if _governs(outer, nearest, self._judged_between(outer.last, nearest.first)):
                nearest = outer
        return nearest

    def _cue_behind(self, mention: Mention) -> Cue | None:
        """The nearest cue that acts backwards on a mention."""
        number = bisect_left(self._after, (mention.last,))
        near = self._after[number : number + NEAREST]
        return next((cue for cue in near if self._reaches_back(cue, mention)), None)

    def _reaches(self, cue: Cue, mention: Mention) -> bool:
        """Whether a cue before a mention acts on it."""
        if self._ended(cue.last, mention.first):
            return False
        words = self.between(cue.last, mention.first)
        rest = self.between(mention.last, self._first + len(self._words))
        if ":" in words:
            return False
        if "," not in words:
            return not ("and" in words and self._own_verb(mention))
        if self._own_verb(mention):
            return False
        listed = not {"or", "nor"}.isdisjoint([*words, *rest])
        listed = listed or "differential" in self.between(cue.first, cue.last)
        if _state(cue) == "uncertain":
            return listed
        return listed or not self._stated_after_comma(mention)

    def _reaches_back(self, cue: Cue, mention: Mention) -> bool:
        """Whether a cue behind a mention acts on it; over commas only where 'and' or 'or' makes them a list."""
        words = self.between(mention.last, cue.first)
        if len(words) > 2 and words[0] == words[-1] == "," and words[1] in _ASIDES and "," not in words[1:-1]:
            return True  # 'fibrosis, while not excluded, is less likely'
        if self._ended(mention.last, cue.first):
            return False
        number = bisect_left(self._before, (mention.last,))
        if number < len(self._before) and self._before[number].last <= cue.first:
            return False  # a cue of its own direction lies between: 'effusion, no nodule is seen'
        if words == [","] and self.between(cue.first, cue.first + 1)[0] in _ASIDES:
            return True
        if "and" in words and words.count(",") < 2 and self.between(cue.first, cue.first + 1)[0] in _SINGULAR:
            return False
        return "," not in words or not {"and", "or", "nor"}.isdisjoint(words)

    def _ended(self, first: int, last: int) -> bool:
        number = bisect_left(self._ends, (first,))
        return number < len(self._ends) and self._ends[number].first < last

    def _own_verb(self, mention: Mention) -> bool:
        """Whether a verb follows before the clause ends: 'no effusion and the cardiomegaly is stable'."""
        number = bisect_left(self._ends, (mention.last,))
        if number == len(self._ends):
            return False
        words = self.between(mention.last, self._ends[number].first)
        return self._ends[number].group == "verb" and {",", "and", "or"}.isdisjoint(words)

    def _stated_after_comma(self, mention: Mention) -> bool:
        """Whether a degree stands between the last comma and the mention: 'no pneumothorax, small effusion'."""
        words = self.between(self._first, mention.first)
        comma = self._first + len(words) - 1 - words[::-1].index(",")
        return any(comma < other.first < mention.first and other.group in _DEGREES for other in self._mentions)

    def _judged_between(self, first: int, last: int) -> bool:
        return any(first <= other.first < last and other.type in JUDGED for other in self._mentions)


def _state(cue: Cue | None) -> str:
    return "" if cue is None else cue.group.partition("_")[0]


def _governs(outer: Cue, inner: Cue, finding_between: bool) -> bool:
    """Whether the outer of two cues decides: 'no ... suspicious for X', 'evaluate for possible X', 'possibly no X'."""
    states = (_state(outer), _state(inner))
    if states == ("uncertain", "absent"):
        return not finding_between
    return states[0] in ("absent", "hypothetical", "historical") and states[1] in (
        "uncertain",
        "historical",
        "hypothetical",
    )


Language.component("xlip_assertion", func=assertion_component)

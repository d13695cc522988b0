"""Reports of phantoms: a grammar of synonyms, negations, doubt and irrelevant remarks, with exact entity spans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from xlip.phantom.findings import PHANTOM_KINDS, Plan
from xlip.study.record import Entity

NOUNS: dict[str, tuple[str, ...]] = {
    "Effusion": ("pleural effusion", "effusion", "pleural fluid", "pleural fluid collection"),
    "Cardiomegaly": ("cardiomegaly", "enlarged heart", "cardiac enlargement", "enlarged cardiac silhouette"),
    "Pneumothorax": ("pneumothorax", "pleural air", "collapsed lung", "pleural air collection"),
    "Consolidation": ("consolidation", "airspace consolidation", "airspace disease", "lobar consolidation"),
    "Edema": ("pulmonary edema", "edema", "interstitial edema", "pulmonary congestion", "vascular congestion"),
    "Atelectasis": ("atelectasis", "atelectatic change", "volume loss", "platelike atelectasis"),
    "Nodule": ("nodule", "lung nodule", "pulmonary nodule", "nodular density"),
    "Mass": ("mass", "lung mass", "pulmonary mass", "large rounded mass"),
    "Emphysema": ("emphysema", "pulmonary emphysema", "emphysematous change", "bullous emphysema"),
    "Fracture": ("rib fracture", "fracture", "displaced rib fracture", "broken rib"),
    "Hernia": ("hiatal hernia", "hiatus hernia", "hernia", "diaphragmatic hernia"),
    "Fibrosis": ("fibrosis", "pulmonary fibrosis", "fibrotic change", "reticular fibrosis"),
    "Pleural_Thickening": ("pleural thickening", "thickened pleura", "pleural rind", "thickening of the pleura"),
}
SEVERITY = {
    "mild": ("small", "mild", "slight", "minimal"),
    "moderate": ("moderate", "moderately sized", "evident"),
    "severe": ("large", "severe", "marked", "extensive"),
}
SIDE = {"left": ("left", "left-sided"), "right": ("right", "right-sided"), "": ("",)}
PLACE = {
    "upper": ("in the upper zone", "in the upper lobe", "near the apex"),
    "mid": ("in the mid zone", "in the perihilar region", "beside the hilum"),
    "lower": ("in the lower zone", "in the lower lobe", "at the base"),
    "": ("",),
}
# [type|assertion|text] marks an entity; `F`, `S`, `L` and `P` stand for the finding, its severity, side and place.
STATED = (
    "There is S L F P.",
    "S L F is seen P.",
    "S L F P.",
    "The image shows S L F P.",
    "S L F is present P.",
    "Findings of S L F P.",
    "Again noted is S L F P.",
    "L F P, S.",
)
DOUBTED = (
    "Possible S L F P.",
    "There may be S L F P.",
    "Suspected S L F P.",
    "S L F P cannot be excluded.",
    "Appearance suspicious for S L F P.",
)
DENIED = ("No {}.", "There is no {}.", "No evidence of {}.", "Without {}.", "Negative for {}.", "No sign of {}.")
DENIED_AFTER = ("{} is not seen.", "{} is not identified.", "{} is not evident.")
REMARKS: tuple[tuple[str, str], ...] = (
    ("Cardiomegaly", "The [finding|absent|Cardiomegaly|heart size is normal]."),
    ("Cardiomegaly", "[finding|absent|Cardiomegaly|Normal heart size]."),
    ("Cardiomegaly", "The [finding|absent|Cardiomegaly|cardiac silhouette is within normal limits]."),
    ("Fracture", "The [anatomy|absent|Fracture|osseous structures] are intact."),
    ("Fracture", "The [anatomy|absent|Fracture|ribs] are intact."),
    ("Effusion", "The [anatomy|present||costophrenic angles] are sharp."),
    ("", "The [anatomy|present||trachea] is midline."),
    ("", "The [anatomy|present||soft tissues] are unremarkable."),
    ("", "The [anatomy|present||aorta] is not remarkable."),
    ("", "The [anatomy|present||hila] have their usual shape."),
    ("", "The patient is slightly rotated."),
    ("", "Single frontal view of the [anatomy|present||chest]."),
    ("", "Frontal radiograph of the [anatomy|present||chest]."),
    ("", "Image quality is adequate."),
    ("", "No earlier image for comparison."),
    ("", "Clinical correlation is recommended."),
)
NORMAL = (
    "[finding|present|No_Finding|No acute cardiopulmonary abnormality].",
    "[finding|present|No_Finding|Normal chest].",
    "The [finding|present|No_Finding|lungs are clear].",
    "[finding|present|No_Finding|No acute finding].",
    "[finding|present|No_Finding|Normal chest radiograph].",
    "[finding|present|No_Finding|No active disease].",
)
_MARK = re.compile(r"\[(\w+)\|(\w+)\|(\w*)\|([^\]]+)\]")
DOUBT_SHARE = 0.3
"""Share of the mild findings that the report only suspects."""


@dataclass
class _Writer:
    text: str = ""
    entities: list[Entity] = field(default_factory=list)

    def add(self, marked: str) -> None:
        """Append a sentence with `[type|assertion|kind|words]` marks."""
        self.text += " " if self.text and not self.text.endswith("\n") else ""
        sentence_start, last = len(self.text), 0
        for mark in _MARK.finditer(marked):
            type_, assertion, kind, words = mark.groups()
            self.text += marked[last : mark.start()]
            start = len(self.text)
            self.text += words
            self.entities.append(Entity(start, len(self.text), type_, assertion, kind or None))
            last = mark.end()
        self.text += marked[last:]
        self.text = (
            self.text[:sentence_start] + self.text[sentence_start:][:1].upper() + self.text[sentence_start + 1 :]
        )


def write_report(plans: Sequence[Plan], rng: np.random.Generator) -> tuple[str, tuple[Entity, ...]]:
    """The report of a phantom and its entities; a finding is never denied, a mild one is at times only suspected."""
    present = {item.kind for item in plans}
    sentences = [_state(item, rng) for item in plans]
    absent = [kind for kind in PHANTOM_KINDS if kind not in present]
    sentences += _deny(absent, rng)
    remarks = [text for kind, text in REMARKS if kind not in present]
    sentences += [str(text) for text in rng.choice(remarks, int(rng.integers(0, 4)), replace=False)]
    order = rng.permutation(len(sentences))
    body = [sentences[i] for i in order]
    conclusion = [_pick(NORMAL, rng)] if not plans else [_state(item, rng) for item in plans[:2]]
    layout = int(rng.integers(4))
    writer = _Writer()
    if layout == 0:
        body = ["Findings:", *body, "\nImpression:", *conclusion]
    elif layout == 1 or not plans:
        body = [*body, *conclusion] if rng.random() < 0.5 else [*conclusion, *body]
    for sentence in body:
        if sentence.startswith("\n"):
            writer.text += "\n"
        writer.add(sentence.lstrip("\n"))
    return writer.text, tuple(writer.entities)


def _state(item: Plan, rng: np.random.Generator) -> str:
    doubt = item.severity == "mild" and rng.random() < DOUBT_SHARE
    template = _pick(DOUBTED if doubt else STATED, rng)
    words = {
        "F": f"[finding|{'uncertain' if doubt else 'present'}|{item.kind}|{_pick(NOUNS[item.kind], rng)}]",
        "S": f"[severity|present||{_pick(SEVERITY[item.severity], rng)}]",
        "L": _marked("location", _pick(SIDE[item.side], rng)),
        "P": _placed(_pick(PLACE[item.place], rng)),
    }
    if rng.random() < 0.25:
        words["S"] = ""
    filled = re.sub(r"\b[FSLP]\b", lambda match: words[match.group()], template)
    tidy = re.sub(r"\s+([.,])", r"\1", re.sub(r" +", " ", filled)).strip()
    return tidy.replace(",.", ".")


def _deny(absent: Sequence[str], rng: np.random.Generator) -> list[str]:
    count = int(rng.integers(1, 6))
    kinds = [str(kind) for kind in rng.choice(absent, count, replace=False)]
    sentences = []
    while kinds:
        size = min(len(kinds), int(rng.integers(1, 4)))
        group, kinds = kinds[:size], kinds[size:]
        nouns = [f"[finding|absent|{kind}|{_pick(NOUNS[kind], rng)}]" for kind in group]
        if size == 1 and rng.random() < 0.3:
            sentences.append(_pick(DENIED_AFTER, rng).format(nouns[0]))
        else:
            listed = nouns[0] if size == 1 else f"{', '.join(nouns[:-1])} or {nouns[-1]}"
            sentences.append(_pick(DENIED, rng).format(listed))
    return sentences


def _placed(phrase: str) -> str:
    """`in the upper zone` with its last words marked as a place."""
    head, _, place = phrase.rpartition("the ")
    return f"{head}the [location|present||{place}]" if place and head is not None and phrase else ""


def _marked(type_: str, words: str) -> str:
    return f"[{type_}|present||{words}]" if words else ""


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]

"""The view of a radiograph from the words of tables and headers: English, Spanish, German, French, Portuguese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

PROJECTIONS = ("PA", "AP", "FRONTAL", "LATERAL", "OTHER")
"""What `projection` tells apart; FRONTAL is PA or AP, unknown which; OTHER is oblique, decubitus or the like."""
STORED = {"PA": "PA", "AP": "AP", "LATERAL": "LATERAL"}
"""Projection -> `Study.view`; the others have no word there."""
FRONTAL = frozenset({"PA", "AP", "FRONTAL"})

_GAP = r"[\s.\-_/]*"
_BOTH = re.compile(
    r"\b(?:2|two|zwei|dos|deux|duas|both|beide\w*|ambas)\W+(?:views?|ebenen|proyecciones|incidences?|incidencias|planes)\b"
)
_WITH_L = re.compile(
    r"\b((?:p|a)" + _GAP + r"(?:a|p))\.?\s*(?:[/+&,;]|\b(?:y|e|et|and|und|u|i)\b)\s*(?:l|ll|rl)(?![a-z0-9])"
)
"""'PA y L', 'AP/L': the lateral view is one letter beside a frontal one."""
_WORDS = (
    ("OTHER", r"oblique|obliqu\w*|oblicu\w*|schrag\w*|[lr][apl]o|decubitus|decub\w*|[lr]ld|lordotic\w*|lordotisch\w*|"
              r"apical|seitenlage|rib\w*|costal\w*|rippen\w*|cotes|costillas|scout|localizer"),
    ("LATERAL", r"(?:left|right|l|r|lt|rt)?" + _GAP + r"(?:laterale?s?|lat|latl)|ll|rl|lateral\w*|seitlich\w*|"
                r"seitaufnahme|seitenaufnahme|seitenbild|perfil|profil|crosstable|xtable|laterolateral\w*"),
    ("PA", r"p" + _GAP + r"a|postero" + _GAP + r"anterior\w*|posteroanterior\w*|posterior" + _GAP + r"anterior|"
           r"d" + r"\.?" + r"v|dorso" + _GAP + r"ventral\w*"),
    ("AP", r"a" + _GAP + r"p|antero" + _GAP + r"posterior\w*|anteroposterior\w*|anterior" + _GAP + r"posterior|"
           r"v\.?d|ventro" + _GAP + r"dorsal\w*"),
    ("FRONTAL", r"frontal\w*|face|frente"),
    ("LYING", r"portable|supine|supino|liegend\w*|bettaufnahme|bedside|semi" + _GAP + r"erect|au lit|couche"),
)  # fmt: skip
_PATTERNS = tuple((name, re.compile(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])")) for name, words in _WORDS)
_WHOLE = {"l": "LATERAL", "ll": "LATERAL", "rl": "LATERAL", "lat": "LATERAL", "d": "LATERAL", "f": "FRONTAL"}
"""Letters that are a view only where they are the whole cell."""


def projection(text: str) -> str:
    """One of `PROJECTIONS` for the words about one image; '' where they say nothing, or name several views.

    'PA and lateral', 'Thorax in 2 Ebenen' and 'face et profil' name an examination of several images and say of none
    which it is.
    """
    if not text:
        return ""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().strip()
    if plain in _WHOLE:
        return _WHOLE[plain]
    if _BOTH.search(plain) or _WITH_L.search(plain):
        return ""
    found: list[str] = []
    for name, pattern in _PATTERNS:
        plain, count = pattern.subn(" ", plain)  # 'left lateral decubitus': what was read is not read again
        if count:
            found.append(name)
    lying = "LYING" in found  # such images are taken AP, unless another word says otherwise
    frontal = [name for name in found if name in FRONTAL]
    others = [name for name in found if name not in FRONTAL and name != "LYING"]
    if len(others) == 2:
        return "OTHER"  # 'lateral decubitus', 'lateral oblique'
    if others and frontal:
        return "OTHER" if others == ["OTHER"] else ""
    if others:
        return others[0]
    return _of_frontal(frontal) if frontal else "AP" if lying else ""


def _of_frontal(names: list[str]) -> str:
    exact = [name for name in names if name != "FRONTAL"]
    return exact[0] if len(exact) == 1 else "FRONTAL"


def agreed(texts: Iterable[str]) -> str:
    """The projection on which all texts that name one agree, as exactly as any says; '' where they contradict."""
    found = {name for text in texts if (name := projection(text))}
    if len(found) < 2:
        return next(iter(found), "")
    return _of_frontal(sorted(found)) if found <= FRONTAL and len(found - {"FRONTAL"}) < 2 else ""


def of_orientation(orientation: str) -> str:
    """FRONTAL or LATERAL from the directions of rows and columns in the patient (DICOM PS3.3 C.7.6.1.1.1); else ''."""
    rows, _, columns = orientation.upper().partition("\\")
    if columns[:1] not in ("F", "H"):
        return ""
    return {"L": "FRONTAL", "R": "FRONTAL", "A": "LATERAL", "P": "LATERAL"}.get(rows[:1], "")


def view_of(text: str) -> str:
    """`Study.view` for a cell of a table: PA, AP, LATERAL, or '' where it is none of them or unknown."""
    return STORED.get(projection(text), "")

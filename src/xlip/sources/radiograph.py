"""Which DICOM objects are radiographs of a chest, and what their headers say of them."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from xlip.images.header import Header
from xlip.sources.cells import years
from xlip.sources.views import STORED, agreed, of_orientation, projection

RADIOGRAPHS = frozenset({
    *("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1.1"),
})  # fmt: skip
"""SOP classes of computed and digital radiography (PS3.4 B.5)."""
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
REPORT = "1.2.840.10008.5.1.4.1.1.88."
MODALITIES = frozenset({"CR", "DX", "DR", "RG", "XR"})
"""DR and XR are not in the standard, and in many archives."""
MASK_FOLDERS = frozenset({"mask", "masks", "segmentation", "segmentations", "seg", "segs", "rois", "thumbnails"})
_ELSEWHERE = frozenset({
    *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CSPINE", "CERVICALSPINE", "ELBOW", "EXTREMITY", "FEMUR"),
    *("FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "LUMBARSPINE"),
    *("MANDIBLE", "NECK", "ORBIT", "PELVIS", "SHOULDER", "SINUS", "SKULL", "SPINE", "TEETH", "THIGH", "THUMB", "TOE"),
    *("TSPINE", "THORACICSPINE", "WRIST", "ZYGOMA", "BECKEN", "SCHAEDEL", "KNIE", "HUEFTE", "SCHULTER", "RODILLA"),
    *("CADERA", "MANO", "PIE", "CRANEO", "GENOU", "MAIN", "PIED", "CRANE", "BASSIN", "EPAULE", "LSSPINE", "TLSPINE"),
    *("ABD", "KUB", "ANKLES", "ELBOWS", "FEET", "HANDS", "HIPS", "KNEES", "SHOULDERS", "WRISTS", "EXTREMITIES"),
    *("LOWEXM", "UPEXM", "LOWERLEG", "SACRUM", "COCCYX", "SCAPULA", "PATELLA", "HEEL", "SPINES", "FINGERS", "TOES"),
    *("TIBIA", "ABDOMINAL", "KNOECHEL", "SPRUNGGELENK", "HANDGELENK", "FUSS", "ELLENBOGEN", "TOBILLO", "HOMBRO"),
    *("HUFTE", "SCHADEL", "KNOCHEL", "WIRBELSAULE", "WIRBELSAEULE", "HWS", "BWS", "LWS"),
})  # fmt: skip
"""Words of Body Part Examined that are not the chest."""
_OF_THE_CHEST = re.compile("CHEST|THORA[XC]|TORAX|CXR|LUNG|PULM|POUMON|RIB|RIPPEN|COSTA|STERNUM|CLAVIC|HEART|BABYGRAM")
_ALSO_OTHERWISE = frozenset({"MAIN", "PIE", "HEAD", "NECK", "ARM", "MANO", "LEG", "FUSS", "JAW", "HEEL", "BASSIN"})
"""Words of body parts that mean something else in a description ('main view', 'arm down')."""
_THORACIC_SPINE = re.compile(r"THORACI[CO]\W*SPINE|T\W*SPINE")
OLDEST = 125


def why_not(header: Header, place: str, *, captures: bool) -> str:
    """Why a file is not a radiograph of a chest; '' where it is one.

    Args:
        header: of the file.
        place: its path below the root, forward slashes.
        captures: take secondary captures whose modality is that of a radiograph, as some public sets are.
    """
    if any(part.lower() in MASK_FOLDERS for part in place.split("/")[:-1]):
        return "not a radiograph: it lies in a folder of masks or thumbnails"
    if header.sop_class and header.sop_class not in RADIOGRAPHS:
        if not header.sop_class.startswith(CAPTURE):
            return f"not a radiograph: {_class_name(header.sop_class)}"
        if not captures:
            return "secondary capture: a picture of a screen or a film; --captures keep takes those of radiographs"
    if header.modality and header.modality.upper() not in MODALITIES:
        said = header.modality.upper()
        return f"not a radiograph: modality {said if re.fullmatch('[A-Z]{2,16}', said) else 'is no code'}"
    if not header.modality and not header.sop_class:
        return "not a radiograph: neither modality nor SOP class says that it is one"
    if not header.has_image:
        return "not a radiograph: this DICOM file holds no image"
    if _is_elsewhere(header.body_part, _ELSEWHERE):
        return "not a chest radiograph: by the body part of its header"
    if not header.body_part and _is_elsewhere(" ".join(header.descriptions), _ELSEWHERE - _ALSO_OTHERWISE):
        return "not a chest radiograph: by the description in its header, which names another part of the body"
    return ""


def _is_elsewhere(text: str, words: frozenset[str]) -> bool:
    """Whether a text names a part of the body, as a whole or by one of its words, and none that is of the chest."""
    plain = _plain(text).upper()
    if not plain or (_OF_THE_CHEST.search(re.sub("[^A-Z ]", "", plain)) and not _THORACIC_SPINE.search(plain)):
        return False
    return re.sub("[^A-Z]", "", plain) in words or not words.isdisjoint(re.findall("[A-Z]+", plain))


def projection_of(header: Header) -> tuple[str, str]:
    """The view (`views.PROJECTIONS`, or '' where unknown), and a notice where what the header says is contradictory.

    What is said of the image (view position, its code, the patient's orientation) goes before what is said of its
    series; what is said of the examination counts only where nothing else does.
    """
    own = (header.view_position, header.view_code, of_orientation(header.orientation))
    series, study = header.descriptions[:1], header.descriptions[1:]
    ranked = [agreed(own), agreed(series), agreed(study)]
    said = [name for name in ranked if name]
    contradictory = any(own) and not ranked[0] and len({projection(text) for text in own} - {""}) > 1
    sides = {"LATERAL" if name in ("LATERAL", "OTHER") else "FRONTAL" for name in said[:2]}
    if contradictory or (ranked[0] and ranked[1] and len(sides) > 1):
        return "", "view is contradictory: position, code, orientation and description do not agree; taken as unknown"
    if not said:
        return "", "view is unknown: no view in position, code, orientation and description"
    return said[0], ""


def view_said(header: Header) -> str:
    """`Study.view` as a header says it: PA, AP, LATERAL, or '' where it is none of them or unknown."""
    return STORED.get(projection_of(header)[0], "")


def age_of(header: Header) -> tuple[float | None, str]:
    """Age in years, from its own element or from birth and study date; and a notice where it cannot be."""
    said = years(header.age)
    born, taken = day_of(header.birth_date), day_of(header.date)
    unclear = bool(header.age) and said is None
    if said is None and born and taken:
        said = float(int((taken - born).days / 365.25))
    if (said is not None and not 0 <= said <= OLDEST) or (unclear and said is None):
        return None, "age is not believable: taken as unknown"
    return said, "age is not believable: taken from birth and study date" if unclear else ""


def day_of(text: str, order: str = "") -> date | None:
    """A day from YYYYMMDD, 2020-03-31 (with or without time), 31.03.2020, or 31/03/2020 and 03/31/2020.

    Of the last two, both numbers below 13 are told apart by `order` (`dmy` or `mdy`) only: None without it.
    """
    match = re.match(r"\s*(?:(\d{4})(\d\d)(\d\d)(?!\d)|(\d{4})[-./](\d{1,2})[-./](\d{1,2})(?!\d))", text)
    if match:
        year, month, day = (int(number) for number in match.groups() if number)
        return _day(year, month, day)
    match = re.match(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?!\d)", text)
    if not match:
        return None
    first, second, year = int(match.group(1)), int(match.group(3)), int(match.group(4))
    if match.group(2) == "." or order == "dmy" or first > 12 or first == second:
        return _day(year, second, first)
    return _day(year, first, second) if order == "mdy" or second > 12 else None


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _class_name(uid: str) -> str:
    from pydicom import config
    from pydicom.uid import UID

    name = UID(uid, validation_mode=config.IGNORE).name  # of a damaged file, which may say anything
    return name if name != uid else "an object of an unknown class"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()

"""The 14 labels of CheXpert (Irvin et al. 2019) from kinds: 1 stated, 0 denied, -1 doubted, blank not mentioned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN, to_file

NO_FINDING_LABEL = "No Finding"
CHEXPERT: dict[str, tuple[str, ...]] = {
    NO_FINDING_LABEL: (NO_FINDING,),
    "Enlarged Cardiomediastinum": ("Enlarged_Cardiomediastinum",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Lung Opacity": ("Lung_Opacity", "Infiltration", "Interstitial_Markings", "Interstitial_Lung_Disease"),
    "Lung Lesion": ("Lung_Lesion", "Nodule", "Mass", "Cavity", "Metastasis"),
    "Edema": ("Edema",),
    "Consolidation": ("Consolidation",),
    "Pneumonia": ("Pneumonia", "COVID-19", "Aspiration", "Tuberculosis"),
    "Atelectasis": ("Atelectasis",),
    "Pneumothorax": ("Pneumothorax",),
    "Pleural Effusion": ("Effusion", "Empyema", "Hemothorax"),
    "Pleural Other": ("Pleural_Other", "Pleural_Thickening", "Pleural_Plaque"),
    "Fracture": ("Fracture",),
    "Support Devices": ("Support_Devices", "Orthopedic_Hardware"),
}
"""CheXpert label -> our kinds; the strongest statement among them counts. Columns in the order of CheXpert's files."""
_IMPLIED = ("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Lung Lesion")
"""Labels that CheXpert's hierarchy puts under Lung Opacity."""
_STRONGEST = (PRESENT, UNCERTAIN, ABSENT)


def chexpert_labels(states: Mapping[str, int]) -> dict[str, int | None]:
    """Kind states, as `kinds_of` gives them, to the 14 labels; None is blank.

    As in CheXpert's labeller, No Finding is 1 where no pathology is stated or doubted (devices are none), else blank,
    and a stated pathology of the lung makes Lung Opacity 1 where the report leaves it open. Unlike it, a report that
    mentions no kind at all is blank throughout.
    """
    labels = {label: _strongest(states[kind] for kind in kinds if kind in states) for label, kinds in CHEXPERT.items()}
    if labels["Lung Opacity"] is None and any(labels[label] == PRESENT for label in _IMPLIED):
        labels["Lung Opacity"] = PRESENT
    pathology = [labels[label] for label in CHEXPERT if label not in (NO_FINDING_LABEL, "Support Devices")]
    clear = bool(states) and not any(state in (PRESENT, UNCERTAIN) for state in pathology)
    labels[NO_FINDING_LABEL] = PRESENT if clear else None
    return {label: None if state is None else to_file(state) for label, state in labels.items()}


def _strongest(states: Iterable[int]) -> int | None:
    found = set(states)
    return next((state for state in _STRONGEST if state in found), None)

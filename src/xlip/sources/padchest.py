"""PadChest (Bustos et al. 2020): 16-bit PNG, Spanish reports, labels in a tree, a few files known to be damaged."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from xlip.errors import XLIPError
from xlip.reports.sections import clean
from xlip.sources.cells import number, sex_of
from xlip.sources.source import Candidate, Dropped, Row, first_existing, read_table, relative
from xlip.sources.views import view_of
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

TREE = {
    "Atelectasis": ("atelectasis", "laminar atelectasis", "lobar atelectasis", "segmental atelectasis",
                    "round atelectasis", "total atelectasis", "atelectasis basal"),
    "Cardiomegaly": ("cardiomegaly",),
    "Consolidation": ("consolidation", "alveolar pattern"),
    "Edema": ("pulmonary edema", "kerley lines"),
    "Effusion": ("pleural effusion", "loculated pleural effusion", "loculated fissural effusion", "hydropneumothorax"),
    "Emphysema": ("emphysema",),
    "Fibrosis": ("pulmonary fibrosis", "post radiotherapy changes"),
    "Hernia": ("hiatal hernia",),
    "Infiltration": ("infiltrates", "interstitial pattern", "reticular interstitial pattern",
                     "reticulonodular interstitial pattern", "miliary opacities", "ground glass pattern",
                     "alveolar pattern"),
    "Mass": ("pulmonary mass", "mediastinal mass", "pleural mass", "soft tissue mass", "mass"),
    "Nodule": ("nodule", "multiple nodules"),
    "Pleural_Thickening": ("pleural thickening", "apical pleural thickening"),
    "Pneumonia": ("pneumonia", "atypical pneumonia"),
    "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
    "Fracture": ("fracture", "rib fracture", "callus rib fracture", "clavicle fracture", "humeral fracture",
                 "vertebral fracture"),
    "Support_Devices": ("catheter", "central venous catheter", "central venous catheter via subclavian vein",
                        "central venous catheter via jugular vein", "central venous catheter via umbilical vein",
                        "reservoir central venous catheter", "endotracheal tube", "nsg tube", "chest drain tube",
                        "tracheostomy tube", "pacemaker", "single chamber device", "dual chamber device",
                        "electrical device", "dai", "ventriculoperitoneal drain tube", "gastrostomy tube",
                        "nephrostomy tube", "double j stent"),
    "Tuberculosis": ("tuberculosis", "tuberculosis sequelae"),
    "Granuloma": ("granuloma", "calcified granuloma", "calcified densities"),
    "Scoliosis": ("scoliosis",),
    "Enlarged_Cardiomediastinum": ("mediastinal enlargement", "superior mediastinal enlargement"),
    "Bulla": ("bullas",),
    "Cavity": ("cavitation",),
    "Empyema": ("empyema",),
    "Interstitial_Markings": ("interstitial pattern", "reticular interstitial pattern",
                              "reticulonodular interstitial pattern"),
    "Mediastinal_Mass": ("mediastinal mass",),
    "Pleural_Plaque": ("pleural plaques", "calcified pleural plaques", "calcified pleural thickening"),
}  # fmt: skip
"""Kind -> the labels that are it or stand below it in the label tree.

A label that kinds.yaml knows as a kind stands under that kind, whatever else it stands under.
"""
_NOT_A_FINDING = frozenset({"normal", "unchanged", "exclude", "suboptimal study", ""})
DAMAGED = frozenset(
    {
        "216840111366964012819207061112010307142602253_04-014-084.png",
        "216840111366964012989926673512011074122523403_00-163-058.png",
        "216840111366964012959786098432011033083840143_00-176-115.png",
        "216840111366964012558082906712009327122220177_00-102-064.png",
        "216840111366964012339356563862009072111404053_00-043-192.png",
        "216840111366964013076187734852011291090445391_00-196-188.png",
        "216840111366964012373310883942009117084022290_00-064-025.png",
        "216840111366964012283393834152009033102258826_00-059-087.png",
        "216840111366964012373310883942009170084120009_00-097-074.png",
        "216840111366964012819207061112010315104455352_04-024-184.png",
        "216840111366964012819207061112010306085429121_04-020-102.png",
        "216840111366964012989926673512011083134050913_00-168-009.png",
        "216840111366964012373310883942009152114636712_00-102-045.png",
        "216840111366964012819207061112010281134410801_00-129-131.png",
        "216840111366964012487858717522009280135853083_00-075-001.png",
        "216840111366964012989926673512011151082430686_00-157-045.png",
        "216840111366964013590140476722013043111952381_02-065-198.png",
        "216840111366964013590140476722013058110301622_02-056-111.png",
        "216840111366964013686042548532013208193054515_02-026-007.png",
        "216840111366964013829543166512013353113303615_02-092-190.png",
        "216840111366964013962490064942014134093945580_01-178-104.png",
    }
)
"""Files that several users report as damaged in the published archives."""


READERS = ("all", "physician")


def studies(root: Path, readers: str = "all") -> Iterator[Row]:
    """Rows of `PADCHEST_chest_x_ray_images_labels_160K*.csv[.gz]`; images in `{ImageDir}/`, `images/` or beside it.

    The report is the published Spanish text (lower case, without accents); every label and its place goes to `tags`.
    A kind is absent where the row has labels and none of its family; rows without labels, or with 'unchanged' or
    'exclude' alone, say nothing.

    Args:
        root: holds the table and the images.
        readers: `physician`: the rows that physicians labelled alone (`MethodLabel`; 39,053 images of all views), the
            others were labelled by a network trained on these; or `all`.
    """
    if readers not in READERS:
        raise XLIPError(f"readers: expected one of {', '.join(READERS)}; got {readers!r}")
    table = first_existing(root, "PADCHEST_chest_x_ray_images_labels_160K*.csv", "PADCHEST_*160K*.csv.gz")
    faults: list[Row] = []
    for line, row in read_table(table, ("ImageID", "ImageDir", "PatientID", "Projection", "Report", "Labels"), faults):
        where = f"{table.name}:{line}"
        if readers == "physician" and row.get("MethodLabel", "").strip().lower() != "physician":
            yield Dropped(where, "labelled by a network, not by a physician")
        else:
            yield _candidate(root, table.parent, where, row)
    yield from faults


def labels(said: list[str]) -> dict[str, int]:
    """Kinds of a row's labels, through the tree."""
    words = {label.strip().lower() for label in said}
    findings = words - _NOT_A_FINDING
    if not findings and "normal" not in words:
        return {}
    known: dict[str, int] = {
        kind: PRESENT if findings.intersection(family) else ABSENT for kind, family in TREE.items()
    }
    known[NO_FINDING] = ABSENT if findings else PRESENT
    return known


def words_of(cell: str) -> list[str]:
    """The strings of a cell that is written as a Python list, which may be nested; none where it is not."""
    try:
        value = ast.literal_eval(cell) if cell.startswith("[") else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    found: list[str] = []
    stack = list(reversed(value)) if isinstance(value, list) else []
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack += reversed(item)
        elif str(item).strip():
            found.append(str(item).strip())
    return found


def _candidate(root: Path, base: Path, where: str, row: dict[str, str]) -> Candidate | Dropped:
    name, projection = row["ImageID"], row["Projection"]
    if name in DAMAGED:
        return Dropped(where, f"not a readable image: {name} is damaged in the published archive")
    if projection in ("EXCLUDE", "COSTAL"):
        return Dropped(where, f"projection {projection} is not a chest view")
    places = (
        base / row["ImageDir"] / name,
        base / "images" / name,
        base / "images" / row["ImageDir"] / name,
        base / name,
    )
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return Dropped(where, f"image file {name} not found")
    said = words_of(row["Labels"])
    spacing = number(row.get("SpatialResolution_DICOM", ""))
    study = Study(
        f"padchest/{name}",
        f"padchest/{row['PatientID']}",
        "padchest",
        image_path=relative(file, root),
        report=clean(row["Report"]),
        labels=labels(said),
        view=view_of(projection),
        sex=sex_of(row.get("PatientSex_DICOM", "")),
        age=_age(row),
        width=int(number(row.get("Columns_DICOM", "")) or 0),
        height=int(number(row.get("Rows_DICOM", "")) or 0),
        pixel_spacing=(spacing, spacing) if spacing and spacing > 0 else None,
        tags=tuple(dict.fromkeys([*said, *words_of(row.get("LabelsLocalizationsBySentence", ""))])),
    )
    return Candidate(study, file)


def _age(row: dict[str, str]) -> float | None:
    taken, born = number(row.get("StudyDate_DICOM", "")[:4]), number(row.get("PatientBirth", "")[:4])
    age = taken - born if taken and born else None
    return age if age is not None and 0 <= age < 120 else None

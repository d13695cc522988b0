"""`xlip pacs write`: a model's answers about films as DICOM objects beside them."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xlip.errors import XLIPError
from xlip.explain.abstention import rule_of
from xlip.files import check_target, whole_folder, whole_text
from xlip.images.header import read_header
from xlip.pacs.predict import predict
from xlip.pacs.source import read_source
from xlip.pacs.spool import DIGITS
from xlip.pacs.write import chosen, objects, write_objects
from xlip.runtime.encoder import Encoder
from xlip.runtime.quality import judge
from xlip.sources.radiograph import view_said, why_not
from xlip.sources.source import Dropped
from xlip.sources.tree import tree

REFUSED = "refused.csv"
"""In the output's folder: each film that the quality gate refused, by the name that its folder would have."""


@dataclass(frozen=True)
class WriteConfig:
    """What is asked of which films, and in which form the answers are written."""

    data: str
    """DICOM file, or folder of them at any depth: a spool folder, an export."""
    model: str
    """Folder of a run, saved or exported model, or name of one."""
    out: str
    """Folder; each film gets one of its own in it, named by a hash of its SOP Instance UID."""
    kinds: str = "Effusion,Pneumothorax,Cardiomegaly,Consolidation,Atelectasis,Edema"
    """Findings to look for, separated by commas."""
    objects: str = "sc,pm,seg,sr"
    """sc: overlay as Secondary Capture; pm: Parametric Map; seg: binary Segmentation; sr: Structured Report."""
    prompts: str = "xlip"
    """Prompt set that stands for the kinds."""
    rule: str = ""
    """File of `xlip abstain`, which says when something is found; default: abstention.json of the model, else the
    shipped thresholds."""
    any_picture: bool = False
    """Write objects for films that the quality gate refuses, too: blank, inverted, or not a frontal chest film."""


@dataclass
class Written:
    """What was written."""

    films: int = 0
    objects: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> films."""
    refused: dict[str, str] = field(default_factory=dict)
    """Film, by the name that its folder would have -> why it cannot be judged."""


def write_films(encoder: Encoder, config: WriteConfig) -> Written:
    """Write the objects of every frontal chest radiograph; films whose folder is there are left as they are.

    The quality gate of `xlip embed` looks at each film first. Nothing is written for one that it refuses, which
    `OUT/refused.csv` names.

    Raises:
        XLIPError: no film at all, an unknown kind, a folder that cannot be written, the extra `[pacs]` is missing.
    """
    names = [name for name in config.kinds.split(",") if name.strip()]
    kinds, out, written = chosen(config.objects), Path(config.out), Written()
    check_target(out, folder=True)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    rule = rule_of(config.model, config.rule)
    for path, view in _radiographs(Path(config.data), written):
        try:
            source = read_source(path)
        except XLIPError as error:
            written.left_out[_reason(error)] += 1
            continue
        name = hashlib.sha256(str(source.header.SOPInstanceUID).encode()).hexdigest()[:DIGITS]
        if not config.any_picture and (reason := judge(source.pixels, view)):
            written.refused[name] = reason
            continue
        written.films += 1
        if all((out / name / f"{kind}.dcm").is_file() for kind in kinds):
            continue
        prediction = predict(encoder, source.pixels, names, config.prompts, rule)
        try:
            made = objects(source, prediction, kinds)
        except XLIPError as error:
            written.left_out[_reason(error)] += 1
            continue
        with whole_folder(out / name) as folder:
            written.objects += len(write_objects(made, folder))
    _name_refused(out, written.refused)
    if not written.films and not written.refused:
        said = "; ".join(list(written.left_out)[:3]) or "it is empty"
        raise XLIPError(f"{config.data}: expected DICOM radiographs of chests, found none ({said})")
    return written


def _name_refused(out: Path, refused: dict[str, str]) -> None:
    if refused or (out / REFUSED).exists():
        with whole_text(out / REFUSED) as stream:
            csv.writer(stream).writerows([("film", "reason"), *refused.items()])


def _radiographs(root: Path, written: Written) -> Iterator[tuple[Path, str]]:
    """Files, each with the view that its header says."""
    if root.is_file():
        try:
            header = read_header(root)
        except (XLIPError, OSError):
            header = None  # `read_source` says what is wrong with it
        yield root, view_said(header) if header else ""
        return
    if not root.is_dir():
        raise XLIPError(f"{root}: expected a DICOM file or a folder of them; there is none")
    for place in tree(root):
        if isinstance(place, Dropped):
            written.left_out[place.reason] += 1
            continue
        try:
            header = read_header(place[1])
        except (XLIPError, OSError) as error:
            written.left_out[_reason(error)] += 1
            continue
        reason = "not DICOM" if header is None else why_not(header, place[0], captures=False)
        if reason:
            written.left_out[reason] += 1
        else:
            assert header is not None
            yield Path(place[1]), view_said(header)


def _reason(error: Exception) -> str:
    """The last part of a message, without the file's name, which may be a patient's."""
    return f"cannot be read: {str(error).rpartition(': ')[2]}" if isinstance(error, XLIPError) else "cannot be read"

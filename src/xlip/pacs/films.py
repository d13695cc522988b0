"""`xlip pacs write`: a model's answers about films as DICOM objects beside them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xlip.errors import XLIPError
from xlip.files import check_target, whole_folder
from xlip.images.header import read_header
from xlip.pacs.predict import predict
from xlip.pacs.source import read_source
from xlip.pacs.spool import DIGITS
from xlip.pacs.write import chosen, objects, write_objects
from xlip.runtime.encoder import Encoder
from xlip.sources.radiograph import why_not
from xlip.sources.source import Dropped
from xlip.sources.tree import tree


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


@dataclass
class Written:
    """What was written."""

    films: int = 0
    objects: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> films."""


def write_films(encoder: Encoder, config: WriteConfig) -> Written:
    """Write the objects of every chest radiograph; films whose folder is there are left as they are.

    Raises:
        XLIPError: no film at all, an unknown kind, a folder that cannot be written, the extra `[pacs]` is missing.
    """
    names = [name for name in config.kinds.split(",") if name.strip()]
    kinds, out, written = chosen(config.objects), Path(config.out), Written()
    check_target(out, folder=True)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in _radiographs(Path(config.data), written):
        try:
            source = read_source(path)
        except XLIPError as error:
            written.left_out[_reason(error)] += 1
            continue
        name = hashlib.sha256(str(source.header.SOPInstanceUID).encode()).hexdigest()[:DIGITS]
        written.films += 1
        if all((out / name / f"{kind}.dcm").is_file() for kind in kinds):
            continue
        prediction = predict(encoder, source.pixels, names, config.prompts)
        try:
            made = objects(source, prediction, kinds)
        except XLIPError as error:
            written.left_out[_reason(error)] += 1
            continue
        with whole_folder(out / name) as folder:
            written.objects += len(write_objects(made, folder))
    if not written.films:
        said = "; ".join(list(written.left_out)[:3]) or "it is empty"
        raise XLIPError(f"{config.data}: expected DICOM radiographs of chests, found none ({said})")
    return written


def _radiographs(root: Path, written: Written) -> Iterator[Path]:
    if root.is_file():
        yield root
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
            yield Path(place[1])


def _reason(error: Exception) -> str:
    """The last part of a message, without the file's name, which may be a patient's."""
    return f"cannot be read: {str(error).rpartition(': ')[2]}" if isinstance(error, XLIPError) else "cannot be read"

"""`xlip pacs send`: DICOM files to an archive, by STOW-RS or C-STORE."""

from __future__ import annotations

import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.pacs.access import Access, tls_context
from xlip.pacs.extra import package
from xlip.pacs.web import LONGEST_WAIT, WebError, WebPeer

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

AT_ONCE = 16
"""Objects of one STOW-RS request."""
CONTEXTS = 128
"""Presentation contexts that an association can have at most."""
WARNINGS = (0xB000, 0xB006, 0xB007)
"""States of C-STORE under which the object is kept all the same."""
NO_SUCH_OBJECT = "the peer takes no such object"
PASSING = range(0xA700, 0xA800)
"""Refused for want of resources: may go well later."""


@dataclass(frozen=True)
class SendConfig:
    """What goes where."""

    files: list[str]
    """DICOM files, or folders of them."""
    to: str
    """Address of a DICOMweb service (https://pacs.example/dicom-web), or AETITLE@host:port."""
    aet: str = "XLIP"
    """AE title of this side, for C-STORE."""
    tls: bool = False
    """Speak TLS with AETITLE@host:port; https says so itself."""
    access: Access = field(default_factory=Access)
    """Names, passwords and certificates for the archive."""


@dataclass
class Sent:
    """What a sending came to."""

    kept: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Reason -> files. No name, no UID."""


def send(config: SendConfig) -> Sent:
    """Send each file and learn for each whether the archive has it now.

    Raises:
        XLIPError: no DICOM file there, an address that is none, a peer that cannot be reached, the extra is missing.
    """
    datasets = _read(config.files)
    if config.to.startswith(("http://", "https://")):
        return _by_web(datasets, config)
    match = re.fullmatch(r"([^@\s\\]{1,16})@([^@\s]+):(\d{1,5})", config.to)
    if match is None:
        raise XLIPError(f"--to: expected https://host/dicom-web or AETITLE@host:port, got {config.to!r}")
    return _by_association(datasets, config, match[1], match[2].strip("[]"), int(match[3]))


def _by_web(datasets: Sequence[Dataset], config: SendConfig) -> Sent:
    peer, sent = WebPeer(config.to, config.access, 1 << 20), Sent()
    for start in range(0, len(datasets), AT_ONCE):
        some = datasets[start : start + AT_ONCE]
        try:
            reasons = list(peer.store(some).values())
        except WebError as error:
            reasons = [str(error)] * len(some)
        sent.kept += reasons.count("")
        sent.failed.update(filter(None, reasons))
    return sent


def _by_association(datasets: Sequence[Dataset], config: SendConfig, title: str, host: str, port: int) -> Sent:
    """Objects that are refused for want of resources, or lost with a connection, are sent again on a new one."""
    sent, waiting, reasons = Sent(), list(datasets), Counter[str]()
    for attempt in range(max(config.access.attempts, 1)):
        if attempt:
            time.sleep(min(config.access.wait * 2 ** (attempt - 1), LONGEST_WAIT))
        with _association(waiting, config, title, host, port) as (association, why):
            left = []
            reasons.clear()
            for dataset in waiting:
                status = _stored(association, dataset)
                if status == 0 or status in WARNINGS:
                    sent.kept += 1
                elif status is None or status in PASSING:
                    left.append(dataset)
                    reasons[why or ("connection lost" if status is None else f"refused, 0x{status:04X}")] += 1
                else:
                    sent.failed[f"refused, 0x{status:04X}" if status > 0 else NO_SUCH_OBJECT] += 1
        waiting = left
        if not waiting:
            return sent
        if why == NO_SUCH_OBJECT:
            break
    if not sent.kept and not sent.failed and any("cannot be reached" in reason for reason in reasons):
        raise XLIPError(f"pacs send: {next(iter(reasons))}; check address, port, AE titles and --tls")
    sent.failed.update(reasons)
    return sent


@contextmanager
def _association(
    datasets: Sequence[Dataset], config: SendConfig, title: str, host: str, port: int
) -> Iterator[tuple[Any, str]]:
    net = package("pynetdicom")
    entity = net.AE(ae_title=config.aet)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = config.access.timeout
    entity.connection_timeout = config.access.timeout
    contexts = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID): None for one in datasets}
    for sop_class, syntax in list(contexts)[:CONTEXTS]:
        entity.add_requested_context(sop_class, syntax)
    tls = (tls_context(config.access, server=False), host) if config.tls else None
    association = entity.associate(host, port, ae_title=title, tls_args=tls)
    why = "the peer cannot be reached"
    if association.is_rejected:
        why = "the peer rejected the association"
    elif association.rejected_contexts:
        why = NO_SUCH_OBJECT
    try:
        yield association, "" if association.is_established else why
    finally:
        if association.is_established:
            association.release()


def _stored(association: Any, dataset: Dataset) -> int | None:
    """The state of one C-STORE; None where the connection is gone, -1 where the peer takes no such object."""
    if not association.is_established:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = association.send_c_store(dataset)
    except ValueError:  # no accepted presentation context
        return -1
    except RuntimeError:  # the association ended before it was sent
        return None
    status = answer.get("Status")
    return None if status is None else int(status)


def _read(names: Sequence[str]) -> list[Dataset]:
    pydicom = package("pydicom")
    files: list[Path] = []
    for name in names:
        path = Path(name)
        files += sorted(one for one in path.rglob("*.dcm") if one.is_file()) if path.is_dir() else [path]
    if not files:
        raise XLIPError("pacs send: expected DICOM files, or folders that hold some as *.dcm; found none")
    datasets = []
    for file in files:
        with warnings.catch_warnings(), reading(file, "give DICOM files"):
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(file)
        missing = [
            keyword for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID") if keyword not in dataset
        ]
        if missing or "TransferSyntaxUID" not in dataset.file_meta:
            raise XLIPError(f"{file}: expected a DICOM object with {', '.join(missing) or 'a transfer syntax'}")
        datasets.append(dataset)
    return datasets

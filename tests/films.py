"""Phantoms as DICOM films, and a DICOMweb server that misbehaves as it is told."""

from __future__ import annotations

import io
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from bad_archives import PEOPLE, Exam, dicom
from xlip.phantom import generate


def film(number: int, size: int = 64, columns: int = 0, **fields: Any) -> FileDataset:
    """A frontal phantom of a patient of its own study, `columns` wide; `fields` are set on top."""
    pixels = generate(number, seed=0, size=size).pixels.astype(np.int64) * 16
    made = dicom(Exam(number, PEOPLE[number % len(PEOPLE)]), "PA", pixels[:, : columns or size])
    made.StudyTime, made.StudyID, made.SeriesNumber, made.InstanceNumber = "101500", str(number), 1, 1
    made.PatientOrientation = ["L", "F"]
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def encoded(dataset: FileDataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
SECRETS = {part for name, mrn, *_ in PEOPLE for part in (*name.replace("-", "^").split("^"), mrn)}
"""What must stand in no log, no message and no file name."""


@dataclass
class Server:
    """What a fake archive holds, and how it behaves."""

    films: list[FileDataset]
    obeys_limit: bool = True
    obeys_offset: bool = True
    cap: int = 10**6
    """Results that are sent at once, whatever the limit."""
    counts: bool = True
    """Whether it says how many series and instances there are."""
    before: Callable[[str], tuple[int, dict[str, str], bytes] | None] = lambda path: None
    """An answer in place of the true one."""
    mangle: Callable[[bytes], bytes] = lambda body: body
    """What is done to the body of an instance after its length was announced."""
    single: bool = False
    """Send instances without multipart."""
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, target: str) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(target)
        path, query = unquote(parts.path), parse_qs(parts.query)
        self.requests.append(path)
        if (said := self.before(path)) is not None:
            return said
        steps = path.strip("/").split("/")
        chosen = self.films
        for keyword, uid in zip(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), steps[1::2], strict=False):
            chosen = [one for one in chosen if one[keyword].value == uid]
        if len(steps) == 6:
            return self._instance(chosen)
        keyword, level = {
            "studies": ("StudyInstanceUID", "study"),
            "series": ("SeriesInstanceUID", "series"),
            "instances": ("SOPInstanceUID", "instance"),
        }[steps[-1]]
        if days := query.get("StudyDate", [""])[0]:
            first, _, last = days.partition("-")
            last = last or ("99999999" if "-" in days else first)
            chosen = [one for one in chosen if (first or "0") <= one.StudyDate <= last]
        if modality := query.get("ModalitiesInStudy", [""])[0]:
            chosen = [one for one in chosen if one.Modality == modality]
        listed = {one[keyword].value: one for one in chosen}
        results = [self._result(one, level) for one in listed.values()]
        offset = int(query.get("offset", ["0"])[0]) if self.obeys_offset else 0
        limit = int(query.get("limit", ["1000000"])[0]) if self.obeys_limit else 10**6
        page = results[offset : offset + min(limit, self.cap)]
        return (200 if page else 204), {"Content-Type": "application/dicom+json"}, json.dumps(page).encode()

    def _result(self, one: FileDataset, level: str) -> dict[str, Any]:
        values = {"0020000D": one.StudyInstanceUID, "00080020": one.StudyDate, "00100010": str(one.PatientName)}
        if level != "study":
            values |= {"0020000E": one.SeriesInstanceUID, "00080060": one.Modality}
        if level == "instance":
            values |= {"00080018": one.SOPInstanceUID}
        numbers: dict[str, Any] = {}
        if self.counts:
            same = [other for other in self.films if other.StudyInstanceUID == one.StudyInstanceUID]
            numbers["00201206"] = len({other.SeriesInstanceUID for other in same})
            numbers["00201209"] = len({o.SOPInstanceUID for o in same if o.SeriesInstanceUID == one.SeriesInstanceUID})
        return {tag: {"vr": "LO", "Value": [value]} for tag, value in (values | numbers).items()}

    def _instance(self, chosen: list[FileDataset]) -> tuple[int, dict[str, str], bytes]:
        if not chosen:
            return 404, {}, b""
        data = encoded(chosen[0])
        if self.single:
            return 200, {"Content-Type": "application/dicom"}, data
        body = b"\r\n--xx\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--xx--"
        return 200, {"Content-Type": 'multipart/related; type="application/dicom"; boundary=xx'}, body


def self_signed(folder: Path) -> Path:
    """A PEM file with a key and a certificate for this machine, by openssl."""
    key, certificate, both = (folder / name for name in ("key.pem", "cert.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return both


@contextmanager
def serving(server: Server, certificate: Path | None = None) -> Iterator[Server]:
    """The fake archive on a loopback port, by TLS where it has a certificate; `url` says where."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.authorizations.append(self.headers.get("Authorization", ""))
            status, headers, body = server.answer(self.path)
            sent = server.mangle(body) if self.path.count("/") == 6 and status == 200 else body
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()  # without a length: the end of the connection is the end of the body (HTTP 1.0)
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        web.socket = context.wrap_socket(web.socket, server_side=True)
        web.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that refuses us
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"{'https' if certificate else 'http'}://127.0.0.1:{web.server_address[1]}"
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()

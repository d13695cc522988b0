"""Debian's Orthanc with its DICOMweb plugin, on loopback, with a folder and passwords of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

BINARY = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or ""
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
needs_orthanc = pytest.mark.skipif(
    not (BINARY and PLUGIN.exists()), reason="no Orthanc with DICOMweb; `make system` installs both as root"
)
USER, PASSWORD = "ann", "for-tests-alone"


@dataclass(frozen=True)
class Orthanc:
    """A running archive."""

    port: int
    dicom_port: int
    listener_port: int
    """Where it expects the peer that it calls `xlip`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, data: bytes | None = None) -> Any:
        """Its own REST interface, which is neither DICOMweb nor any code of ours."""
        method = "GET" if data is None else "POST"
        answer = requests.request(method, self.url + path, data=data, auth=(USER, PASSWORD), timeout=10)
        answer.raise_for_status()
        return answer.json()

    def stored(self) -> dict[str, dict[str, str]]:
        """SOP Instance UID -> what it says of itself."""
        found = {}
        for name in self.ask("/instances"):
            tags = self.ask(f"/instances/{name}/simplified-tags")
            found[tags["SOPInstanceUID"]] = tags
        return found


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """An empty archive that ends with the block."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        running = Orthanc(*(server.getsockname()[1] for server in servers))
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": running.port,
        "DicomPort": running.dicom_port,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomAlwaysAllowStore": True,
        "DicomModalities": {"xlip": ["XLIP", "127.0.0.1", running.listener_port]},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([BINARY, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (folder / "orthanc.log").read_text()[-2000:]
            try:
                running.ask("/system")
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait(10)

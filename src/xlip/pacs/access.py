"""How a PACS is spoken to: names, secrets, certificates, patience."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from xlip.errors import XLIPError
from xlip.files import reading

PASSWORD, TOKEN = "XLIP_PACS_PASSWORD", "XLIP_PACS_TOKEN"
"""Environment variables of the secrets."""


@dataclass(frozen=True)
class Access:
    """Secrets come from files or the environment, never from an option: options are seen by everyone on a machine."""

    user: str = ""
    """Name for HTTP basic authentication; the password comes from `password_file` or $XLIP_PACS_PASSWORD."""
    password_file: str = ""
    """File whose first line is the password."""
    token_file: str = ""
    """File whose first line is a bearer token; else $XLIP_PACS_TOKEN."""
    cleartext: bool = False
    """Send a secret over plain http to another machine."""
    ca: str = ""
    """PEM file of the authorities that the peer's certificate must come from; default: those of the system."""
    cert: str = ""
    """PEM file with this side's certificate."""
    key: str = ""
    """PEM file with the certificate's private key; default: it stands in `cert`."""
    timeout: float = 60.0
    """Seconds without an answer after which a request is given up."""
    attempts: int = 5
    """How often a request is tried."""
    wait: float = 1.0
    """Seconds before the second attempt; doubled before each further one."""


@dataclass(frozen=True)
class Secrets:
    """Never shown: its repr names no value."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def secrets_for(url: str, access: Access) -> Secrets:
    """What is sent along to a DICOMweb server.

    Raises:
        XLIPError: the URL is none, holds a secret, or is plain http to another machine while there is a secret; a file
            cannot be read; a user without a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise XLIPError("pacs: expected a DICOMweb address such as https://pacs.example/dicom-web")
    if parts.password or parts.username:
        raise XLIPError(
            f"pacs: the address holds a user or password; give --access.user, and the password in ${PASSWORD} or a file"
        )
    password = _secret(access.password_file, PASSWORD)
    token = _secret(access.token_file, TOKEN)
    if access.user and not password:
        raise XLIPError(f"pacs: a user without a password; set ${PASSWORD} or name --access.password_file")
    found = Secrets(access.user, password if access.user else "", "" if access.user else token)
    secret = found.password or found.token
    if secret and parts.scheme == "http" and not is_loopback(parts.hostname) and not access.cleartext:
        raise XLIPError(
            "pacs: a secret would travel unencrypted; use https, or allow it with --access.cleartext inside a safe net"
        )
    return found


def tls_context(access: Access, *, server: bool) -> ssl.SSLContext:
    """TLS 1.2 or later. A client checks the server's certificate; a server with `ca` demands one of its clients.

    Raises:
        XLIPError: a file is missing or is no certificate or key.
    """
    purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
    with reading("TLS", "name PEM files with --access.ca, --access.cert and --access.key"):
        context = ssl.create_default_context(purpose, cafile=access.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if access.cert:
            context.load_cert_chain(access.cert, access.key or None)
    if server:
        if not access.cert:
            raise XLIPError("pacs: TLS on the listening side needs --access.cert and --access.key")
        context.verify_mode = ssl.CERT_REQUIRED if access.ca else ssl.CERT_NONE
    return context


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(path: str, variable: str) -> str:
    if not path:
        return os.environ.get(variable, "")
    with reading(path, "name a file whose first line is the secret"):
        lines = Path(path).read_text("utf-8").splitlines()
    if not lines or not lines[0].strip():
        raise XLIPError(f"{path}: expected a secret in the first line; it is empty")
    return lines[0].strip()

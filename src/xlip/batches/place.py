"""Where a pretrained model is: a folder here, or a name on a hub that can be reached."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse

from xlip.errors import XLIPError
from xlip.files import brought_back

PROBE_SECONDS = 5.0


def checked_place(name: str | os.PathLike[str], option: str = "") -> str:
    """The name of a folder that exists, or of a hub model, as it was given.

    A misspelt path is refused at once: asked for it, the hub's client would retry for a minute.

    Args:
        name: folder, or hub id (NAME or OWNER/NAME).
        option: what the name was given to, for the message.

    Raises:
        XLIPError: neither a folder nor a possible hub id; or a hub id that is not in the local cache while the hub
            cannot be reached.
    """
    given = os.fspath(name)
    start = f"{option} {given}" if option else given
    with suppress(OSError):  # nothing is brought back where nothing may be written
        brought_back(Path(given))
    if Path(given).exists():
        return given
    head, *rest = given.split("/")
    if not head or head[0] in ".~" or len(rest) > 1 or (rest and not rest[0]) or "\\" in given or Path(head).is_dir():
        raise XLIPError(f"{start}: no such folder; check the path, or name a hub model as OWNER/NAME")
    if not _cached(given) and not _hub_answers():
        raise XLIPError(
            f"{start}: no such folder, not in the local cache of hub models, and the hub cannot be reached; check the "
            "path, or fetch the model where there is a network"
        )
    return given


def _cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except ValueError:  # no name that a hub takes
        return False


def _hub_answers() -> bool:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    where = urlparse(proxy or constants.ENDPOINT)
    try:
        with socket.create_connection((where.hostname or "", where.port or 443), PROBE_SECONDS):
            return True
    except OSError:
        return False

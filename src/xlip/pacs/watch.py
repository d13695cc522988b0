"""`xlip triage AETITLE@host:port`: films that a modality or an archive sends, judged as they come."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from xlip.errors import XLIPError
from xlip.explain.reference import Reference
from xlip.pacs.listen import ListenConfig, Listener
from xlip.pacs.triage import TriageConfig, triage
from xlip.runtime.encoder import Encoder

FILMS = "films"
"""In the worklist's folder: what was received."""
PAUSE = 0.1
"""Seconds between two looks at what has come."""


def own_entity(source: str) -> tuple[str, str, int] | None:
    """AE title, address and port of `AETITLE@host:port`; None for anything else, and for a file of such a name."""
    match = re.fullmatch(r"([^@\s\\/]{1,16})@([^@\s/:]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})", source)
    if match is None or Path(source).exists():
        return None
    return match[1], match[2].strip("[]"), int(match[3])


def triage_what_comes(
    config: TriageConfig, encoder: Encoder, say: Callable[[str], None], reference: Reference | None = None
) -> dict[str, int]:
    """Receive films as the AE that `config.source` names, and keep the worklist up to date; see `triage`.

    It ends when it is stopped, or when nothing came for `config.idle` seconds; what has come is judged then.

    Raises:
        XLIPError: the source is no such name, the port cannot be had, nothing came, the extra `[pacs]` is missing; and
            as `triage`.
    """
    entity = own_entity(config.source)
    if entity is None:
        raise XLIPError(f"triage.source: expected AETITLE@host:port, got {config.source!r}")
    title, host, port = entity
    films = Path(config.out).with_suffix("") / FILMS
    listening = ListenConfig(str(films), port=port, host=host, aet=title, peers=config.peers, idle=config.idle)
    here, judged = replace(config, source=str(films)), 0
    counts: dict[str, int] = {}
    with Listener(listening, say) as listener:
        say(f"listening as {title} at {host}:{listener.port}")
        with suppress(KeyboardInterrupt):  # also `Stopped`: ending is what the signal asks for
            while not listener.done:
                if (come := listener.received.kept) > judged:
                    counts, judged = triage(here, encoder, say, reference), come
                else:
                    time.sleep(PAUSE)
    if not any(films.rglob("*.dcm")):
        raise XLIPError(f"{config.source}: expected at least one film, none was sent")
    return triage(here, encoder, say, reference) if not counts or listener.received.kept > judged else counts

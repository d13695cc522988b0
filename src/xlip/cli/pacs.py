"""The commands that speak DICOM: pacs pull, listen, write, send."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlip.pacs.films import WriteConfig
    from xlip.pacs.listen import ListenConfig
    from xlip.pacs.pull import PullConfig
    from xlip.pacs.send import SendConfig


def run_pull(config: PullConfig) -> int:
    """Pull; 1 where something could not be had, or may be missing."""
    from xlip.cli.data import progress_bar
    from xlip.pacs.pull import pull

    with progress_bar("pull") as progress:
        pulled = pull(config, progress)
    print(f"{config.out}: {pulled.fetched} files of {pulled.studies} studies; {pulled.there} were there")
    _print_counts("failed", pulled.failed)
    _print_counts("warning", pulled.warnings)
    if pulled.failed:
        print("run the same command again: it goes on with what is missing")
    return 1 if pulled.failed or pulled.warnings else 0


def run_listen(config: ListenConfig) -> None:
    """Listen."""
    from xlip.pacs.listen import listen

    received = listen(config, lambda line: print(line, flush=True))
    print(f"{config.out}: kept {received.kept} objects, {received.repeated} were there")
    _print_counts("refused", received.refused)


def run_write(config: WriteConfig) -> int:
    """Write DICOM objects; 1 where a film could not be used."""
    from xlip.cli.encoders import open_encoder
    from xlip.pacs.films import write_films

    written = write_films(open_encoder(config.model), config)
    print(f"{config.out}: {written.objects} objects of {written.films} films; research use only, not for diagnosis")
    _print_counts("left out", written.left_out)
    for film, reason in written.refused.items():
        print(f"refused {film}: {reason}", file=sys.stderr)
    return 1 if written.left_out or written.refused else 0


def run_send(config: SendConfig) -> int:
    """Send; 1 where something was not kept."""
    from xlip.pacs.send import send

    sent = send(config)
    print(f"{config.to}: kept {sent.kept} objects")
    _print_counts("failed", sent.failed)
    return 1 if sent.failed else 0


def _print_counts(what: str, counts: Counter[str]) -> None:
    for reason, count in counts.most_common():
        print(f"{what} {count}: {reason}", file=sys.stderr)

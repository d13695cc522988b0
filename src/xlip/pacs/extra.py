"""The packages of the extra `[pacs]`: asked for by name where they are needed, and kept quiet."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from xlip.errors import XLIPError

LOUD = ("dicomweb_client", "pynetdicom", "highdicom", "pydicom", "retrying", "urllib3")
"""Loggers that write UIDs, URLs with UIDs or names of patients."""


def package(name: str) -> Any:
    """A package of the extra, such as `highdicom` or `pynetdicom.sop_class`; its log is silent from then on.

    Raises:
        XLIPError: it is not installed.
    """
    for loud in LOUD:
        logging.getLogger(loud).setLevel(logging.CRITICAL + 1)
    try:
        return import_module(name)
    except ImportError as error:
        missing = name.partition(".")[0].replace("_", "-")
        raise XLIPError(f"pacs: needs the package {missing}; install it with `pip install 'xlip[pacs]'`") from error

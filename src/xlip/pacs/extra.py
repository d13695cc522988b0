"""The packages of the extra `[pacs]`: asked for by name where they are needed, and kept quiet."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any

from xlip.errors import XLIPError

LOUD = ("dicomweb_client", "pynetdicom", "highdicom", "pydicom", "retrying", "urllib3")
"""Packages that write UIDs, URLs with UIDs or names of patients into their logs and warnings."""


def package(name: str) -> Any:
    """A package of the extra, such as `highdicom` or `pynetdicom.sop_class`; it logs and warns of nothing from then on.

    Raises:
        XLIPError: it is not installed.
    """
    for loud in LOUD:
        logging.getLogger(loud).setLevel(logging.CRITICAL + 1)
    # For all threads: those of a storage service meet values of wrong forms, which a warning would print.
    warnings.filterwarnings("ignore", module=rf"({'|'.join(LOUD)})(\.|$)")
    try:
        return import_module(name)
    except ImportError as error:
        missing = name.partition(".")[0].replace("_", "-")
        raise XLIPError(f"pacs: needs the package {missing}; install it with `pip install 'xlip[pacs]'`") from error

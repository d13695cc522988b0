"""Every data set that `xlip prepare` reads, by name; one file each."""

from __future__ import annotations

from importlib import import_module

from xlip.errors import XLIPError
from xlip.sources.source import Source

SOURCES = {
    "phantom": "phantom",
    "mimic-cxr": "mimic",
    "chexpert": "chexpert",
    "openi": "openi",
    "nih": "nih",
    "rsna": "rsna",
    "siim": "siim",
    "covidx": "covidx",
    "chestxdet10": "chestxdet10",
    "padchest": "padchest",
    "padchest-gr": "padchest_gr",
    "brax": "brax",
    "rexgradient": "rexgradient",
    "vindr": "vindr",
    "covid-chestxray": "covid_chestxray",
    "hannover": "hannover",
    "kermany": "kermany",
    "tuberculosis": "tuberculosis",
    "medmnist": "medmnist",
    "roco": "roco",
    "csv": "csv",
    "folder": "folder",
    "dicom": "dicom_tree",
}
"""Name -> module, imported when asked for."""


def load_source(name: str) -> Source:
    """The generator of a source.

    Raises:
        XLIPError: no source has this name.
    """
    if name not in SOURCES:
        raise XLIPError(f"unknown source {name!r}; expected one of {', '.join(SOURCES)}")
    source: Source = import_module(f"xlip.sources.{SOURCES[name]}").studies
    return source

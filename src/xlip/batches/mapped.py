"""A prepared set as a table on disk, which every process of a run maps into its memory."""

from __future__ import annotations

import atexit
import errno
import logging
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading, remove_tree

REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
logger = logging.getLogger(__name__)


def mapped(path: str, files: Sequence[Path], advice: str) -> Any:
    """The rows of a set's Parquet files as a `datasets.Dataset`.

    `datasets` writes them as Arrow into its own cache first (`$HF_DATASETS_CACHE`); where that cannot be written, into
    a folder that goes at the end of the process.

    Args:
        path: of the set, for messages.
        files: its Parquet files.
        advice: what to do where they cannot be read.

    Raises:
        XLIPError: they cannot be read, or there is no room for the copy.
    """
    import datasets

    datasets.disable_progress_bars()
    place = Path(datasets.config.HF_DATASETS_CACHE)
    if not _may_write(place):
        logger.warning("%s: cannot be written; the set is copied to a folder that goes at the end", place)
        place = _of_this_process()
    with reading(path, advice):
        try:
            return datasets.load_dataset(
                "parquet", data_files=[str(file) for file in files], split="train", cache_dir=str(place)
            )
        except Exception as error:
            if reason := _refused(error, files):
                raise XLIPError(
                    f"{place}: cannot write the copy of {path} that training maps ({reason}); make room, or name "
                    "another place by HF_HOME"
                ) from error
            raise


def _may_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)  # no other place is better; said where it is written


@cache
def _of_this_process() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="xlip-"))
    atexit.register(remove_tree, folder)
    return folder


def _refused(error: BaseException | None, files: Sequence[Path]) -> str:
    """Why something else than the set's own files could not be used; '' where that is not the fault."""
    own = {str(file) for file in files}
    while error is not None:
        if isinstance(error, OSError) and error.errno in REFUSED and str(error.filename) not in own:
            return error.strerror or str(error)
        error = error.__cause__ or error.__context__
    return ""

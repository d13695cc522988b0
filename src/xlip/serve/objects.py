"""A prediction as DICOM objects to take away; the writers are those of `xlip pacs write`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec

from xlip.errors import XLIPError
from xlip.explain.explanation import Explanation
from xlip.serve.films import Film, is_dicom
from xlip.serve.problems import RequestError


def no_objects() -> str:
    """Why this service makes no DICOM objects; '' where it does."""
    return "" if find_spec("highdicom") else "the extra `pacs` is not installed here (`pip install 'xlip[pacs]'`)"


def check_objects(film: Film) -> None:
    """Whether objects can be made of a film, as far as that is known before anything is computed.

    Raises:
        RequestError: they cannot.
    """
    if reason := no_objects():
        raise RequestError("no-dicom", reason)
    if not is_dicom(film.data):
        raise RequestError("no-dicom", "expected a film that came as DICOM: its objects stand in its study")
    if film.warning:
        raise RequestError("no-dicom", f"this film cannot be judged: {film.warning}")


def zipped_objects(
    film: Film, found: Sequence[Explanation], preprocess: str, model: str, kinds: Sequence[str]
) -> bytes:
    """`sc.dcm`, `pm.dcm`, `seg.dcm`, `sr.dcm` or some of them in a ZIP file.

    Args:
        film: as DICOM.
        found: its findings.
        preprocess: how it became the square.
        model: identity of the weights.
        kinds: of the objects; none: all.

    Raises:
        RequestError: the film's header allows no valid object.
    """
    # Here: a service that is never asked for objects starts without what makes them.
    from xlip.pacs.finding import Prediction
    from xlip.pacs.source import source_of
    from xlip.pacs.write import KINDS, encoded, objects

    try:
        prediction = Prediction(found, preprocess, model)
        made = objects(source_of("film", film.data), prediction, kinds or tuple(KINDS))
    except XLIPError as error:
        raise RequestError("no-dicom", str(error)) from None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, dataset in made.items():
            archive.writestr(zipfile.ZipInfo(f"{kind}.dcm"), encoded(dataset), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()

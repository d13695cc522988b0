"""A DICOMweb server: searched, read and written through `dicomweb-client`, with patience and bounds of our own."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from xlip.errors import XLIPError
from xlip.pacs.access import Access, secrets_for
from xlip.pacs.extra import package

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

T = TypeVar("T")
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes after which a request is worth repeating."""
LONGEST_WAIT = 60.0
"""Seconds between two attempts at most, whatever the server asks for."""
SEARCH_BYTES = 256 << 20
"""Of one page of a search."""


class WebError(XLIPError):
    """What a request came to, in words without any identifier."""


class CutShortError(ConnectionError):
    """A body without its end."""


class WebPeer:
    """One server. Errors name no URL: below a study, a URL holds its UID."""

    def __init__(self, url: str, access: Access, most_bytes: int, sleep: Callable[[float], None] = time.sleep) -> None:
        """Prepare to speak with a server; nothing is sent yet.

        Args:
            url: of the service, such as `https://pacs.example/dicom-web`.
            access: secrets, certificates and patience.
            most_bytes: of one instance; a longer one is refused while it comes.
            sleep: waits.

        Raises:
            XLIPError: a bad address or secret, or the extra `[pacs]` is missing.
        """
        secrets = secrets_for(url, access)
        web, requests = package("dicomweb_client"), package("requests")
        session = requests.Session()
        if secrets.token:
            session.auth = partial(_with_token, secrets.token)  # as a header alone, a .netrc would take its place
        elif secrets.user:
            session.auth = (secrets.user, secrets.password)
        if access.ca:  # which the environment's own bundle ($REQUESTS_CA_BUNDLE) would overrule
            session.proxies.update(requests.utils.get_environ_proxies(url))
            session.trust_env, session.verify = False, access.ca
        if access.cert:
            session.cert = (access.cert, access.key) if access.key else access.cert
        self.access, self.most_bytes, self.sleep = access, most_bytes, sleep
        self.body = b""
        self.limit = most_bytes
        self.client = web.DICOMwebClient(
            url.rstrip("/"), session=session, callback=self._received, permissive_uid=True, timeout=access.timeout
        )
        self.client.set_http_retry_params(retry=False)

    def studies(self, filters: dict[str, str], limit: int, offset: int) -> list[dict[str, Any]]:
        """One page of studies (QIDO-RS).

        Raises:
            WebError: it could not be had.
        """
        numbers = ["NumberOfStudyRelatedSeries", "ModalitiesInStudy", "StudyDate"]
        return self._search(
            lambda: self.client.search_for_studies(limit=limit, offset=offset, fields=numbers, search_filters=filters)
        )

    def series(self, study: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """One page of the series of a study."""
        numbers = ["NumberOfSeriesRelatedInstances", "Modality"]
        return self._search(lambda: self.client.search_for_series(study, limit=limit, offset=offset, fields=numbers))

    def instances(self, study: str, series: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """One page of the instances of a series."""
        return self._search(lambda: self.client.search_for_instances(study, series, limit=limit, offset=offset))

    def instance(self, study: str, series: str, instance: str) -> bytes:
        """One instance as the server stores it, a whole DICOM file (WADO-RS).

        Raises:
            WebError: it could not be had, is too large, damaged, or is another one.
        """

        def retrieve() -> bytes:
            self.limit = self.most_bytes
            dataset = self.client.retrieve_instance(study, series, instance)
            if str(dataset.get("SOPInstanceUID", "")) != instance:
                raise WebError("another instance came than was asked for")
            return _only_part(self.body)

        return self._patiently(retrieve)

    def store(self, datasets: Sequence[Dataset]) -> dict[str, str]:
        """Store instances (STOW-RS): SOP Instance UID -> '' where the server has it now, else why not.

        Raises:
            WebError: the request as a whole failed.
        """
        self.limit = SEARCH_BYTES
        answer = self._patiently(lambda: self.client.store_instances(datasets))
        failed = {
            str(item.get("ReferencedSOPInstanceUID", "")): f"refused, reason 0x{int(item.get('FailureReason', 0)):04X}"
            for item in answer.get("FailedSOPSequence") or ()
        }
        stored = {str(item.get("ReferencedSOPInstanceUID", "")) for item in answer.get("ReferencedSOPSequence") or ()}
        uids = [str(dataset.SOPInstanceUID) for dataset in datasets]
        silent = [uid for uid in uids if uid not in failed and uid not in stored]
        # Some servers answer without a list, or in a form that the client does not read: then they are asked.
        return {uid: failed.get(uid) or self._missing(uid, silent) for uid in uids}

    def _missing(self, uid: str, silent: Iterable[str]) -> str:
        if uid not in silent:
            return ""
        found = self._search(
            lambda: self.client.search_for_instances(search_filters={"SOPInstanceUID": uid}, limit=10, offset=0)
        )
        there = any(value_of(item, "00080018") == uid for item in found)
        return "" if there else "the server did not say that it kept it, and does not find it"

    def _search(self, ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        self.limit = SEARCH_BYTES
        found = self._patiently(ask)
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise WebError("the server's answer is no list of results (DICOM JSON)")
        return found

    def _received(self, response: Any, *_: Any, **__: Any) -> Any:
        """Read a body within its bound and see that it is whole, before the client takes it apart."""
        body, size = [], 0
        for chunk in response.iter_content(1 << 16):
            size += len(chunk)
            if size > self.limit:
                response.close()
                raise WebError(f"more than {self.limit >> 20} MB, which is the bound; raise --megabytes")
            body.append(chunk)
        self.body = b"".join(body)
        response._content = self.body  # so that `content` gives what was read
        kind = response.headers.get("Content-Type", "")
        boundary = kind.partition("boundary=")[2].partition(";")[0].strip('" ').encode()
        if kind.startswith("multipart/") and boundary and b"--" + boundary + b"--" not in self.body[-200:]:
            raise CutShortError
        return response

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask; again after faults that may pass, with growing pauses or as long as the server says."""
        requests = package("requests")
        for attempt in range(1, max(self.access.attempts, 1) + 1):
            pause = min(self.access.wait * 2 ** (attempt - 1) * random.uniform(0.8, 1.2), LONGEST_WAIT)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the client warns of servers that send one part, with the URL
                    return ask()
            except WebError:
                raise
            except requests.exceptions.SSLError as error:
                raise WebError(
                    "the server's certificate is not trusted; name its authority with --access.ca"
                ) from error
            except requests.HTTPError as error:
                status = error.response.status_code
                reason = f"HTTP {status}"
                if status not in PASSING:
                    raise WebError(f"{reason}{_advice(status)}") from None
                pause = _asked_for(error.response.headers.get("Retry-After", ""), pause)
            except CutShortError:
                reason = "the answer was cut short"
            except (requests.RequestException, ConnectionError, TimeoutError) as error:
                reason = type(error).__name__
            except Exception as error:  # pydicom and the client raise errors of a dozen types on bytes that are neither
                raise WebError(f"the answer cannot be read ({type(error).__name__})") from None
            if attempt < self.access.attempts:
                self.sleep(pause)
        raise WebError(f"no answer after {max(self.access.attempts, 1)} attempts ({reason})")


def value_of(item: dict[str, Any], tag: str) -> str:
    """The first value of an element of DICOM JSON as text; '' where it has none."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]).strip() if isinstance(values, list) and values and values[0] is not None else ""


def _with_token(token: str, request: Any) -> Any:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def _only_part(body: bytes) -> bytes:
    """The file inside a multipart answer of one part; the body itself where a server sends it bare."""
    if body[128:132] == b"DICM":
        return body
    head, _, rest = body.partition(b"\r\n\r\n")
    boundary = head.lstrip(b"\r\n").partition(b"\r\n")[0]
    return rest[: rest.rindex(b"\r\n" + boundary)]


def _asked_for(text: str, otherwise: float) -> float:
    return min(float(text), LONGEST_WAIT) if text.isdigit() else otherwise


def _advice(status: int) -> str:
    if status in (401, 403):
        return ": not allowed; give --access.user with a password, or a token"
    return ": there is no DICOMweb service, or no such object" if status == 404 else ""

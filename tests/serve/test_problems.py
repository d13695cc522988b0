"""Every fault of a request has a type of its own (RFC 9457), and none is a crash."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from film_files import as_dicom
from PIL import Image
from served_encoder import FakeEncoder

from xlip.images.files import encode
from xlip.serve.problems import KINDS, MEDIA_TYPE, PREFIX

KEYS = {"ward": "a-token-of-some-length"}
ASKED: dict[str, Any] = {
    "bad-request": lambda client, png: client.post(
        "/v1/embed", content="{", headers={"content-type": "application/json"}
    ),
    "no-image": lambda client, png: client.post("/v1/zeroshot"),
    "foreign-origin": lambda client, png: client.post(
        "/v1/zeroshot", content=png, headers={"origin": "http://evil.example"}
    ),
    "not-found": lambda client, png: client.get("/v1/nothing"),
    "wrong-method": lambda client, png: client.get("/v1/zeroshot"),
    "too-large": lambda client, png: client.post("/v1/zeroshot", content=b"\0" * (1 << 21)),
    "unsupported-image": lambda client, png: client.post("/v1/zeroshot", content=b"GIF89a" + b"\0" * 200),
    "wrong-host": lambda client, png: client.get("/health", headers={"host": "evil.example"}),
    "unreadable-image": lambda client, png: client.post("/v1/zeroshot", content=png[:300]),
    "invalid": lambda client, png: client.post("/v1/zeroshot", content=png, params={"kinds": "Effussion"}),
    "no-index": lambda client, png: client.post("/v1/search", content=png),
    "no-dicom": lambda client, png: client.post("/v1/dicom", content=png),
}
ELSEWHERE = {"unauthorized", "too-slow", "busy", "fault", "not-ready", "no-audit", "timeout"}


def checked(answer: Any, kind: str) -> dict[str, Any]:
    status, title = KINDS[kind]
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = answer.json()
    assert {name: body[name] for name in ("type", "title", "status")} == {
        "type": PREFIX + kind,
        "title": title,
        "status": status,
    }
    assert body["detail"]
    assert "Traceback" not in answer.text
    return body


def test_every_kind_of_fault_is_tested() -> None:
    assert set(ASKED) | ELSEWHERE == set(KINDS)


@pytest.mark.parametrize("kind", ASKED)
def test_a_fault_has_its_type(kind: str, serving: Callable[..., Any], png: bytes) -> None:
    checked(ASKED[kind](serving(max_mb=1), png), kind)


def test_a_token_is_needed_where_there_are_keys(serving: Callable[..., Any], png: bytes) -> None:
    client = serving(keys=KEYS)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic " + KEYS["ward"]}):
        for ask in (client.post("/v1/zeroshot", content=png, headers=headers), client.get("/metrics", headers=headers)):
            checked(ask, "unauthorized")
            assert ask.headers["www-authenticate"].startswith("Bearer")
    assert client.get("/v1/kinds", headers={"authorization": "bearer " + KEYS["ward"]}).status_code == 200
    assert client.get("/health").status_code == client.get("/").status_code == 200


def test_a_fault_of_our_own_says_nothing_of_itself(
    serving: Callable[..., Any], png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeEncoder):
        def encode_squares(self, squares: Any) -> Any:
            if squares.any():
                raise ValueError("the patient is DOE^JANE")
            return super().encode_squares(squares)

    body = checked(serving(encoder=Broken()).post("/v1/zeroshot", content=png), "fault")
    assert "JANE" not in str(body) + caplog.text
    assert "fault=ValueError" in caplog.text


def test_a_model_that_cannot_begin_is_never_ready(serving: Callable[..., Any], png: bytes) -> None:
    class Broken(FakeEncoder):
        def encode_texts(self, texts: Any) -> Any:
            raise ValueError("no")

    client = serving(encoder=Broken())
    for answer in (client.get("/ready"), client.post("/v1/zeroshot", content=png)):
        checked(answer, "not-ready")
        assert answer.headers["retry-after"] == "1"


def test_an_answer_that_takes_too_long_is_given_up(serving: Callable[..., Any], png: bytes) -> None:
    client = serving(encoder=FakeEncoder(delay=0.3), timeout=0.1)
    checked(client.post("/v1/zeroshot", content=png), "timeout")
    assert client.service._batcher._queue.empty()


def test_without_an_audit_line_there_is_no_answer(
    serving: Callable[..., Any], png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving()

    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xlip.serve.audit_log.os.write", full)
    checked(client.post("/v1/zeroshot", content=png), "no-audit")


def png_header(width: int, height: int) -> bytes:
    """A file of a few bytes that promises a picture of any size."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT": zlib.compress(bytes(1000))}
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def progressive(scans: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


@pytest.mark.parametrize(
    "bomb",
    [
        png_header(50_000, 50_000),
        png_header(2001, 2000),
        encode(np.zeros((2001, 2000), np.uint8), lossless=True),
        as_dicom(np.zeros((8, 8), np.uint8), Rows=30000, Columns=30000),
    ],
    ids=["header", "just over", "compressed", "DICOM"],
)
def test_a_picture_is_measured_before_it_is_decoded(
    bomb: bytes, serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(max_megapixels=4)

    def decoded(*arguments: Any, **options: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("xlip.images.files.to_gray", decoded)
    monkeypatch.setattr("xlip.images.dicom._render", decoded)
    checked(client.post("/v1/zeroshot", content=bomb), "too-large")


def test_the_limit_itself_is_allowed(serving: Callable[..., Any]) -> None:
    allowed = encode(np.zeros((2000, 2000), np.uint8), lossless=True)
    assert serving(max_megapixels=4).post("/v1/zeroshot", content=allowed).status_code == 200


def test_a_jpeg_of_a_thousand_scans_is_refused(serving: Callable[..., Any]) -> None:
    client = serving()
    checked(client.post("/v1/zeroshot", content=progressive(1000)), "unreadable-image")
    assert client.post("/v1/zeroshot", content=progressive(1)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kinds": "Effussion"}, "did you mean"),
        ({"texts": "  "}, "empty text"),
        ({"texts": "x" * 501}, "500"),
        ({"texts": ["a"] * 33}, "32"),
        ({"texts": "unheard-of"}, "vocabulary"),
        ({"colour": "red"}, "known fields: kinds, texts, neutral"),
    ],
)
def test_the_detail_says_what_is_wrong(
    fields: dict[str, Any], words: str, serving: Callable[..., Any], png: bytes
) -> None:
    client = serving()
    for answer in (
        client.post("/v1/zeroshot", content=png, params=fields),
        client.post("/v1/zeroshot", files={"image": png}, data=fields),
    ):
        assert words in checked(answer, "invalid")["detail"]


def test_a_map_of_no_finding_cannot_be(serving: Callable[..., Any], png: bytes) -> None:
    client = serving(encoder=FakeEncoder(has_maps=False))
    for fields in (
        {},
        {"kinds": "No_Finding"},
        {"kinds": "Effusion", "how": "response"},
        {"kinds": "Mass", "how": "x"},
    ):
        checked(client.post("/v1/explain", content=png, params=fields), "invalid")


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", b"[]"),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 100_000),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nnothing"),
        ("multipart/form-data; boundary=b; charset=no-such", b"--b\r\n\r\n\r\n--b--"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_a_bad_request(media: str, body: bytes, serving: Callable[..., Any]) -> None:
    answer = serving().post("/v1/embed", content=body, headers={"content-type": media})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\0b", "C:\\x.png", "x" * 300, "%2e%2e%2f"])
def test_names_of_files_are_of_no_interest(name: str, serving: Callable[..., Any], png: bytes, tmp_path: Path) -> None:
    client = serving()
    before = sorted(tmp_path.rglob("*"))
    assert client.post("/v1/zeroshot", files={"image": (name, png)}).status_code == 200
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/%2e%2e/app.py", "/static/app.js", "//etc/passwd", "/app.js/", "/index.html"]
)
def test_paths_name_no_files(path: str, serving: Callable[..., Any]) -> None:
    assert serving().get(path).status_code == 404

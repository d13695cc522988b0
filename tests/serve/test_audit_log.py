"""The audit log says who had what judged by which weights, and never what it was."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from film_files import PATIENT

from xlip.errors import XLIPError
from xlip.serve.audit_log import AuditLog

SENTENCE = "sentence of a patient called Doe"
KEY = {"authorization": "Bearer a-token-of-some-length"}


def test_a_line_for_each_film_and_nothing_else(serving: Callable[..., Any], png: bytes, jpeg: bytes) -> None:
    client = serving(keys={"ward": "a-token-of-some-length"})
    client.post("/v1/zeroshot", files=[("image", ("Doe.png", png)), ("image", ("b", jpeg))], headers=KEY)
    client.post("/v1/explain", content=png, params={"kinds": "Effusion"}, headers=KEY)
    client.post("/v1/embed", json={"texts": [SENTENCE]}, headers=KEY)
    for path in ("/health", "/v1/kinds", "/"):
        client.get(path, headers=KEY)
    client.post("/v1/film", content=png, headers=KEY)
    client.post("/v1/zeroshot", content=png[:200], headers=KEY)
    client.post("/v1/zeroshot", content=png)
    lines = [json.loads(line) for line in client.audit.read_text().splitlines()]
    images = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (png, jpeg, png)]
    assert [line["route"] for line in lines] == ["/v1/zeroshot", "/v1/zeroshot", "/v1/explain", "/v1/embed"]
    assert [line["input"] for line in lines[:3]] == images
    assert {line["key"] for line in lines} == {"ward"}
    assert {line["checkpoint"] for line in lines} == {"fake-weights"}
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    assert "Doe" not in client.audit.read_text()


def test_no_log_holds_a_name_a_sentence_or_a_token(
    serving: Callable[..., Any], dicom: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = serving(keys={"ward": "a-token-of-some-length"})
    broken = dicom.replace(b"\x28\x00\x10\x00", b"\x28\x00\x10\x77", 1)
    for body in (dicom, broken, dicom[:400], dicom[:-10]):
        client.post("/v1/zeroshot", content=body, params={"texts": SENTENCE}, headers=KEY)
        client.post("/v1/zeroshot", files={"image": (f"{PATIENT}.dcm", body)}, data={"texts": SENTENCE}, headers=KEY)
    client.get(f"/v1/{PATIENT}", headers=KEY)
    own = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "asyncio"))
    )
    written = own + "".join(capfd.readouterr()) + client.audit.read_text()
    assert "route=/v1/zeroshot" in own
    for word in (PATIENT, "DOE", "4711", SENTENCE, KEY["authorization"].split()[1]):
        assert word not in written


def test_a_line_that_was_cut_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    path.write_text('{"time": "20')
    log = AuditLog(str(path))
    log.prediction(route="/v1/embed", key="-", request="r", input_hash="h", model={"checkpoint": "c"})
    log.close()
    first, second = path.read_text().splitlines()
    assert first == '{"time": "20'
    assert json.loads(second)["input"] == "sha256:h"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="--audit"):
        AuditLog(str(tmp_path / "no" / "folder"))

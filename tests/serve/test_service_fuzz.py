"""Whatever is sent, the service answers, by what it documents, and goes on answering."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bad_bodies import BODIES, request
from film_files import PATIENT
from served import Served, served

from xlip.serve.problems import KINDS, MEDIA_TYPE

STATUSES = {200, *(status for status, _ in KINDS.values())} - {500, 503}


def fuzzed(one: Served, first: int, count: int, png: bytes) -> None:
    with one.client() as client:
        right = client.post("/v1/zeroshot", content=png).json()
        memory = one.memory()
        for number in range(first, first + count):
            answer = client.request(**request(np.random.default_rng(number)))
            assert answer.status_code in STATUSES, (number, answer.status_code, answer.text)
            if answer.status_code != 200:
                assert answer.headers["content-type"] == MEDIA_TYPE, number
                assert {"type", "title", "status", "detail"} <= set(answer.json())
        assert client.post("/v1/zeroshot", content=png).json() == right
    assert one.process.poll() is None
    assert one.memory() - memory < 400 << 20
    assert PATIENT not in one.errors.read_text()


def test_a_sample_of_bad_bodies_is_answered(running: Served, png: bytes) -> None:
    fuzzed(running, 0, 150, png)
    lines = (running.errors.parent / "audit.jsonl").read_text().splitlines()
    assert all(json.loads(line)["event"] == "prediction" for line in lines)


@pytest.mark.slow
def test_two_thousand_bad_bodies_are_answered(tmp_path: Path, png: bytes) -> None:
    with served(tmp_path, audit=str(tmp_path / "audit"), max_mb=4, memory_mb=64, max_megapixels=4) as one:
        fuzzed(one, 10_000, 2000, png)


def test_every_kind_of_bad_body_can_be_made_again() -> None:
    for make in BODIES:
        first, again = (make(np.random.default_rng(3)) for _ in range(2))
        assert first == again
        assert isinstance(first, bytes)

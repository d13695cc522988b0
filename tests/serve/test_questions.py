"""What is answered is what the model says, whatever form the film comes in."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served_encoder import FakeEncoder, text_vector, unit

from xlip.images.files import decode
from xlip.images.square import fit
from xlip.runtime.scores import NEUTRAL
from xlip.study.prompts import load_prompts

FORM = {"content-type": "application/octet-stream"}


def expected(data: bytes, positive: list[str], negative: list[str]) -> float:
    """The probability as docs/protocols.md writes it down, in plain NumPy."""
    image = FakeEncoder().encode_squares(fit(decode(data), 64)[None])[0].astype(np.float64)
    towards, away = (unit(np.mean([text_vector(text) for text in texts], 0)[None])[0] for texts in (positive, negative))
    return float(1 / (1 + np.exp(-10 * (image @ towards - image @ away))))


def test_scores_are_those_of_prompts_and_sentences(serving: Callable[..., Any], png: bytes) -> None:
    asked = {"kinds": ["Effusion, pneumothorax"], "texts": ["a tube"]}
    answer = serving().post("/v1/zeroshot", params=asked, content=png, headers={"content-type": "image/png"}).json()
    (film,) = answer["films"]
    assert film["input"] == hashlib.sha256(png).hexdigest()
    prompts, scores = load_prompts("xlip"), {one["finding"]: one["score"] for one in film["scores"]}
    assert list(scores) == ["Effusion", "Pneumothorax", "a tube"]
    for kind in ("Effusion", "Pneumothorax"):
        right = expected(png, list(prompts.positive(kind)), list(prompts.negative(kind)))
        assert scores[kind] == pytest.approx(right, abs=1e-5)
    assert scores["a tube"] == pytest.approx(expected(png, ["a tube"], [NEUTRAL]), abs=1e-5)
    assert "Research use only" in answer["notice"]


def test_what_the_map_adds_is_added(serving: Callable[..., Any], png: bytes) -> None:
    ask = {"params": {"kinds": "Effusion"}, "content": png}
    scores = [
        serving(encoder=FakeEncoder(local_share=share)).post("/v1/zeroshot", **ask).json()["films"][0]["scores"][0]
        for share in (0.0, 0.5)
    ]
    logits = [np.log(one["score"] / (1 - one["score"])) for one in scores]
    prompts, encoder = load_prompts("xlip"), FakeEncoder()
    means = [
        np.mean([text_vector(text) for text in texts], 0)
        for texts in (prompts.positive("Effusion"), prompts.negative("Effusion"))
    ]
    queries = np.concatenate([unit(one[None]) for one in means])
    present, absent = encoder.maps(fit(decode(png), 64)[None], queries)[0].astype(np.float64)
    answer = np.log(np.mean(np.exp(present))) - np.log(np.mean(np.exp(absent)))
    assert logits[1] - logits[0] == pytest.approx(0.5 * answer, abs=1e-3)


def test_every_form_of_a_film_gives_one_answer(serving: Callable[..., Any], png: bytes, dicom: bytes) -> None:
    client = serving()
    answers = [
        client.post("/v1/zeroshot", content=png, headers={"content-type": kind})
        for kind in ("image/png", *FORM.values())
    ]
    answers += [client.post("/v1/zeroshot", files={name: ("x", png)}) for name in ("image", "anything")]
    answers.append(client.post("/v1/zeroshot", content=dicom, headers={"content-type": "application/dicom"}))
    scores = [[one["score"] for one in answer.json()["films"][0]["scores"]] for answer in answers]
    assert all(one == scores[0] for one in scores[:4])
    assert scores[4] == pytest.approx(scores[0], abs=0.02)


def test_several_films_in_one_form_keep_their_order(serving: Callable[..., Any], png: bytes, jpeg: bytes) -> None:
    client = serving()
    files = [("image", ("a", jpeg)), ("image", ("b", png)), ("image", ("c", jpeg))]
    films = client.post("/v1/zeroshot", files=files, data={"kinds": "Effusion"}).json()["films"]
    hashes = [hashlib.sha256(data).hexdigest() for data in (jpeg, png, jpeg)]
    assert [film["input"] for film in films] == hashes
    assert client.post("/v1/zeroshot", files=[("image", ("a", png))] * 9).status_code == 400


def test_embeddings_are_the_models(serving: Callable[..., Any], png: bytes) -> None:
    client = serving()
    answer = client.post("/v1/embed", files={"image": png}, data={"texts": ["one", "two"]}).json()
    right = FakeEncoder().encode_squares(fit(decode(png), 64)[None])[0]
    assert np.allclose(answer["images"][0]["vector"], right)
    assert np.allclose(answer["texts"], [text_vector("one"), text_vector("two")])
    assert client.post("/v1/embed", json={"texts": "one"}).json()["texts"] == answer["texts"][:1]


@pytest.mark.parametrize("how", ["response", "occlusion"])
def test_maps_are_those_of_explain(how: str, serving: Callable[..., Any], png: bytes) -> None:
    from xlip.explain.asked import Asked
    from xlip.explain.explanation import explain, overlay

    asked = {"kinds": "Effusion", "texts": "a tube", "how": how, "overlay": "true"}
    answer = serving().post("/v1/explain", files={"image": png}, data=asked).json()
    square = fit(decode(png), 64)
    sentence = Asked("a tube", "", text_vector("a tube"), text_vector(NEUTRAL))
    right = explain(FakeEncoder(), square, ["Effusion", sentence], how)
    for one, expected_one in zip(answer["maps"], right, strict=True):
        assert np.allclose(one["map"], expected_one.map, atol=1e-4)
        assert (one["low"], one["high"], one["found"]) == (expected_one.low, expected_one.high, expected_one.found)
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["overlay"]))))
        assert np.array_equal(picture, overlay(square, expected_one))


def test_the_shown_film_is_cut_as_the_model_sees_it(serving: Callable[..., Any], pixels: Any) -> None:
    from xlip.images.files import encode

    data = encode(pixels[:, :100], lossless=True)
    answer = serving().post("/v1/film", content=data)
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert shown.shape == (128, 128)
    assert np.array_equal(fit(shown, 64), fit(pixels[:, :100], 64))
    assert answer.headers["x-input-sha256"] == hashlib.sha256(data).hexdigest()


def test_each_text_is_encoded_once(serving: Callable[..., Any], png: bytes) -> None:
    client = serving()
    for _ in range(3):
        client.post("/v1/zeroshot", content=png, params={"texts": "a tube"})
    texts = client.encoder.texts
    assert len(texts) == len(set(texts))
    assert texts.count("a tube") == 1


def test_the_model_is_asked_in_one_thread_alone(serving: Callable[..., Any], png: bytes) -> None:
    client = serving()
    client.post("/v1/zeroshot", content=png)
    client.post("/v1/explain", content=png, params={"kinds": "Effusion", "how": "occlusion"})
    assert len(client.encoder.threads) == 1


def test_kinds_say_what_can_be_asked(serving: Callable[..., Any]) -> None:
    answer = serving(kinds="effusion,Mass").get("/v1/kinds").json()
    assert [kind["id"] for kind in answer["kinds"] if kind["default"]] == ["Effusion", "Mass"]
    assert answer["maps"] == ["response", "occlusion"]
    assert answer["index"] is None


def test_a_film_that_is_no_chest_is_answered_with_a_warning(serving: Callable[..., Any]) -> None:
    from xlip.images.files import encode

    blank = encode(np.full((128, 128), 90, np.uint8), lossless=True)
    assert serving().post("/v1/zeroshot", content=blank).json()["films"][0]["warning"]


def test_the_description_knows_every_route_and_every_form(serving: Callable[..., Any]) -> None:
    description = serving().get("/openapi.json").json()
    asked = {"/v1/zeroshot", "/v1/embed", "/v1/explain", "/v1/search", "/v1/film"}
    assert asked | {"/v1/kinds", "/health", "/ready", "/metrics"} <= set(description["paths"])
    for path in asked:
        content = description["paths"][path]["post"]["requestBody"]["content"]
        assert {"image/png", "image/jpeg", "application/dicom", "multipart/form-data"} <= set(content)
        assert {"401", "413", "415", "429"} <= set(description["paths"][path]["post"]["responses"])
    references = set(find_references(description))
    assert references <= {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}


def find_references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for item in value.values() for one in find_references(item)]
    return [one for item in value for one in find_references(item)] if isinstance(value, list) else []


def test_metrics_are_prometheus_text(serving: Callable[..., Any], png: bytes) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    client = serving()
    client.post("/v1/zeroshot", content=png)
    client.get("/v1/../../etc/passwd")
    families = {one.name: one for one in text_string_to_metric_families(client.get("/metrics").text)}
    counts = {
        tuple(one.labels.values()): one.value for one in families["xlip_requests"].samples if one.name.endswith("total")
    }
    assert counts["/v1/zeroshot", "200"] == 1
    assert {route for route, _ in counts} <= {"/ready", "/v1/zeroshot", "other"}
    assert families["xlip_ready"].samples[0].value == 1
    assert json.dumps(counts["other", "404"]) == "1.0"


def test_the_map_of_a_film_that_was_scored_needs_no_second_encoding(
    serving: Callable[..., Any], png: bytes, jpeg: bytes
) -> None:
    """And is what it would have been: of this film, not of the last one."""
    client, fresh = (serving(encoder=FakeEncoder(local_share=0.5)) for _ in range(2))
    asked = {"kinds": "Effusion,Pneumothorax"}
    for film in (png, jpeg):
        assert client.post("/v1/zeroshot", files={"image": film}, data=asked).status_code == 200
    before = sum(client.encoder.batches)
    for film in (png, jpeg):
        ours, right = (one.post("/v1/explain", files={"image": film}, data=asked).json() for one in (client, fresh))
        assert ours["maps"] == right["maps"]
    assert sum(client.encoder.batches) == before

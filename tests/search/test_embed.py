from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.search import embed as embed_module
from xlip.search.ask import SearchConfig, search
from xlip.search.embed import EmbedConfig, embed
from xlip.search.index import Index
from xlip.search.open import open_store

SIZE = 64


@dataclass
class Pixels:
    """An encoder whose vectors follow from a few averages of the image, and from the letters of a text."""

    identity: str = "pixels"
    image_size: int = SIZE
    preprocess: str = "letterbox"
    width: int = 16
    scale: float = 10.0
    local_share: float = 0.0
    has_maps: bool = False
    seen: list[int] = field(default_factory=list)

    def encode_squares(self, squares: np.ndarray) -> np.ndarray:
        self.seen.append(len(squares))
        means = squares.reshape(len(squares), 4, SIZE // 4, 4, SIZE // 4).mean((2, 4)).reshape(len(squares), 16)
        return unit(means - means.mean(1, keepdims=True) + 1e-3)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        counts = np.array([[text.count(letter) + 0.1 for letter in "etaoinshrdlucmfw"] for text in texts])
        return unit(counts)

    def maps(self, squares: np.ndarray, directions: np.ndarray) -> np.ndarray:
        raise AssertionError

    encode_and_map = maps


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embed") / "set"
    prepare("phantom", Path(), out, workers=0, options={"count": 30, "size": SIZE})
    return out


def config(data: Path, out: Path, **changes: object) -> EmbedConfig:
    return replace(EmbedConfig("m", str(data), str(out), workers=0, batch_size=8), **changes)


def folder(root: Path, count: int = 6) -> Path:
    for index in range(count):
        (root / f"{index}.png").parent.mkdir(parents=True, exist_ok=True)
        (root / f"{index}.png").write_bytes(encode(generate(index, size=SIZE).pixels, lossless=True))
    return root


def test_a_prepared_set_becomes_an_index_of_images_and_reports(prepared: Path, tmp_path: Path) -> None:
    encoder = Pixels()
    said: list[tuple[int, int]] = []
    made = embed(config(prepared, tmp_path / "index"), encoder, lambda done, total: said.append((done, total)))
    assert (made.added, made.rows, made.known) == (30 - len(made.refused), 30 - len(made.refused), 0)
    assert len(made.refused) <= 1
    assert said[-1] == (30, 30)
    index = Index.open(tmp_path / "index")
    for number in (0, 7, 29):
        phantom = generate(number, size=SIZE)
        id_ = f"phantom/0/{number}"
        if id_ in made.refused:
            continue
        (hits,) = index.nearest(encoder.encode_texts([phantom.report]), 1, find="reports")
        assert hits[0].columns["report"].split()[:3] == phantom.report.split()[:3]
        assert hits[0].columns["view"] == "PA"
        assert {kind: hits[0].columns[kind] for kind in phantom.labels} == phantom.labels
        found = search(SearchConfig(str(tmp_path / "index"), like=id_, top=3), index, lambda: encoder)
        assert id_ not in [hit.id for hit in found.hits]
        assert index.thumbnail(id_)


def test_the_gate_keeps_bad_images_out_and_names_them(tmp_path: Path) -> None:
    root = folder(tmp_path / "films")
    film = generate(1, size=SIZE).pixels
    (root / "black.png").write_bytes(encode(np.zeros((SIZE, SIZE), np.uint8), lossless=True))
    (root / "inverted.png").write_bytes(encode(255 - film, lossless=True))
    (root / "turned.png").write_bytes(encode(np.ascontiguousarray(np.rot90(film)), lossless=True))
    (root / "torn.png").write_bytes((root / "0.png").read_bytes()[:300])
    made = embed(config(root, tmp_path / "index"), Pixels())
    with (tmp_path / "index" / "refused.csv").open(newline="") as stream:
        refused = dict(list(csv.reader(stream))[1:])
    assert refused == made.refused
    assert set(refused) == {"black.png", "inverted.png", "turned.png", "torn.png"}
    assert refused["black.png"].startswith("picture is nearly uniform")
    assert refused["inverted.png"].startswith("picture may be inverted")
    assert refused["turned.png"].startswith("not a frontal chest film")
    assert refused["torn.png"].startswith("unreadable: ")
    assert str(tmp_path) not in refused["torn.png"]
    assert sorted(Index.open(tmp_path / "index").ids()) == [f"{index}.png" for index in range(6)]
    (root / "torn.png").write_bytes((root / "0.png").read_bytes())
    again = embed(config(root, tmp_path / "index", any_picture=True), Pixels())
    assert (again.added, again.known, again.refused) == (4, 6, {})


def test_a_second_run_adds_what_is_new_and_encodes_nothing_twice(tmp_path: Path) -> None:
    root, encoder = folder(tmp_path / "films", 3), Pixels()
    embed(config(root, tmp_path / "index"), encoder)
    assert encoder.seen == [3]
    folder(root, 5)
    made = embed(config(root, tmp_path / "index"), encoder)
    assert encoder.seen == [3, 2]
    assert (made.added, made.known, made.rows) == (2, 3, 5)
    with pytest.raises(XLIPError, match=r"vectors of checkpoint pixels .*the model given is other"):
        embed(config(root, tmp_path / "index"), Pixels(identity="other"))


def test_columns_and_thumbnails_are_what_was_chosen(prepared: Path, tmp_path: Path) -> None:
    embed(config(prepared, tmp_path / "a", columns="view, Effusion", thumbnails=0), Pixels())
    index = Index.open(tmp_path / "a")
    assert set(index.columns) == {"view", "Effusion"}
    assert index.thumbnail(index.ids()[0]) is None
    assert not (index.nearest(unit(np.ones((1, 16))), 3, find="reports")[0])
    embed(config(prepared, tmp_path / "b", columns="none", thumbnails=40), Pixels())
    index = Index.open(tmp_path / "b")
    assert not index.columns
    from xlip.images.files import decode

    assert decode(index.thumbnail(index.ids()[0]) or b"").shape == (40, 40)


def test_columns_of_a_table_never_hide_those_of_the_index(tmp_path: Path) -> None:
    folder(tmp_path, 2)
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "id", "AGE", "age", "score"], ["0.png", "7", "50", "1", "x"]])
    embed(config(tmp_path / "t.csv", tmp_path / "index"), Pixels())
    index = Index.open(tmp_path / "index")
    (hits,) = index.nearest(unit(np.ones((1, 16))), 2, "id = '0.png' and age = 50 and age_2 = 1 and score_2 = 'x'")
    assert [hit.columns["id_2"] for hit in hits] == [7]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backend": "paper"}, "backend: expected one of exact, lance"),
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"thumbnails": 99999}, "thumbnails: expected"),
        ({"data": "/nowhere"}, "nothing is there"),
        ({"out": "s3://bucket/index"}, "for a URL use --backend lance"),
    ],
)
def test_what_cannot_be_done_is_one_line(changes: dict[str, object], said: str, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=said):
        embed(replace(config(prepared, tmp_path / "index"), **changes), Pixels())


def test_a_model_without_a_name_and_a_set_without_films_are_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="in memory alone"):
        embed(config(prepared, tmp_path / "a"), Pixels(identity="in memory"))
    root = tmp_path / "films"
    root.mkdir()
    (root / "black.png").write_bytes(encode(np.zeros((SIZE, SIZE), np.uint8), lossless=True))
    with pytest.raises(XLIPError, match=r"no image could be used .1 refused; first: picture is nearly uniform"):
        embed(config(root, tmp_path / "b"), Pixels())


RUN = """
import sys
sys.path[:0] = {paths!r}
from test_embed import Pixels, config
from pathlib import Path
import time
from xlip.search import embed as module
module.SHARD = 4
class Slow(Pixels):
    def encode_squares(self, squares):
        time.sleep(0.15)
        return super().encode_squares(squares)
module.embed(config(Path({data!r}), Path({out!r})), Slow())
"""


def test_a_run_killed_again_and_again_ends_as_one_that_was_not(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_module, "SHARD", 4)
    embed(config(prepared, tmp_path / "whole"), Pixels())
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    code = RUN.format(paths=paths, data=str(prepared), out=str(tmp_path / "index"))
    for rows in (1, 8):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        started = time.monotonic()
        while process.poll() is None and time.monotonic() - started < 60:
            if (tmp_path / "index" / "index.json").is_file() and len(Index.open(tmp_path / "index")) >= rows:
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
        process.stderr.close()
        assert rows <= len(Index.open(tmp_path / "index")) < 29
    encoder = Pixels()
    made = embed(config(prepared, tmp_path / "index"), encoder)
    assert made.known >= 8
    assert sum(encoder.seen) == made.added
    whole, index = Index.open(tmp_path / "whole"), Index.open(tmp_path / "index")
    assert index.ids() == whole.ids()
    for id_ in whole.ids():
        assert np.array_equal(index.vector(id_), whole.vector(id_))
        assert index.thumbnail(id_) == whole.thumbnail(id_)
    assert not list((tmp_path / "index").rglob("*.partial"))


def test_questions_to_an_index_that_make_no_sense_are_one_line(prepared: Path, tmp_path: Path) -> None:
    embed(config(prepared, tmp_path / "index"), Pixels())
    store = open_store(str(tmp_path / "index"))
    place = str(tmp_path / "index")
    for asked, said in (
        (SearchConfig(place), "exactly one of --text, --image and --like, got none"),
        (SearchConfig(place, text="a", like="b"), "got text and like"),
        (SearchConfig(place, text="a", find="films"), "find: expected one of images, reports"),
        (SearchConfig(place, text="a", top=0), "top: expected 1 to"),
        (SearchConfig(place, like="nobody"), "no row 'nobody'"),
        (SearchConfig(place, like="b", against="c"), "--against needs"),
        (SearchConfig(place, text="a", where="drop table rows"), "--where"),
        (SearchConfig(place, image=str(tmp_path / "none.png")), "none.png"),
    ):
        with pytest.raises(XLIPError, match=said):
            search(asked, store, Pixels)
    with pytest.raises(XLIPError, match=r"vectors of checkpoint pixels .* the model given is other"):
        search(SearchConfig(place, text="a"), store, lambda: Pixels(identity="other"))


def test_an_image_finds_itself_and_its_report_and_against_turns_the_order(prepared: Path, tmp_path: Path) -> None:
    embed(config(prepared, tmp_path / "index"), Pixels())
    store, place = open_store(str(tmp_path / "index")), str(tmp_path / "index")
    (tmp_path / "q.png").write_bytes(encode(generate(4, size=SIZE).pixels, lossless=True))
    found = search(SearchConfig(place, image=str(tmp_path / "q.png"), top=2), store, Pixels)
    assert found.hits[0].id == "phantom/0/4"
    assert found.hits[0].score > 0.99
    reports = search(SearchConfig(place, image=str(tmp_path / "q.png"), find="reports", top=30), store, Pixels)
    texts = [hit.columns["report"] for hit in reports.hits]
    assert len(set(texts)) == len(texts)
    assert reports.fitting == texts
    scores = [hit.score for hit in reports.hits]
    assert scores == sorted(scores, reverse=True)
    encoder = Pixels()
    plain = encoder.encode_texts(["effusion"])[0]
    other = encoder.encode_texts(["wow"])[0]
    less = search(SearchConfig(place, text="effusion", against="wow", top=30), store, Pixels)
    for hit in less.hits:
        vector = store.vector(hit.id)
        assert hit.score == pytest.approx(float(vector @ (plain - other)), abs=1e-4)

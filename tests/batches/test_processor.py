from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tiny import tiny_processor
from xlip.batches.processor import XLIPProcessor, group_tokens
from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.study.record import Entity

GRAY = np.arange(64 * 64, dtype=np.uint32).reshape(64, 64).astype(np.uint8)
PROCESSOR = tiny_processor()


def test_every_way_to_hand_over_an_image_gives_the_same_pixels(tmp_path: Path) -> None:
    data = encode(GRAY, lossless=True)
    (tmp_path / "a.png").write_bytes(data)
    share = GRAY / 255
    ways: list[Any] = [tmp_path / "a.png", str(tmp_path / "a.png"), data, GRAY, GRAY[None], GRAY[..., None], share]
    ways += [Image.fromarray(GRAY), Image.fromarray(GRAY).convert("RGB"), torch.from_numpy(GRAY.copy())]
    expected = torch.from_numpy(share).float()[None, None]
    for way in ways:
        assert torch.equal(PROCESSOR.pixels(way), expected), type(way)
    assert torch.equal(PROCESSOR.pixels(ways), expected.expand(len(ways), -1, -1, -1))


def test_no_image_gives_no_pixels_and_any_size_gives_squares() -> None:
    assert PROCESSOR.pixels([]).shape == (0, 1, 64, 64)
    assert PROCESSOR.pixels([np.zeros((7, 90), np.uint8), np.ones((200, 30), np.uint8)]).shape == (2, 1, 64, 64)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"\(H, W\), got shape \(4, 4, 3\)"),
        (np.zeros(4, np.uint8), r"\(H, W\), got shape \(4,\)"),
        (np.full((4, 4), 1.5), r"floats in \[0, 1\].*1.5"),
        (np.full((4, 4), -1, np.int64), r"floats in \[0, 1\].*-1"),
        (np.full((4, 4), np.nan), r"floats in \[0, 1\].*nan"),
        (np.zeros((0, 4), np.uint8), r"got shape \(0, 4\)"),
        ("nowhere.png", r"nowhere\.png.*cannot read"),
    ],
)
def test_bad_images_are_refused_in_one_line(image: Any, message: str) -> None:
    with pytest.raises(XLIPError, match=message) as caught:
        PROCESSOR.pixels(image)
    assert "\n" not in str(caught.value)


def test_texts_are_padded_cut_and_may_be_none_at_all() -> None:
    batch = PROCESSOR.texts(["no effusion", "nodule " * 200])
    assert batch.ids.shape == batch.mask.shape == (2, PROCESSOR.max_tokens)
    assert batch.mask[1].all()
    assert (batch.ids[0][~batch.mask[0]] == PROCESSOR.tokenizer.pad_token_id).all()
    assert len(PROCESSOR.texts([])) == 0


def test_an_entity_is_one_group_and_each_other_word_is_its_own() -> None:
    text = "There is a small pleural effusion today."
    start = text.index("pleural")
    entity = Entity(start, start + len("pleural effusion"), "finding", "present", "Effusion")
    batch = PROCESSOR.texts([text], [(entity,)])
    encoded = PROCESSOR.tokenizer([text], return_offsets_mapping=True)
    for token, ((first, last), word) in enumerate(zip(encoded["offset_mapping"][0], encoded.word_ids(0), strict=True)):
        inside = word is not None and first >= entity.start and last <= entity.end
        assert bool(batch.is_entity[0, token]) is inside
        assert (int(batch.group[0, token]) == -1) is (word is None)
    assert len(set(batch.group[0][batch.is_entity[0]].tolist())) == 1
    words = [*text[:-1].split(), "."]
    assert len(set(batch.group[0].tolist()) - {-1}) == len(words) - 1  # the entity's two words are one unit


def test_without_entities_nothing_is_grouped() -> None:
    batch = PROCESSOR.texts(["small nodule"])
    assert (batch.group == -1).all()
    assert not batch.is_entity.any()


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.data())
def test_groups_are_numbered_densely_and_never_cross_an_entity(lengths: list[int], data: st.DataObject) -> None:
    # Word w has lengths[w] one-letter tokens, words are one space apart; one special token stands at each end.
    offsets, words, position = [(0, 0)], [None], 0
    for word, length in enumerate(lengths):
        offsets += [(position + i, position + i + 1) for i in range(length)]
        words += [word] * length
        position += length + 1
    offsets.append((0, 0))
    words.append(None)
    start = data.draw(st.integers(0, position - 2))
    end = data.draw(st.integers(start + 1, position - 1))
    group, inside = group_tokens(np.array(offsets), words, [Entity(start, end, "finding", "present")])
    real = [token for token, word in enumerate(words) if word is not None]
    expected = [start <= offsets[t][0] and offsets[t][1] <= end for t in real]
    assert inside[real].tolist() == expected
    assert not inside[[0, -1]].any()
    assert group[[0, -1]].tolist() == [-1, -1]
    assert sorted(set(group[real])) == list(range(len(set(group[real]))))
    for a in real:
        for b in real:
            same = (inside[a] and inside[b]) or (words[a] == words[b] and not inside[a] and not inside[b])
            assert (group[a] == group[b]) == same


def test_a_saved_processor_comes_back_and_an_empty_folder_is_refused(tmp_path: Path) -> None:
    processor = XLIPProcessor(PROCESSOR.tokenizer, 96, "squash", 17)
    processor.save_pretrained(tmp_path / "saved")
    loaded = XLIPProcessor.from_pretrained(tmp_path / "saved")
    assert (loaded.image_size, loaded.preprocess, loaded.max_tokens) == (96, "squash", 17)
    text = ["Possible left effusion, 3 cm."]
    assert torch.equal(loaded.texts(text).ids, processor.texts(text).ids)
    (tmp_path / "empty").mkdir()
    with pytest.raises(XLIPError, match="expected an XLIP model") as caught:
        XLIPProcessor.from_pretrained(tmp_path / "empty")
    assert "\n" not in str(caught.value)


def test_sixteen_bits_and_colour_look_the_same_from_memory_as_from_the_file(tmp_path: Path) -> None:
    deep = Image.fromarray((np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64))
    clear = Image.merge("LA", (Image.fromarray(GRAY), Image.fromarray(255 - GRAY)))
    for number, image in enumerate((deep, clear)):
        image.save(tmp_path / f"{number}.png")
        from_file = PROCESSOR.pixels(tmp_path / f"{number}.png")
        assert torch.equal(PROCESSOR.pixels(Image.open(tmp_path / f"{number}.png")), from_file)
        assert torch.equal(PROCESSOR.pixels(image), from_file)
        assert 0.1 < float(from_file.mean()) < 0.8


def test_every_way_to_hand_over_several_images_is_understood(tmp_path: Path) -> None:
    import pandas

    file = tmp_path / "a.png"
    file.write_bytes(encode(GRAY, lossless=True))
    expected = PROCESSOR.pixels([GRAY, GRAY])
    stacked = np.stack([GRAY, GRAY])
    ways: list[Any] = [(GRAY for _ in range(2)), stacked, stacked[:, None], stacked[..., None], stacked / 255]
    ways += [torch.from_numpy(stacked), pandas.Series([str(file)] * 2), pandas.DataFrame({"path": [file] * 2})["path"]]
    ways += [np.array([str(file)] * 2, dtype=object), torch.from_numpy(stacked / 255).half().float()]
    for way in ways:
        assert torch.allclose(PROCESSOR.pixels(way), expected, atol=2e-3), type(way)
    for wrong in (3, [None], [[1, 2]]):
        with pytest.raises(XLIPError, match="expected a"):
            PROCESSOR.pixels(wrong)


def test_a_text_that_the_vocabulary_lacks_is_refused_and_a_cut_one_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(XLIPError, match=r"tokens are unknown to the model's vocabulary") as caught:
        PROCESSOR.queries("胸腔积液")
    assert "\n" not in str(caught.value)
    PROCESSOR.queries(iter(["pleural effusion", "no effusion"]))
    assert not caplog.records
    PROCESSOR.queries("pleural effusion, 胸")
    assert "1 of" in caplog.text
    assert "unknown" in caplog.text
    PROCESSOR.queries("effusion " * 200)
    assert f"cut after {PROCESSOR.max_tokens - 2} of its 200 tokens" in caplog.text
    with pytest.raises(XLIPError, match="expected texts, got float"):
        PROCESSOR.queries([1.5])  # type: ignore[list-item]


@pytest.mark.parametrize("text", [5, None, b"effusion", ["effusion", None]])
def test_what_is_no_text_is_refused_in_one_line(text: Any) -> None:
    with pytest.raises(XLIPError, match=r"expected .*text"):
        PROCESSOR.queries(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Kyphoskoliose mit Zwerchfellhochstand", "are single letters: the model's vocabulary lacks its words"),
        ("  ", "it holds no words"),
        ("left pleural effusion, no pneumothorax", ""),
    ],
)
def test_a_text_of_strange_words_or_none_is_said(text: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    PROCESSOR.queries(text)
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)

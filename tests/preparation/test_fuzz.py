"""Damaged, foreign and malicious image files through the whole of `prepare`: none stops it, each is explained."""

from __future__ import annotations

import csv
import io
import random
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from layouts import dicom
from real_data import real_data
from xlip.errors import XLIPError
from xlip.images import dicom as dicom_module
from xlip.images.dicom import decode_dicom
from xlip.images.files import decode
from xlip.preparation.run import prepare
from xlip.study.parquet import read_studies

Damage = Callable[[bytes, random.Random], bytes]


def truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def flipped(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def head_flipped(data: bytes, rng: random.Random) -> bytes:
    """Damage where the sizes and the types stand."""
    head = min(len(data), 600)
    return flipped(data[:head], rng) + data[head:]


def zeroed(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + bytes(min(200, len(data) - start)) + data[start + 200 :]


def shuffled(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[place:] + data[:place]


def noise(data: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 10, 132, 2000)))


DAMAGES: tuple[Damage, ...] = (truncated, flipped, head_flipped, zeroed, shuffled, noise)


def seeds(folder: Path) -> list[bytes]:
    """Good files of every format."""
    ramp = (np.arange(48 * 40) % 251).astype(np.uint8).reshape(48, 40)
    made = []
    for kind, options in (("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("TIFF", {}), ("BMP", {}),
                          ("GIF", {}), ("WEBP", {}), ("JPEG2000", {})):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(ramp).save(buffer, kind, **options)
        made.append(buffer.getvalue())
    deep = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint16) * 200).save(deep, "PNG")
    colour = io.BytesIO()
    Image.fromarray(np.stack([ramp] * 4, -1)).save(colour, "PNG")
    dicom(folder / "seed.dcm")
    return [*made, deep.getvalue(), colour.getvalue(), (folder / "seed.dcm").read_bytes(), *compressed_dicoms(folder)]


def compressed_dicoms(folder: Path) -> list[bytes]:
    """The DICOM seed in every transfer syntax that can be written here."""
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

    made = []
    for syntax in (RLELossless, JPEG2000Lossless):
        data = pydicom.dcmread(folder / "seed.dcm")
        data.compress(syntax, generate_instance_uid=False)
        made.append(data)
    for syntax in (DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian):
        data = pydicom.dcmread(folder / "seed.dcm")
        data.file_meta.TransferSyntaxUID = syntax
        made.append(data)
    written = []
    for data in made:
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, data)
        written.append(buffer.getvalue())
    return written


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb(side: int) -> bytes:
    """A small PNG file that promises side x side pixels, and has them."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    row = zlib.compressobj(9)
    packed = b"".join(row.compress(bytes(1 + side // 8)) for _ in range(side)) + row.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def multi_frame(folder: Path) -> bytes:
    import pydicom

    data = pydicom.dcmread(folder / "seed.dcm")
    data.NumberOfFrames = 3
    data.PixelData = data.PixelData * 3
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data)
    return buffer.getvalue()


def outcome(data: bytes) -> str:
    """What decoding gives: an image, an error of one line, or something worse."""
    try:
        return "image" if decode(data).ndim == 2 else "not gray"
    except XLIPError as error:
        return "one line" if "\n" not in str(error) else "several lines"


def damaged_files(folder: Path, count: int) -> int:
    """Write `count` damaged files, and some that must be refused for other reasons; returns the number in all."""
    rng = random.Random(7)
    good = seeds(folder)
    (folder / "seed.dcm").unlink()
    for number in range(count):
        seed = good[number % len(good)]
        suffix = rng.choice((".png", ".jpg", ".dcm", ".dicom", ".tif", ""))  # most of them are wrong
        (folder / f"f{number:05d}{suffix}").write_bytes(DAMAGES[number // len(good) % len(DAMAGES)](seed, rng))
    dicom(folder / "seed.dcm")
    for name, data in {"bomb.png": bomb(50_000), "frames.dcm": multi_frame(folder), "empty.jpg": b""}.items():
        (folder / name).write_bytes(data)
    return count + 4


@pytest.mark.parametrize("count", [150, pytest.param(2400, marks=pytest.mark.slow)])
def test_damaged_files_never_stop_prepare_and_each_is_explained(tmp_path: Path, count: int) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    total = damaged_files(raw, count)
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # the largest process that earlier tests started
    summary = prepare("folder", raw, tmp_path / "out", workers=2)
    with (tmp_path / "out" / "quarantine.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    kept = [study.study_id for study in read_studies(tmp_path / "out")]
    assert len(kept) + len(rows) == summary.kept + summary.dropped.total() == total
    assert {row["row"] for row in rows}.isdisjoint(kept)
    assert all(row["reason"] and "\n" not in row["reason"] for row in rows)
    reasons = {row["row"]: row["reason"] for row in rows}
    assert "bomb" in reasons["folder/bomb.png"]
    assert any("multi-frame" in reason for reason in reasons.values())  # DICOM files are named by hashes
    assert "0 bytes" in reasons["folder/empty.jpg"]
    assert [study for study in kept if not study.startswith("folder/f0")]
    for study in read_studies(tmp_path / "out"):
        assert study.image is not None
        assert decode(study.image).size
    if count > 1000:
        assert len(rows) > count / 3
    # A started process is counted with what its parent held at its start: the tests before this one may hold much.
    parent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak <= max(others, parent) or peak / 1024 < 1500, f"a worker took {peak / 1024:.0f} MB"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return seeds(tmp_path_factory.mktemp("seeds"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 14), st.integers(0, 10**6), st.integers(0, len(DAMAGES) - 1))
def test_a_damaged_file_decodes_or_raises_one_line(good: list[bytes], seed: int, state: int, damage: int) -> None:
    data = DAMAGES[damage](good[seed], random.Random(state))
    assert outcome(data) in ("image", "one line")


def test_every_seed_is_good(good: list[bytes]) -> None:
    assert len(good) == 15
    for data in good:
        assert min(decode(data).shape) == 40


def test_deflated_bomb_is_refused_before_it_is_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom(tmp_path / "seed.dcm")
    deflated = compressed_dicoms(tmp_path)[2]
    assert decode_dicom("x", deflated).pixels.shape == (40, 50)
    monkeypatch.setattr(dicom_module, "MAX_INFLATED", 1000)
    with pytest.raises(XLIPError, match="after inflating"):
        decode_dicom("x", deflated)


def test_a_frame_that_is_larger_than_its_header_says_is_refused(tmp_path: Path) -> None:
    dicom(tmp_path / "seed.dcm")
    wavelet = compressed_dicoms(tmp_path)[1]
    place = wavelet.index(b"\xff\x4f\xff\x51") + 8
    huge = wavelet[:place] + struct.pack(">2I", 50_000, 50_000) + wavelet[place + 8 :]
    with pytest.raises(XLIPError, match="promises 50000 x 50000"):
        decode_dicom("x", huge)


def test_spacing_leaves_a_dicom_file_and_names_do_not(tmp_path: Path) -> None:
    dicom(tmp_path / "seed.dcm")
    for data in ((tmp_path / "seed.dcm").read_bytes(), *compressed_dicoms(tmp_path)):
        found = decode_dicom("x", data)
        assert found.pixel_spacing == (0.2, 0.25)
        assert found.pixels.shape == (40, 50)


def test_real_dicom_files_survive_damage() -> None:
    rng = random.Random(3)
    for file in sorted((real_data("dicom") / "chest").iterdir())[:3]:
        data = file.read_bytes()
        for damage in (truncated, head_flipped):
            assert outcome(damage(data, rng)) in ("image", "one line")

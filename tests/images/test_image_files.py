from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from real_data import real_data
from xlip.errors import XLIPError
from xlip.images.files import decode, encode, load_for_storage
from xlip.images.gray import MAX_PIXELS
from xlip.images.square import PREPROCESS, fit, shrink

RAMP = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
GRAY = (RAMP % 256).astype(np.uint8)


def packed(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def dicom(pixels: np.ndarray[Any, Any], *, meta: bool = True, **fields: Any) -> bytes:
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage

    header = FileMetaDataset()
    header.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    header.MediaStorageSOPInstanceUID = "1.2.3"
    header.TransferSyntaxUID = ExplicitVRLittleEndian if meta else ImplicitVRLittleEndian
    data: Dataset = FileDataset("", {}, file_meta=header, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.PatientName = SecondaryCaptureImageStorage, "1.2.3", "Secret^Name"
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = pixels.dtype.itemsize * 8
    data.BitsStored = fields.pop("BitsStored", data.BitsAllocated)
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OW" if data.BitsAllocated == 16 else "OB"
    for name, value in fields.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    if meta:
        pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    else:
        del data.file_meta, data.preamble
        pydicom.dcmwrite(buffer, data, implicit_vr=True, little_endian=True)
    return buffer.getvalue()


def as_bytes(share: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)


def test_gray_png_comes_back_unchanged_from_bytes_and_from_a_path(tmp_path: Path) -> None:
    data = packed(Image.fromarray(GRAY))
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(decode(source), GRAY)
        assert decode(source).dtype == np.uint8


def test_16_bit_png_is_scaled_by_the_stored_range() -> None:
    values = (1000 + 3 * RAMP).astype(np.uint16)
    expected = as_bytes((values - 1000.0) / (values.max() - 1000.0))
    assert np.array_equal(decode(packed(Image.fromarray(values))), expected)


def test_constant_16_bit_image_is_black_not_nan() -> None:
    assert not decode(packed(Image.fromarray(np.full((4, 5), 700, np.uint16)))).any()


def test_colour_and_palette_become_luminance() -> None:
    colour = Image.fromarray(np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], -1))
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(decode(packed(colour)) - np.asarray(colour) @ weights).max() <= 1
    palette = Image.fromarray(GRAY).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    assert np.abs(decode(packed(palette)).astype(int) - np.asarray(palette.convert("L"))).max() == 0


def test_alpha_is_composited_over_black() -> None:
    alpha = np.full_like(GRAY, 255)
    alpha[:10] = 0
    rgba = np.stack([GRAY, GRAY, GRAY, alpha], -1)
    expected = np.where(alpha == 255, GRAY, 0)
    assert np.abs(decode(packed(Image.fromarray(rgba))).astype(int) - expected).max() <= 1


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(decode(packed(Image.fromarray(GRAY), exif=exif)), np.rot90(GRAY, -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_file_is_refused_in_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    data = packed(Image.fromarray(noise), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(XLIPError, match=r"cut\.img.*damaged or cut short") as caught:
        decode(path)
    assert "\n" not in str(caught.value)


def test_empty_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(XLIPError, match=r"empty\.png.*0 bytes"):
        decode(tmp_path / "empty.png")
    with pytest.raises(XLIPError, match=r"none\.png.*cannot read"):
        decode(tmp_path / "none.png")
    with pytest.raises(XLIPError, match="neither an image nor DICOM"):
        decode(b"patient,label\n1,2\n" * 40)


@pytest.mark.parametrize("side", [10_001, 40_000])
def test_bomb_is_refused_before_its_pixels_are_decoded(side: int) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    with pytest.raises(XLIPError, match="bomb"):
        decode(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


@given(st.binary(max_size=300))
def test_any_bytes_give_an_image_or_an_xlip_error(data: bytes) -> None:
    try:
        found: object = decode(data).ndim
    except XLIPError as error:
        found = str(error)
    assert found == 2 or "\n" not in str(found)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_dicom_window_follows_the_standard(function: str) -> None:
    centre, width = 300.0, 200.0
    values = RAMP.astype(float) * 2 - 10
    expected = {
        "LINEAR": (values - (centre - 0.5)) / (width - 1) + 0.5,
        "LINEAR_EXACT": (values - centre) / width + 0.5,
        "SIGMOID": 1 / (1 + np.exp(-4 * (values - centre) / width)),
    }[function]
    fields = {"WindowCenter": [centre, 1], "WindowWidth": [width, 5], "RescaleSlope": 2, "RescaleIntercept": -10}
    found = decode(dicom(RAMP, VOILUTFunction=function, **fields))
    assert np.abs(found.astype(int) - as_bytes(expected)).max() <= 1


def test_dicom_without_window_uses_the_stored_range_and_leaves_padding_out() -> None:
    values = RAMP + 100
    values[:3] = 4095
    found = decode(dicom(values, PixelPaddingValue=4095, BitsStored=12))
    inside = values[3:].astype(float)
    assert not found[:3].any()
    assert np.array_equal(found[3:], as_bytes((inside - inside.min()) / (inside.max() - inside.min())))


def test_dicom_monochrome1_is_inverted_and_its_padding_stays_black() -> None:
    values = RAMP + 100
    values[:3] = 0
    plain = decode(dicom(values, PixelPaddingValue=0))
    inverted = decode(dicom(values, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(plain[3:].astype(int) + inverted[3:] - 255).max() <= 1
    assert not inverted[:3].any()


def test_dicom_voi_table_is_applied() -> None:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.LUTDescriptor, item.LUTData = [600, 0, 16], [int(v) for v in np.arange(600)[::-1] * 100]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    found = decode(dicom(RAMP, VOILUTSequence=[item]))
    assert np.array_equal(found, as_bytes(1 - RAMP / 599))


def test_dicom_without_file_meta_and_with_a_useless_window_decodes() -> None:
    found = decode(dicom(RAMP, meta=False, WindowCenter=0, WindowWidth=0))
    assert np.array_equal(found, as_bytes(RAMP / 599))


def test_8_bit_dicom_equals_the_png_of_the_same_image() -> None:
    narrow = GRAY // 2 + 20
    assert np.array_equal(decode(dicom(narrow)), narrow)


def test_multi_frame_and_imageless_dicom_are_refused() -> None:
    with pytest.raises(XLIPError, match="multi-frame"):
        decode(dicom(np.stack([RAMP, RAMP]), NumberOfFrames=2))
    import pydicom

    data = pydicom.dcmread(io.BytesIO(dicom(RAMP)))
    del data.PixelData
    buffer = io.BytesIO()
    data.save_as(buffer)
    with pytest.raises(XLIPError, match="holds no image") as caught:
        decode(buffer.getvalue())
    assert "Secret" not in str(caught.value)


def test_truncated_and_huge_dicom_are_refused() -> None:
    with pytest.raises(XLIPError, match="damaged or cut short"):
        decode(dicom(RAMP)[:-300])
    with pytest.raises(XLIPError, match="bomb"):
        decode(dicom(RAMP, Rows=50_000, Columns=50_000))


@pytest.mark.parametrize("preprocess", PREPROCESS)
@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (7, 300), (224, 224)])
def test_fit_gives_the_asked_square(preprocess: str, shape: tuple[int, int]) -> None:
    image = np.full(shape, 200, np.uint8)
    assert fit(image, 32, preprocess).shape == (32, 32)
    assert fit(image, 32, preprocess).dtype == np.uint8


def test_fit_is_a_no_op_at_the_right_shape() -> None:
    square = np.ascontiguousarray(GRAY[:20, :20])
    assert all(fit(square, 20, preprocess) is square for preprocess in PREPROCESS)


def test_letterbox_pads_clip_crops_squash_stretches() -> None:
    image = np.full((32, 64), 100, np.uint8)
    image[:, :16], image[:, 48:] = 0, 255
    assert {int(row.max()) for row in fit(image, 64, "letterbox")[:16]} == {0}
    assert np.array_equal(fit(image, 64, "letterbox")[16:48], image)
    assert np.array_equal(fit(image, 32, "clip"), image[:, 16:48])
    squashed = fit(image, 32, "squash")
    assert squashed[:, :6].max() == 0
    assert squashed[:, 26:].min() >= 254


def test_downsizing_averages_instead_of_picking_pixels() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (256, 128))
    small = fit(stripes, 32, "squash")
    assert np.abs(small.astype(int) - 127).max() <= 8


def test_unknown_preprocess_and_size_are_refused() -> None:
    with pytest.raises(XLIPError, match="letterbox, clip, squash"):
        fit(GRAY, 32, "stretch")
    with pytest.raises(XLIPError, match="at least 1"):
        fit(GRAY, 0)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 100))
def test_shrink_keeps_the_aspect_and_never_enlarges(height: int, width: int, short_side: int) -> None:
    found = shrink(np.zeros((height, width), np.uint8), short_side)
    scale = min(1.0, short_side / min(height, width))
    assert np.abs(np.array(found.shape) - np.array([height, width]) * scale).max() <= 0.5
    assert min(found.shape) == min(height, width, short_side)


def test_encode_is_exact_as_png_and_close_as_jpeg() -> None:
    smooth = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    assert np.array_equal(decode(encode(smooth, lossless=True)), smooth)
    stored = Image.open(io.BytesIO(encode(smooth)))
    assert (stored.format, stored.mode) == ("JPEG", "L")
    assert np.abs(decode(encode(smooth)).astype(int) - smooth).max() <= 6


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_small_gray_files_are_stored_byte_for_byte(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(packed(Image.fromarray(GRAY), kind))
    assert load_for_storage(path, 20).data == path.read_bytes()
    assert decode(load_for_storage(path, 10).data).shape == (10, 15)


def test_metadata_rotation_colour_and_depth_are_not_stored(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text, exif = PngInfo(), Image.Exif()
    text.add_text("Patient", "Secret^Name")
    exif[0x0112] = 6
    exif[0x010E] = "Secret^Name"
    gray = Image.fromarray(GRAY)
    plain = packed(gray, "JPEG")
    segment = b"\xff\xe5" + struct.pack(">H", 13) + b"Secret^Name"
    chunk = b"prVt" + b"Secret^Name"
    chunk = struct.pack(">I", 11) + chunk + struct.pack(">I", zlib.crc32(chunk))
    cases = {
        "application segment": plain[:2] + segment + plain[2:],
        "behind the end": plain + b"Secret^Name",
        "private chunk": packed(gray)[:33] + chunk + packed(gray)[33:],
        "behind the last chunk": packed(gray) + b"Secret^Name",
        "text": packed(gray, pnginfo=text),
        "comment": packed(gray, "JPEG", comment=b"Secret^Name"),
        "exif": packed(gray, "JPEG", exif=exif),
        "colour": packed(gray.convert("RGB")),
        "deep": packed(Image.fromarray(RAMP)),
        "dicom": dicom(RAMP),
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        stored = load_for_storage(tmp_path / name, 256).data
        image = Image.open(io.BytesIO(stored))
        assert (image.format, image.mode) == ("JPEG", "L"), name
        assert b"Secret" not in stored, name
        assert image.size == ((20, 30) if name == "exif" else (30, 20)), name


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.integers(0, 2**32 - 1))
def test_a_check_at_an_eighth_finds_the_same_files_damaged(progressive: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(128, 25, (72, 88)).clip(0, 255).astype(np.uint8)
    data = bytearray(packed(Image.fromarray(noise), "JPEG", progressive=progressive))
    if rng.random() < 0.5:
        del data[rng.integers(4, len(data)) :]
    else:
        for place in rng.integers(0, len(data), rng.integers(1, 30)):
            data[place] ^= 1 << rng.integers(8)

    def readable(read: Any) -> bool:
        try:
            read(bytes(data))
        except XLIPError:
            return False
        return True

    assert readable(decode) == readable(lambda damaged: load_for_storage(damaged, 256))


def test_load_for_storage_refuses_a_file_whose_header_is_fine_but_whose_pixels_are_not(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    path = tmp_path / "cut.png"
    path.write_bytes(packed(Image.fromarray(noise))[:-2000])
    with pytest.raises(XLIPError, match=r"cut\.png"):
        load_for_storage(path, 256)


def test_real_dicom_files_decode_to_images_with_contrast() -> None:
    files = [file for part in ("chest", "other") for file in sorted((real_data("dicom") / part).iterdir())]
    assert len(files) == 10
    for file in files:
        image = decode(file)
        assert image.dtype == np.uint8
        assert min(image.shape) >= 440, file.name
        assert image.std() > 20, file.name


def test_real_monochrome1_twin_is_the_inverse() -> None:
    chest = real_data("dicom") / "chest"
    fake = decode(chest / "Fake_MONOHR1.dcm").astype(int)
    plain = decode(chest / "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm")
    assert np.abs(fake + plain - 255).mean() < 2


def test_the_limit_is_the_one_that_is_documented() -> None:
    assert MAX_PIXELS == 100_000_000

"""Bodies that nobody should send: bombs, pieces, wrong types, paths in names, files that are two things at once."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from film_files import PATIENT, as_dicom
from PIL import Image

from xlip.images.files import encode
from xlip.phantom import generate

NAMES = (
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x.png",
    "a\0b.png",
    "CON",
    "%00",
    "x" * 5000,
    "\u202egnp.exe",
    "",
    "a;b=c",
)
ROUTES = ("zeroshot", "embed", "explain", "search", "film")
Rng = np.random.Generator


def good(rng: Rng) -> bytes:
    pixels = generate(int(rng.integers(1000)), size=64).pixels
    return (lambda: encode(pixels), lambda: encode(pixels, lossless=True), lambda: as_dicom(pixels))[rng.integers(3)]()


def cut(rng: Rng) -> bytes:
    data = good(rng)
    return data[: rng.integers(len(data))]


def noisy(rng: Rng) -> bytes:
    data = bytearray(good(rng))
    for place in rng.integers(0, len(data), rng.integers(1, 40)):
        data[place] = rng.integers(256)
    return bytes(data)


def torn(rng: Rng) -> bytes:
    """A piece taken out, doubled or put elsewhere."""
    data = good(rng)
    start, end = sorted(int(place) for place in rng.integers(0, len(data), 2))
    return (data[:start] + data[end:], data[:end] + data[start:], data[end:] + data[start:end])[rng.integers(3)]


def junk(rng: Rng) -> bytes:
    heads = (
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        bytes(128) + b"DICM",
        b"GIF89a",
        b"II*\0",
        b"PK\3\4",
        b"<svg ",
    )
    return heads[rng.integers(len(heads))] + rng.bytes(int(rng.integers(0, 3000)))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb(rng: Rng) -> bytes:
    """Few bytes that unfold into many: pixels, texts, profiles, or a header that promises them."""
    side = int(rng.choice([1, 1999, 5000, 60_000, 2**31 - 1]))
    head = chunk(
        b"IHDR", struct.pack(">IIBBBBB", side, side, int(rng.choice([1, 8, 16])), int(rng.choice([0, 2, 6])), 0, 0, 0)
    )
    inflating = zlib.compress(bytes(3_000_000))
    more = (
        b"",
        chunk(b"zTXt", b"k\0\0" + inflating),
        chunk(b"iCCP", b"k\0\0" + inflating),
        chunk(b"iTXt", b"k\0\1\0\0\0" + inflating),
    )
    return b"\x89PNG\r\n\x1a\n" + head + more[rng.integers(4)] + chunk(b"IDAT", inflating) + chunk(b"IEND", b"")


def jpeg_bomb(rng: Rng) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(buffer, "JPEG", progressive=bool(rng.integers(2)))
    data = buffer.getvalue()
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    side = struct.pack(">HH", *(int(rng.choice([0, 1, 9000, 65535])) for _ in range(2)))
    data = data[: frame + 5] + side + data[frame + 9 :]
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * int(rng.choice([1, 50, 3000])) + data[-2:]


def dicom_bomb(rng: Rng) -> bytes:
    wrong: dict[str, Any] = {
        "Rows": int(rng.choice([0, 1, 30000, 65535])),
        "Columns": int(rng.choice([0, 1, 30000, 65535])),
        "NumberOfFrames": int(rng.choice([0, 1, 10**9])),
        "SamplesPerPixel": int(rng.choice([0, 1, 3, 65535])),
        "BitsStored": int(rng.choice([0, 1, 12, 16, 65535])),
        "PhotometricInterpretation": str(rng.choice(["RGB", "PALETTE COLOR", "MONOCHROME1", "x" * 50])),
        "WindowWidth": str(rng.choice(["0", "-1", "1e309", "99999999"])),
        "PatientName": PATIENT * 1000,
    }
    names = rng.choice(list(wrong), rng.integers(1, 4), replace=False)
    return as_dicom(generate(1, size=64).pixels, **{name: wrong[name] for name in names})


def polyglot(rng: Rng) -> bytes:
    """A DICOM file that begins as another format, or a picture with something behind it."""
    first, second = good(rng), good(rng)
    dicom = as_dicom(generate(2, size=64).pixels)
    heads = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"MZ", b"%PDF-1.7", b"<script>")
    if rng.integers(2):
        head = heads[rng.integers(len(heads))]
        return head + bytes(128 - len(head)) + dicom[128:]
    return first + second


BODIES: tuple[Callable[[Rng], bytes], ...] = (good, cut, noisy, torn, junk, png_bomb, jpeg_bomb, dicom_bomb, polyglot)


def request(rng: Rng) -> dict[str, Any]:
    """One request as httpx takes it."""
    body = BODIES[rng.integers(len(BODIES))](rng)
    url = f"/v1/{ROUTES[rng.integers(len(ROUTES))]}"
    fields = {"kinds": str(rng.choice(["Effusion", "", "x", "../..", "No_Finding"]))} if rng.integers(2) else {}
    way = rng.integers(4)
    if way == 0:
        kind = str(rng.choice(["image/png", "image/jpeg", "application/dicom", "text/html", "x", "application/json"]))
        return {"method": "POST", "url": url, "content": body, "headers": {"content-type": kind}, "params": fields}
    if way == 1:
        files = [("image", (str(rng.choice(NAMES)), body)) for _ in range(rng.integers(1, 4))]
        return {"method": "POST", "url": url, "files": files, "data": fields}
    if way == 2:
        boundary = str(rng.choice(["b", "", "x" * 300, "a\tb"]))
        raw = b"--b\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n" + body + b"\r\n--b--"
        head = {"content-type": f"multipart/form-data; boundary={boundary}"}
        return {"method": "POST", "url": url, "content": raw[: rng.integers(len(raw) + 1)], "headers": head}
    found = json.dumps(
        {"texts": ["a", None, {"x": 1}][: rng.integers(4)], "text": "b" * int(rng.integers(600)), "top": -1}
    )
    return {
        "method": "POST",
        "url": url,
        "content": found[: rng.integers(len(found) + 1)],
        "headers": {"content-type": "application/json"},
    }

"""Pictures and files for the tests of reading them."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.base import Rejected
from models.vision.files import read_upright

SIZE = (120, 40)
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "GIF": {},
    "WEBP": {"lossless": True},
    "JPEG2000": {},
}
LOSSY: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "MPO": {"quality": 95}, "AVIF": {"quality": 95}}
LOSSY["HEIF"] = {"quality": 95}
ENCODERS = LOSSLESS | LOSSY


def drawn(size: tuple[int, int] = SIZE, paper: int = 255, ink: int = 0) -> Image.Image:
    """A ring, a bar and a slanted stroke: it reads differently when turned or mirrored."""
    image = Image.new("L", size, paper)
    draw = ImageDraw.Draw(image)
    draw.ellipse((15, 8, 35, 32), outline=ink, width=4)
    draw.line((55, 8, 55, 32), fill=ink, width=4)
    draw.line((70, 32, 100, 8), fill=ink, width=4)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(levels: NDArray[np.uint16], *chunks: bytes) -> bytes:
    """A PNG of 16 bits per sample, (rows, columns, channels), which Pillow can't write in colour."""
    rows, columns, channels = levels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    data = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def grey(payload: bytes) -> NDArray[np.float64]:
    """What is read, in grey, (rows, columns)."""
    return np.asarray(read_upright(payload).image.convert("RGB").convert("L"), np.float64)


def code(payload: bytes) -> str:
    with pytest.raises(Rejected) as refused:
        read_upright(payload)
    assert str(refused.value)
    return refused.value.code

"""Checks of an image file before it is opened, by its format.

A PNG of a few kilobytes can hold billions of pixels, and other files as much work in other parts. Pixels are counted
when the file is open and before they are decoded (`models.vision.files`), the other parts here. Sources: the PNG
specification (W3C, third edition, sections 5 and 11), GIF89a, ITU-T T.800 (JPEG 2000) annex A, ISO/IEC 14496-12.
"""

import struct
import zlib

from models.vision.jpeg import END_MARKER, check_jpeg
from models.vision.refusals import broken, too_complex, truncated
from models.vision.tiff import check_tiff, lacks_bytes

MAX_CHUNKS = 20_000
"""Of a PNG: a file of 8 MiB has 16,384 if its pixels come in pieces of 500 bytes."""
MAX_COMPRESSED = 64
"""Chunks of a PNG whose text or profile is compressed: each becomes up to a megabyte."""
MAX_GIF_BLOCKS = 4_096
"""Before the first picture of a GIF, each of 255 bytes: comments and profiles."""
MAX_LAYERS, MAX_TILES = 64, 4_096
"""Of a JPEG 2000 file: each layer is decoded for each part of each tile."""

_PNG_START = 8
_PNG_COMPRESSED = {b"iCCP", b"zTXt", b"iTXt"}
_PNG_ANCILLARY = 0x20  # in the first letter of a chunk's name
_ISO_MEDIA = ("AVIF", "HEIF")


def check_file(payload: bytes, name: str) -> bytes:
    """Return the bytes of the picture in a file of this format, without what could do harm.

    Raises `Rejected`: `truncated`, `broken`, `too_complex`, `unsupported`.
    """
    match name:
        case "JPEG":
            return check_jpeg(payload)
        case "TIFF":
            return check_tiff(payload)
        case "PNG":
            return _check_png(payload)
        case "GIF":
            _check_gif(payload)
        case "JPEG2000":
            _check_jpeg_2000(payload)
    return payload


def significant_bits(payload: bytes) -> int:
    """Return the significant bits per sample that a PNG declares (sBIT), 0 if it doesn't."""
    at = payload.find(b"sBIT", 0, payload.find(b"IDAT"))
    return 0 if at < 4 else max(payload[at + 4 : at + 4 + min(payload[at - 1], 3)], default=0)


def is_cut(payload: bytes, name: str) -> bool:
    """Return whether a file of this format lacks bytes at its end, by the length that it declares."""
    if name == "WEBP":
        return int.from_bytes(payload[4:8], "little") + 8 > len(payload)
    if name == "JPEG2000":
        return not payload.endswith(END_MARKER)
    if name == "BMP":
        return int.from_bytes(payload[2:6], "little") > len(payload)
    if name == "TIFF":
        return lacks_bytes(payload)
    at = 0
    while name in _ISO_MEDIA and 0 <= at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        size = int.from_bytes(payload[at + 8 : at + 16], "big") if size == 1 else size
        at = len(payload) if size == 0 else at + max(8, size)
    return at > len(payload)


def _check_png(payload: bytes) -> bytes:
    """Walk the chunks, and leave out damaged ones that the pixels don't need, such as EXIF.

    A cut file is refused here only if its pixels haven't begun.
    """
    at, chunks, compressed, pixels = _PNG_START, 0, 0, False
    damaged = []
    while at + 8 <= len(payload):
        length, kind = struct.unpack_from(">I4s", payload, at)
        if not chunks and (kind != b"IHDR" or length != 13):
            raise broken("its first chunk is not a header")
        chunks += 1
        compressed += kind in _PNG_COMPRESSED
        pixels = pixels or kind == b"IDAT"
        if chunks > MAX_CHUNKS or compressed > MAX_COMPRESSED:
            raise too_complex(f"more than {MAX_CHUNKS:,} chunks, or {MAX_COMPRESSED} of compressed text or profiles")
        end = at + 12 + length
        checksum = zlib.crc32(payload[at + 4 : end - 4]) if kind[0] & _PNG_ANCILLARY else None
        if checksum is not None and int.from_bytes(payload[end - 4 : end], "big") != checksum:
            damaged.append((at, end))
        at = end
        if kind == b"IEND":
            break
    if not pixels:
        raise truncated()
    for begin, end in reversed(damaged):
        payload = payload[:begin] + payload[end:]
    return payload


def _check_gif(payload: bytes) -> None:
    """Walk the blocks up to the first picture."""
    if len(payload) < 13:
        raise truncated()
    at = 13 + (3 << (payload[10] & 7) + 1 if payload[10] & 0x80 else 0)
    for _ in range(MAX_GIF_BLOCKS):
        if at + 1 >= len(payload):
            raise truncated()
        if payload[at] == ord(","):
            return
        if payload[at] != ord("!"):
            at += 1
            continue
        at += 2
        for _ in range(MAX_GIF_BLOCKS):
            if at >= len(payload) or payload[at] == 0:
                break
            at += 1 + payload[at]
        else:
            raise too_complex(f"more than {MAX_GIF_BLOCKS:,} blocks of comments or profiles")
        at += 1
    raise too_complex(f"more than {MAX_GIF_BLOCKS:,} blocks before its picture")


def _check_jpeg_2000(payload: bytes) -> None:
    at = payload.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 42 > len(payload):
        raise truncated()
    width, height, *_, across, down, left, top = struct.unpack_from(">8I", payload, at + 8)
    tiles = -(-(width - left) // max(1, across)) * -(-(height - top) // max(1, down))
    coding = payload.find(b"\xff\x52", at, payload.find(b"\xff\x90", at))
    layers = int.from_bytes(payload[coding + 6 : coding + 8], "big") if coding >= 0 else 1
    if layers > MAX_LAYERS or tiles > MAX_TILES:
        raise too_complex(f"{layers:,} layers of {tiles:,} tiles; at most {MAX_LAYERS} and {MAX_TILES:,} are read")

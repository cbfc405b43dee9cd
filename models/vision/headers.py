"""Checks of an image file before any of it is decoded.

A PNG of a few kilobytes can hold billions of pixels, and a progressive JPEG a hundred thousand scans over them, so both
are counted first. Sources: the PNG specification (W3C, third edition, sections 5 and 11), ITU-T T.81 (JPEG) annex B.
"""

import re
import struct
from collections.abc import Iterator

from models.base import Rejected

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

MAX_SCANS = 64
"""Of a JPEG. Each costs the time of a whole picture, whatever its size in the file; encoders write at most 20."""
MAX_SEGMENTS = 1_000
"""Of a JPEG, beside its scans."""
MAX_CHUNKS = 20_000
"""Of a PNG: a file of 4 MiB has 8,192 if its pixels come in pieces of 500 bytes."""
MAX_COMPRESSED = 64
"""Chunks of a PNG whose text or profile is compressed: each becomes up to a megabyte."""
MAX_EXIF = 64 * 1024
"""Bytes of EXIF: as much as one segment of a JPEG holds. Its tags may all point at the same bytes."""

_PNG_COMPRESSED = {b"iCCP", b"zTXt", b"iTXt"}
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
_JPEG_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_JPEG_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}  # markers without a length
_JPEG_SCAN, _JPEG_END, _JPEG_APP1 = 0xDA, 0xD9, 0xE1
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends the data of a scan: neither a stuffed byte, a fill byte nor a restart."""


def image_size(payload: bytes) -> tuple[int, int]:
    """Return width and height in pixels that a complete PNG or JPEG file declares.

    Raises `Rejected`: `empty`, `not_an_image` (neither PNG nor JPEG), `truncated`, `broken`.
    """
    if not payload:
        raise Rejected("empty", "the value is empty: send the bytes of a PNG or JPEG file")
    if payload.startswith(PNG_SIGNATURE):
        return _png_size(payload)
    if payload.startswith(JPEG_SIGNATURE):
        return _jpeg_size(payload)
    if len(payload) < len(PNG_SIGNATURE) and (PNG_SIGNATURE.startswith(payload) or JPEG_SIGNATURE.startswith(payload)):
        raise _truncated()
    raise Rejected("not_an_image", f"neither a PNG nor a JPEG file: it starts with {payload[:8]!r}")


def _truncated() -> Rejected:
    return Rejected("truncated", "the image file ends too early: send all of its bytes")


def _broken(what: str) -> Rejected:
    return Rejected("broken", f"the image file is damaged: {what}")


def _png_size(payload: bytes) -> tuple[int, int]:
    """Walk the chunks up to IEND, so that a file cut anywhere is found."""
    at = len(PNG_SIGNATURE)
    size = None
    chunks = compressed = 0
    while at + 12 <= len(payload):
        length, kind = struct.unpack_from(">I4s", payload, at)
        if size is None:
            if kind != b"IHDR" or length != 13:
                raise _broken("its first chunk is not a header")
            if at + 16 > len(payload):
                break
            size = struct.unpack_from(">II", payload, at + 8)
        chunks += 1
        compressed += kind in _PNG_COMPRESSED
        if chunks > MAX_CHUNKS or compressed > MAX_COMPRESSED:
            raise _too_complex(f"more than {MAX_CHUNKS:,} chunks, or {MAX_COMPRESSED} of compressed text or profiles")
        at += 12 + length
        if kind == b"IEND" and at <= len(payload):
            return size
    raise _truncated()


def _jpeg_size(payload: bytes) -> tuple[int, int]:
    """Walk the segments and scans up to the end marker; what follows it is not part of the picture."""
    size = None
    scans = exif = 0
    for segments, (marker, at, length) in enumerate(_jpeg_segments(payload), 1):
        if size is None and marker in (_JPEG_END, _JPEG_SCAN):
            raise _broken("it has no frame header")
        if size is not None and marker == _JPEG_END:
            return size
        if marker in _JPEG_ARITHMETIC:
            raise Rejected("unsupported", "the JPEG file is arithmetic coded: save it with Huffman coding")
        if marker in _JPEG_FRAMES and size is None and at + 9 <= len(payload):
            height, width = struct.unpack_from(">HH", payload, at + 5)
            size = width, height
        scans += marker == _JPEG_SCAN
        exif += length if marker == _JPEG_APP1 and payload[at + 4 : at + 8] == b"Exif" else 0
        if scans > MAX_SCANS or segments - scans > MAX_SEGMENTS:
            raise _too_complex(f"more than {MAX_SCANS} scans, or {MAX_SEGMENTS:,} other segments")
        if exif > MAX_EXIF:
            raise _too_complex(f"{exif:,} bytes of EXIF; at most {MAX_EXIF:,} are read")
    raise _truncated()


def _jpeg_segments(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment's marker, place and length: the frame's, each scan's, and the end's."""
    at = 2
    while at + 2 <= len(payload):
        marker = payload[at + 1]
        if payload[at] != 0xFF:
            raise _broken("a marker is missing")
        if marker == 0xFF or marker in _JPEG_BARE:
            at += 1 if marker == 0xFF else 2  # a fill byte
            continue
        length = int.from_bytes(payload[at + 2 : at + 4], "big")
        yield marker, at, length
        at += 2 + length
        if marker == _JPEG_SCAN:
            found = _JPEG_MARKER.search(payload, at)
            at = found.start() if found else len(payload)


def _too_complex(what: str) -> Rejected:
    return Rejected("too_complex", f"reading the image file would take too long: {what}. Save it again")

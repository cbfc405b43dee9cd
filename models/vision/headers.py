"""What an image file says about itself before any of it is decoded.

A PNG of a few kilobytes can hold billions of pixels, so the size is read from the header first. Sources: the PNG
specification (W3C, third edition, sections 5 and 11), ITU-T T.81 (JPEG) annex B.
"""

import struct

from models.base import Rejected

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
_JPEG_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}  # markers without a length
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


def image_size(payload: bytes) -> tuple[int, int]:
    """Width and height in pixels that a complete PNG or JPEG file declares.

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
    """Walks the chunks up to IEND, so that a file cut anywhere is found."""
    at = len(PNG_SIGNATURE)
    size = None
    while at + 12 <= len(payload):
        length, kind = struct.unpack_from(">I4s", payload, at)
        if size is None:
            if kind != b"IHDR" or length != 13:
                raise _broken("its first chunk is no header")
            if at + 16 > len(payload):
                break
            size = struct.unpack_from(">II", payload, at + 8)
        at += 12 + length
        if kind == b"IEND" and at <= len(payload):
            return size
    raise _truncated()


def _jpeg_size(payload: bytes) -> tuple[int, int]:
    """Walks the marker segments up to the frame header, and looks for the end marker after the last scan."""
    at = 2
    while at + 4 <= len(payload):
        if payload[at] != 0xFF:
            raise _broken("a marker is missing")
        marker = payload[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            if at + 9 > len(payload):
                break
            height, width = struct.unpack_from(">HH", payload, at + 5)
            if payload.rfind(_JPEG_END) < payload.rfind(_JPEG_SCAN) or _JPEG_SCAN not in payload:
                break
            return width, height
        elif marker in (0xD9, 0xDA):
            raise _broken("it has no frame header")
        else:
            at += 2 + int.from_bytes(payload[at + 2 : at + 4], "big")
    raise _truncated()

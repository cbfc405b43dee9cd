"""Checks of a JPEG file before it is decoded: a progressive one may have a hundred thousand scans over its pixels.

Source: ITU-T T.81 (JPEG), annexes B and G.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from models.base import Rejected
from models.vision.refusals import broken, too_complex, truncated

MAX_SCANS = 64
"""Each costs the time of a whole picture, whatever its size in the file; encoders write at most 20."""
MAX_SCANNED_PIXELS = MAX_SCANS * 16_000_000
"""Scans x pixels: more of a small picture, fewer of a large one."""
MAX_SEGMENTS = 1_000
"""Beside the scans."""
MAX_EXIF = 64 * 1024
"""Bytes of EXIF: as much as one segment holds. Its tags may all point at the same bytes."""

END_MARKER = b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}  # markers without a length
_SCAN, _END, _APP1 = 0xDA, 0xD9, 0xE1
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends the data of a scan: neither a stuffed byte, a fill byte nor a restart."""
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_BLOCK, _UNWRITTEN = 8, 128  # pixels on a side, and the grey of pixels without data: all their coefficients are 0


def check_jpeg(payload: bytes) -> bytes:
    """Return the file up to its end marker, which is added if it is missing; what follows it is not the picture.

    Raises `Rejected`: `truncated` if the last, finest scan of a component has not begun, `broken`, `unsupported`,
    `too_complex`.
    """
    pixels = scans = exif = components = 0
    finest: set[int] = set()
    for segments, (marker, at, length) in enumerate(_segments(payload), 1):
        if marker in (_END, _SCAN) and not pixels:
            raise broken("it has no frame header")
        if marker == _END and scans:
            return payload[: at + 2]
        if marker in _ARITHMETIC:
            raise Rejected("unsupported", "the JPEG file is arithmetic coded: save it with Huffman coding")
        if marker in _FRAMES and not pixels:
            if at + 10 > len(payload):
                raise truncated()
            height, width, components = struct.unpack_from(">HHB", payload, at + 5)
            pixels = max(1, height * width)
        if marker == _SCAN:
            scans += 1
            finest |= _finest_components(payload[at + 4 : at + 2 + length])
        exif += length if marker == _APP1 and payload[at + 4 : at + 8] == b"Exif" else 0
        costs = scans * pixels if scans > 1 else 0
        if scans > MAX_SCANS or costs > MAX_SCANNED_PIXELS or segments - scans > MAX_SEGMENTS:
            raise too_complex(f"{scans} scans, or more than {MAX_SEGMENTS:,} other segments")
        if exif > MAX_EXIF:
            raise too_complex(f"{exif:,} bytes of EXIF; at most {MAX_EXIF:,} are read")
    if len(finest) < max(1, components):
        raise truncated()
    return payload + END_MARKER


def check_written(image: Image.Image) -> None:
    """Raise `Rejected`, `truncated`, if the last block of a decoded file without end marker was not written."""
    last = np.asarray(image)[-_BLOCK:, -_BLOCK:].astype(np.int16)
    if (np.abs(last - _UNWRITTEN) <= 1).all():
        raise truncated()


def _finest_components(header: bytes) -> set[int]:
    """Return the components that a scan's header gives the last coefficient and the last bit of."""
    count = header[0] if header else 0
    if len(header) < 2 * count + 4 or header[2 * count + 2] != 63 or header[2 * count + 3] & 15:
        return set()
    return set(header[1 : 2 * count + 1 : 2])


def _segments(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment's marker, place and length: the frame's, each scan's, and the end's."""
    at = 2
    while found := _MARKER.search(payload, at):  # stray bytes between segments are passed over, as decoders do
        at, marker = found.start(), payload[found.start() + 1]
        if marker in _BARE:
            at += 2
            continue
        length = 0 if marker == _END else int.from_bytes(payload[at + 2 : at + 4], "big")
        yield marker, at, length
        at += 2 + length
        if marker == _SCAN:
            found = _SCAN_END.search(payload, at)
            at = found.start() if found else len(payload)

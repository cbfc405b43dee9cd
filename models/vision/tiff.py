"""Checks of a TIFF file before it is opened. Only the directory of its first page is read.

A directory's tags may all point at the same bytes, each of which is copied. Source: TIFF 6.0 (Adobe 1992), section 2,
and the BigTIFF extension.
"""

import struct
from typing import NamedTuple

from PIL import TiffTags

from models.vision.refusals import broken, too_complex, truncated

MAX_TAGS = 500
MAX_VALUES = 65_536
"""Of a tag that counts strips or tiles: a picture of 16 million pixels in tiles of 16 x 16 has 62,500."""
MAX_TILE_PIXELS = 64_000_000

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_TILE_SIDES = (322, 323)
_OFFSETS, _BYTE_COUNTS = (273, 324), (279, 325)
_COUNTED = {*_TILE_SIDES, *_OFFSETS, *_BYTE_COUNTS}
_IGNORED = 65_000  # a private tag that nothing reads


class _Tag(NamedTuple):
    number: int
    kind: int
    values: int
    at: int
    """Where its values are, of which there are so many."""


def check_tiff(payload: bytes) -> bytes:
    """Return the file without its further directories (EXIF, GPS), whose damage would be the picture's.

    Raises `Rejected`: `truncated`, `broken`, `too_complex`.
    """
    order, tags, places = _directory(payload)
    if sum(_SIZES.get(tag.kind, 1) * tag.values for tag in tags) > 2 * len(payload) + 65_536:
        raise too_complex("its tags refer to more bytes than it has")
    values = {tag.number: _integers(payload, order, tag) for tag in tags if tag.number in _COUNTED}
    sides = [values.get(number) or [1] for number in _TILE_SIDES]
    if sides[0][0] * sides[1][0] > MAX_TILE_PIXELS:
        raise too_complex("its tiles are larger than a picture may be")
    result = bytearray(payload)
    for tag, place in zip(tags, places, strict=True):
        if tag.number in TiffTags.TAGS_V2_GROUPS:
            struct.pack_into(f"{order}H", result, place, _IGNORED)
    return bytes(result)


def lacks_bytes(payload: bytes) -> bool:
    """Return whether the pixels of the first page reach beyond the end of the file. Raises as `check_tiff`."""
    order, tags, _ = _directory(payload)
    values = {tag.number: _integers(payload, order, tag) for tag in tags if tag.number in _COUNTED}
    strips = zip(_first(values, _OFFSETS), _first(values, _BYTE_COUNTS), strict=False)
    return any(offset + count > len(payload) for offset, count in strips)


def read_tag(payload: bytes, number: int, directory: int) -> tuple[int, ...]:
    """Return the integers of a tag of the directory there; none if it has no such tag. Raises as `check_tiff`."""
    order, tags, _ = _directory(payload, directory)
    return next((_integers(payload, order, tag) for tag in tags if tag.number == number), ())


def _directory(payload: bytes, start: int | None = None) -> tuple[str, list[_Tag], list[int]]:
    """Return the byte order, the tags of the directory at `start`, or of the first, and the places of their entries."""
    order = "<" if payload.startswith(b"II") else ">"
    big = 43 in payload[2:4]
    head, entry, count = ("Q", "HHQ", "Q") if big else ("I", "HHI", "H")
    try:
        if start is None:
            (start,) = struct.unpack_from(order + head, payload, 8 if big else 4)
        (number,) = struct.unpack_from(order + count, payload, start)
        if number > MAX_TAGS:
            raise too_complex(f"{number:,} tags; at most {MAX_TAGS} are read")
        tags, places = [], []
        inline = 8 if big else 4
        size = struct.calcsize("<" + entry)
        for place in range(number):
            at = start + struct.calcsize("<" + count) + place * (size + inline)
            tag, kind, values = struct.unpack_from(order + entry, payload, at)
            (offset,) = struct.unpack_from(order + head, payload, at + size)
            fits = _SIZES.get(kind, 1) * values <= inline
            tags.append(_Tag(tag, kind, values, at + size if fits else offset))
            places.append(at)
    except (struct.error, OverflowError) as error:
        raise truncated() from error
    return order, tags, places


def _integers(payload: bytes, order: str, tag: _Tag) -> tuple[int, ...]:
    if tag.values > MAX_VALUES:
        raise too_complex(f"{tag.values:,} strips or tiles; at most {MAX_VALUES:,} are read")
    if tag.kind not in _INTEGERS:
        raise broken(f"tag {tag.number} has the type {tag.kind}")
    try:
        return struct.unpack_from(f"{order}{tag.values}{_INTEGERS[tag.kind]}", payload, tag.at)
    except (struct.error, OverflowError) as error:
        raise truncated() from error


def _first(values: dict[int, tuple[int, ...]], numbers: tuple[int, ...]) -> tuple[int, ...]:
    return next((values[number] for number in numbers if number in values), ())

"""The pages of a TIFF file, each as a file whose first page it is, so that each is checked before it is opened.

Source: TIFF 6.0 (Adobe 1992), section 2, and the BigTIFF extension.
"""

import struct

from models.vision.refusals import too_complex, truncated
from models.vision.tiff import MAX_TAGS, read_tag

MAX_DIRECTORIES = 10_000
_SUBFILE_TYPE, _THUMBNAIL_OR_MASK = 254, 5


def is_tiff(payload: bytes) -> bool:
    """Return whether a file begins as a TIFF does."""
    return payload[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def page_offsets(payload: bytes) -> list[int]:
    """Return where the directory of each page is, without thumbnails and masks of others; at least that of the first.

    Raises `Rejected`: `truncated`, `too_complex`.
    """
    order, head, at = _header(payload)
    count, entry = ("Q", 20) if head == "Q" else ("H", 12)
    offsets: list[int] = []
    seen: set[int] = set()
    try:
        while (offset := struct.unpack_from(order + head, payload, at)[0]) and offset not in seen:
            (tags,) = struct.unpack_from(order + count, payload, offset)
            if len(seen) >= MAX_DIRECTORIES or tags > MAX_TAGS:
                raise too_complex(f"more than {MAX_DIRECTORIES:,} pages, or {MAX_TAGS} tags of one")
            seen.add(offset)
            kinds = read_tag(payload, _SUBFILE_TYPE, offset)
            if not offsets or not any(kind & _THUMBNAIL_OR_MASK for kind in kinds):
                offsets.append(offset)
            at = offset + struct.calcsize("<" + count) + tags * entry
    except (struct.error, OverflowError) as error:
        raise truncated() from error
    return offsets


def page_file(payload: bytes, offset: int) -> bytes:
    """Return the file with the page whose directory is there as its first."""
    order, head, at = _header(payload)
    return payload[:at] + struct.pack(order + head, offset) + payload[at + struct.calcsize("<" + head) :]


def _header(payload: bytes) -> tuple[str, str, int]:
    """Return the byte order, the format of an offset, and where that of the first directory is."""
    order = "<" if payload.startswith(b"II") else ">"
    return (order, "Q", 8) if 43 in payload[2:4] else (order, "I", 4)

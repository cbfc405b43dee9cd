"""The length that a container declares for its samples, compared with what is there before any of it is decoded.

Recorders that write to a pipe don't know it and declare what they like: 0, or a number that no file has. A header of 44
bytes can claim hours. Sources: RIFF/WAVE (Microsoft and IBM, "Multimedia Programming Interface and Data Specifications
1.0"), RF64 (EBU Tech 3306), AIFF (Apple, 1989), AU (Sun), CAF (Apple), Wave64 (Sonic Foundry), Ogg (RFC 3533).
"""

import struct
from dataclasses import dataclass

from models.speech_to_text.recording import broken, truncated

IMPLAUSIBLE_BYTES = 1 << 28
"""A declared length beyond the end of the file of so many bytes, or more, means "to the end".

That is four times the largest payload: no file of that length is taken whole. A smaller one has been cut.
"""
_IN_DS64 = 0xFFFFFFFF
"""A size that RF64 declares in its chunk `ds64` instead."""
_MAX_CHUNKS = 100_000
_OGG_PAGE = 27


@dataclass(frozen=True)
class Layout:
    """How a container lays out its chunks: a name, a size, and so many bytes."""

    magic: bytes
    form: bytes
    form_at: int
    first_chunk: int
    size: struct.Struct
    data: bytes = b"data"
    name_bytes: int = 4
    header_in_size: int = 0
    """Bytes of its own name and size that a size includes."""
    align: int = 2

    def is_of(self, payload: bytes) -> bool:
        """Return whether a file is laid out so."""
        return payload.startswith(self.magic) and payload.startswith(self.form, self.form_at)


_LE, _BE = struct.Struct("<I"), struct.Struct(">I")
LAYOUTS = (
    Layout(b"RIFF", b"WAVE", 8, 12, _LE),
    Layout(b"RIFX", b"WAVE", 8, 12, _BE),
    Layout(b"RF64", b"WAVE", 8, 12, _LE),
    Layout(b"BW64", b"WAVE", 8, 12, _LE),
    Layout(b"FORM", b"AIF", 8, 12, _BE, b"SSND"),
    Layout(b"caff", b"", 8, 8, struct.Struct(">Q"), align=1),
    Layout(b"riff", b"wave", 24, 40, struct.Struct("<Q"), name_bytes=16, header_in_size=24, align=8),
)


def with_true_length(payload: bytes) -> bytes:
    """Return the file, with the length of its samples where it declares none. Raises `Rejected`: `truncated`, `broken`.

    What follows samples of no length is another chunk, or the samples.
    """
    if payload.startswith(b"OggS"):
        _check_ogg(payload)
    if any(layout.magic.startswith(payload[:4]) for layout in LAYOUTS) and len(payload) < 12:
        raise truncated()
    layout = next((layout for layout in LAYOUTS if layout.is_of(payload)), None)
    if layout is None:
        return payload
    size_at, size = _find_data(payload, layout)
    begin = size_at + layout.size.size
    there = len(payload) - begin
    if size <= there and (size or not there or _is_chunk(payload, begin, layout)):
        return payload
    if 0 < size < IMPLAUSIBLE_BYTES:
        raise truncated()
    return payload[:size_at] + layout.size.pack(there + layout.header_in_size) + payload[begin:]


def _find_data(payload: bytes, layout: Layout) -> tuple[int, int]:
    """Return where the size of the samples is declared, and the size. Raises `Rejected` if the file ends before."""
    at, long_size = layout.first_chunk, None
    for _ in range(_MAX_CHUNKS):
        size_at = at + layout.name_bytes
        begin = size_at + layout.size.size
        if begin > len(payload):
            raise truncated()
        size = max(0, layout.size.unpack_from(payload, size_at)[0] - layout.header_in_size)
        if payload.startswith(layout.data, at):
            return size_at, size if long_size is None or size != _IN_DS64 else long_size
        if payload.startswith(b"ds64", at) and begin + 16 <= len(payload):
            (long_size,) = struct.unpack_from("<Q", payload, begin + 8)
        at = begin + size + -size % layout.align
    raise broken(f"more than {_MAX_CHUNKS:,} chunks before its samples; save it again")


def _is_chunk(payload: bytes, at: int, layout: Layout) -> bool:
    """Return whether a whole chunk, with a name, is at this place."""
    name = payload[at : at + 4]
    begin = at + layout.name_bytes + layout.size.size
    if begin > len(payload) or not (name.isascii() and name.decode("ascii").isprintable()):
        return False
    size: int = layout.size.unpack_from(payload, at + layout.name_bytes)[0] - layout.header_in_size
    return 0 <= size <= len(payload) - begin


def _check_ogg(payload: bytes) -> None:
    """Raise `Rejected` unless the last page is whole. That it calls itself the last is not asked: pipes are cut."""
    last = payload.rfind(b"OggS")
    segments = payload[last + _OGG_PAGE : last + _OGG_PAGE + payload[last + 26]] if last + 26 < len(payload) else b""
    end = last + _OGG_PAGE + len(segments) + sum(segments)
    whole = last + 26 < len(payload) and len(segments) == payload[last + 26] and end <= len(payload)
    if not whole or (end < len(payload) and b"OggS".startswith(payload[end:])):
        raise truncated()

"""The length that a container declares for its samples, compared with what is there before any of it is decoded.

Recorders that write to a pipe don't know it and declare what they like: 0, or a number that no file has. A header of 44
bytes can claim hours. Sources: RIFF/WAVE (Microsoft and IBM, "Multimedia Programming Interface and Data Specifications
1.0"), RF64 (EBU Tech 3306), AIFF (Apple, 1989), CAF (Apple, 2005), Wave64 (Sonic Foundry), AU (Sun), SPHERE (NIST), Ogg
(RFC 3533).
"""

import re
import struct
from dataclasses import dataclass
from math import prod

from models.audio.recording import MAX_SECONDS, broken, too_long, truncated
from models.base import Rejected

IMPLAUSIBLE_BYTES = 1_000_000_000
"""A declared length beyond the end of the file of so many bytes, or more, means "to the end".

That is fifteen times the largest payload, and nine hours at 16 kHz. A file that declares less, and ends, has been cut.
"""
_IN_DS64 = 0xFFFFFFFF
"""A size that RF64 declares in its chunk `ds64` instead."""
_MAX_CHUNKS = 100_000
_OGG_HEAD = 27
_SPHERE_HEAD = 1_024
_SPHERE_SIZES = re.compile(rb"^(?:sample_count|channel_count|sample_n_bytes) -i (\d{1,18})\s*$", re.MULTILINE)


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
    head_bytes: int = 0
    """Bytes before the samples that the size of their chunk includes."""
    align: int = 2

    def is_of(self, payload: bytes) -> bool:
        """Return whether a file is laid out so, or begins so and ends."""
        form = payload[self.form_at : self.form_at + len(self.form)]
        return payload.startswith(self.magic[: len(payload)]) and self.form.startswith(form)


@dataclass(frozen=True)
class DataSize:
    """The size that a file declares for its samples, where it does, and where they begin."""

    at: int
    written: struct.Struct
    extra: int
    """Bytes beside the samples that the written size includes."""
    size: int
    begin: int
    layout: Layout | None = None
    bytes_per_second: int = 0
    """As a WAV file declares them; 0 if it is not known."""


_LE, _BE = struct.Struct("<I"), struct.Struct(">I")
LAYOUTS = (
    Layout(b"RIFF", b"WAVE", 8, 12, _LE),
    Layout(b"RIFX", b"WAVE", 8, 12, _BE),
    Layout(b"RF64", b"WAVE", 8, 12, _LE),
    Layout(b"BW64", b"WAVE", 8, 12, _LE),
    Layout(b"FORM", b"AIF", 8, 12, _BE, b"SSND", head_bytes=8),
    Layout(b"caff", b"", 8, 8, struct.Struct(">Q"), head_bytes=4, align=1),
    Layout(b"riff", b"wave", 24, 40, struct.Struct("<Q"), name_bytes=16, header_in_size=24, align=8),
)


def with_true_length(payload: bytes) -> bytes:
    """Return the file, with the length of its samples if it declares none. Raises `Rejected`: `truncated`, `broken`."""
    if payload.startswith(b"OggS"):
        _check_ogg(payload)
    elif payload.startswith(b"NIST_1A"):
        _check_sphere(payload)
    data = find_data(payload)
    if data is None:
        return payload
    there = len(payload) - data.begin
    if there < 0:
        raise truncated()
    declares_none = data.size <= 0 < there and not _is_chunk(payload, data)
    if data.size <= there and not declares_none:
        return payload
    if 0 < data.size < IMPLAUSIBLE_BYTES:
        raise _cut(data)
    if payload[:4] in {b"RF64", b"BW64"}:  # without the chunk that has another size, it is a WAV file
        payload = b"RIFF" + payload[4:].replace(b"ds64", b"JUNK", 1)
    return payload[: data.at] + data.written.pack(there + data.extra) + payload[data.at + data.written.size :]


def _cut(data: DataSize) -> Rejected:
    """Return the rejection of a file that declares more than there is: it is too long as well, or only cut."""
    seconds = data.size / data.bytes_per_second if data.bytes_per_second else 0
    return too_long("declares, without having them,", seconds) if seconds > MAX_SECONDS else truncated()


def find_data(payload: bytes) -> DataSize | None:
    """Return what the file declares; None in a container without such a size. Raises `Rejected` as `with_true_length`.

    What is shorter than any header is `truncated` if it begins like one.
    """
    if payload.startswith((b".snd", b"dns.")):
        if len(payload) < 24:
            raise truncated()
        written = _BE if payload.startswith(b".") else _LE
        return DataSize(8, written, 0, written.unpack_from(payload, 8)[0], written.unpack_from(payload, 4)[0])
    layout = next((layout for layout in LAYOUTS if layout.is_of(payload)), None)
    return None if layout is None else _find_chunk(payload, layout)


def _find_chunk(payload: bytes, layout: Layout) -> DataSize:
    """Walk the chunks up to the samples."""
    at, long_size, bytes_per_second = layout.first_chunk, None, 0
    for _ in range(_MAX_CHUNKS):
        size_at = at + layout.name_bytes
        begin = size_at + layout.size.size
        if begin > len(payload):
            raise truncated()
        size = layout.size.unpack_from(payload, size_at)[0] - layout.header_in_size
        if payload.startswith(layout.data, at):
            size = long_size if long_size is not None and size == _IN_DS64 else size
            extra, begin = layout.header_in_size + layout.head_bytes, begin + layout.head_bytes
            return DataSize(size_at, layout.size, extra, size - layout.head_bytes, begin, layout, bytes_per_second)
        if payload.startswith(b"ds64", at) and begin + 16 <= len(payload):
            (long_size,) = struct.unpack_from("<Q", payload, begin + 8)
        if layout.form == b"WAVE" and payload.startswith(b"fmt ", at) and begin + 12 <= len(payload):
            (bytes_per_second,) = layout.size.unpack_from(payload, begin + 8)
        at = begin + max(0, size + -size % layout.align)
    raise broken(f"more than {_MAX_CHUNKS:,} chunks before its samples; save it again")


def _is_chunk(payload: bytes, data: DataSize) -> bool:
    """Return whether another chunk, whole and with a name, is where the samples would be."""
    if data.layout is None:
        return False
    begin = data.begin + data.layout.name_bytes + data.layout.size.size
    name = payload[data.begin : data.begin + 4]
    if begin > len(payload) or not all(0x20 <= byte < 0x7F for byte in name):
        return False
    size: int = data.layout.size.unpack_from(payload, begin - data.layout.size.size)[0] - data.layout.header_in_size
    return 0 <= size <= len(payload) - begin


def _check_ogg(payload: bytes) -> None:
    """Raise `Rejected` unless the last page is whole. It need not say that it is the last one: pipes are cut."""
    last = payload.rfind(b"OggS")
    head = payload[last : last + _OGG_HEAD]
    segments = payload[last + _OGG_HEAD : last + _OGG_HEAD + head[-1]]
    end = last + _OGG_HEAD + len(segments) + sum(segments)
    whole = len(head) == _OGG_HEAD and len(segments) == head[-1] and end <= len(payload)
    if not whole or (end < len(payload) and b"OggS".startswith(payload[end:])):
        raise truncated()


def _check_sphere(payload: bytes) -> None:
    """Raise `Rejected` if the samples that the header counts are not there; a count that no file has is none."""
    sizes = [int(size) for size in _SPHERE_SIZES.findall(payload[:_SPHERE_HEAD])]
    if len(sizes) == 3 and len(payload) - _SPHERE_HEAD < prod(sizes) < IMPLAUSIBLE_BYTES:
        raise truncated()

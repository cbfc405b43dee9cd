"""Decoding with libsndfile: WAV and its relatives, FLAC, Ogg, MP3, AIFF, AU, CAF, SPHERE and more."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import islice
from typing import Any

import soundfile

from models.audio.recording import Recording, Samples, broken, truncated

_COSTS = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"), 1),
    **dict.fromkeys(("VORBIS", "IMA_ADPCM", "MS_ADPCM", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"), 1),
    **dict.fromkeys(("ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"), 1),
    "OPUS": 2,
}
"""What decoding a sample of this encoding was measured to cost."""
_OTHER_COST = 10  # twelve minutes at 8 kHz: GSM, G.721 and their like are for telephones
_UNKNOWN_FRAMES = 2**62
_UNKNOWN_FORMAT = {1, 7, 8}
"""Error codes of libsndfile: of no format, or nothing of one in it (it says that there is no file, or no data)."""
_REFUSED = {"SDS"}
"""MIDI sample dumps, for whose damage libsndfile prints without end."""
_OGG_BEGINNING = b"OggS\0\x02"
_FIRST_FRAME = 4_096
_BLOCK = 65_536
_MAX_HEADER_CALLS = 200_000
"""Reads and seeks while a file is opened."""


class Unreadable(Exception):
    """libsndfile can't read this file, and why; `unknown` if it doesn't know the format."""

    def __init__(self, reason: str, unknown: bool) -> None:
        super().__init__(reason)
        self.unknown = unknown


class _BoundedFile(BytesIO):
    """A file that seems to end after so many reads and seeks, so that a header of very many parts takes no time."""

    calls_left: float = _MAX_HEADER_CALLS

    def readinto(self, buffer: Any) -> int:
        self.calls_left -= 1
        return super().readinto(buffer) if self.calls_left > 0 else 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.calls_left -= 1
        with suppress(ValueError, OverflowError):  # before its beginning, or further than a file can be
            if self.calls_left > 0:
                super().seek(offset, whence)
        return self.tell()


class _Stream(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its beginning to its end: soundfile seeks after each block, which not all can."""

    def seekable(self) -> bool:
        return False


@contextmanager
def opened(payload: bytes) -> Iterator[Recording]:
    """Open a file. Raises `Unreadable`; decoding raises `Rejected`: `broken`."""
    if payload.count(_OGG_BEGINNING) > 1:  # libsndfile reads the first stream alone
        raise Unreadable("more than one Ogg stream", unknown=False)
    source = _BoundedFile(payload)
    try:
        file = _Stream(source)
    except soundfile.LibsndfileError as error:
        _check_calls(source)
        raise Unreadable(error.error_string, unknown=error.code in _UNKNOWN_FORMAT) from error
    with file:
        _check_calls(source)
        source.calls_left = float("inf")
        if file.format in _REFUSED:
            raise Unreadable(f"{file.format} is not read", unknown=True)
        if file.subtype.startswith("MPEG") and not _has_index(payload):  # it would end at an estimated length
            raise Unreadable("MPEG audio without an index", unknown=False)
        frames = None if file.frames >= _UNKNOWN_FRAMES else int(file.frames)
        yield Recording(
            rate=file.samplerate,
            channels=file.channels,
            frames=frames,
            encoding=file.subtype,
            cost=_COSTS.get(file.subtype, _OTHER_COST),
            blocks=_blocks(file, frames),
        )


def _has_index(payload: bytes) -> bool:
    """Return whether an MP3 is one file, and its first frame (Xing, or LAME's "Info") declares its length."""
    first = 0
    if payload.startswith(b"ID3") and len(payload) > 10:  # its length has seven bits in a byte (id3.org, ID3v2.4)
        first = 10 + sum(byte << shift for byte, shift in zip(payload[6:10], (21, 14, 7, 0), strict=True))
    indexes = [index.start() for index in islice(re.finditer(rb"Xing|Info", payload[first:]), 2)]
    return len(indexes) == 1 and indexes[0] < _FIRST_FRAME


def _check_calls(source: _BoundedFile) -> None:
    if source.calls_left <= 0:
        raise broken("its header has too many parts; save it again")


def _blocks(file: Any, frames: int | None) -> Iterator[Samples]:
    remaining = frames or _UNKNOWN_FRAMES  # what follows them, such as ID3v1, may be no sound
    try:
        while len(block := file.read(min(_BLOCK // file.channels, remaining), dtype="float32", always_2d=True)):
            remaining -= len(block)
            yield block
    except soundfile.LibsndfileError as error:
        raise broken(error.error_string) from error
    if frames and remaining > 0:
        raise truncated()

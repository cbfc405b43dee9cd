"""Decoding with libsndfile: WAV and its relatives, FLAC, Ogg, MP3, AIFF, AU, CAF, SPHERE and more."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import soundfile

from models.speech_to_text.recording import Recording, Samples, broken, truncated

_COSTS = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"), 1),
    **dict.fromkeys(("VORBIS", "IMA_ADPCM", "MS_ADPCM"), 1),
    "OPUS": 2,
}
"""What decoding a sample of this encoding was measured to cost."""
_OTHER_COST = 10  # twelve minutes at 8 kHz: GSM, G.721 and their like are for telephones
_UNKNOWN_FRAMES = 2**62
_BLOCK = 65_536
_MAX_HEADER_CALLS = 200_000
"""Reads and seeks while a file is opened: an MP3 of ten minutes, which is scanned to its end, takes half of them."""


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
        return super().seek(offset, whence) if self.calls_left > 0 else self.tell()


@contextmanager
def opened(payload: bytes) -> Iterator[Recording]:
    """Open a file. Raises `Unreadable`; decoding raises `Rejected`: `broken`, `truncated`."""
    source = _BoundedFile(payload)
    try:
        file = soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        _check_calls(source)
        raise Unreadable(error.error_string, unknown=error.code == 1) from error
    with file:
        _check_calls(source)
        known = file.frames < _UNKNOWN_FRAMES
        if not known and file.format == "FLAC":  # written to a pipe: libsndfile can't seek in it, which soundfile does
            raise Unreadable("a FLAC file without a length", unknown=False)
        source.calls_left = float("inf")
        yield Recording(
            rate=file.samplerate,
            channels=file.channels,
            frames=file.frames if known else None,
            encoding=file.subtype,
            cost=_COSTS.get(file.subtype, _OTHER_COST),
            blocks=_blocks(file),
        )


def _check_calls(source: _BoundedFile) -> None:
    if source.calls_left <= 0:
        raise broken("its header has too many parts; save it again")


def _blocks(file: Any) -> Iterator[Samples]:
    count = 0
    try:
        while len(block := file.read(_BLOCK // file.channels, dtype="float32", always_2d=True)):
            count += len(block)
            yield block
    except soundfile.LibsndfileError as error:
        raise broken(error.error_string) from error
    if 0 < file.frames < _UNKNOWN_FRAMES and count < file.frames:
        raise truncated()

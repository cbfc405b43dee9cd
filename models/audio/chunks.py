"""From the chunks of a live session to one file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.audio.containers import find_data
from models.base import Rejected

_UNKNOWN_SIZE = b"\xff\xff\xff\xff"
_ONE_FILE = (b"fLaC", b"FORM", b".snd", b"caff", b"RF64", b"BW64", b"RIFX", b"riff", b"NIST_1A")
_MOVIE_BOX, _MATROSKA = b"ftyp", b"\x1aE\xdf\xa3"
_OPEN_SEGMENT = re.compile(rb"\x18S\x80g(\x01\xff{7}|\xff)")
"""Matroska (RFC 9559): a segment of unknown size, as those of a stream are, soon after the head of a file."""


@dataclass(frozen=True)
class WavFile:
    """A chunk that is a WAV file: all up to its samples, the samples, and whether they are all that its header says."""

    header: bytes
    samples: bytes
    whole: bool

    @property
    def form(self) -> bytes:
        """Encoding, number of channels and rate, as the header has them."""
        return self.header[12:].partition(b"fmt ")[2][:20]


def joined(chunks: Sequence[bytes]) -> bytes:
    """Return the file that the chunks are.

    They are the parts of one file, or a WAV file and more samples, or each a WAV file: a recorder may write a header
    for the first chunk alone, or for every one. Files of Ogg, WebM, MP3 and AAC are streams: they follow each other as
    they are, WebM if no size is declared. Raises `Rejected`: `chunks_differ`, `chunks_are_files`.
    """
    chunks = [chunk for chunk in chunks if chunk]
    if any(_is_one_file(chunk) for chunk in chunks[1:]):
        reason = "each chunk is a file of a format that can't be joined: send WAV, Ogg, WebM, MP3 or AAC"
        raise Rejected("chunks_are_files", f"{reason}, or the parts of one file")
    first = _wav_file(chunks[0]) if chunks else None
    later = [_wav_file(chunk) for chunk in chunks[1:]]
    if first is None or not later or not (first.whole or any(later)):
        return b"".join(chunks)
    if any(wav is not None and wav.form != first.form for wav in later):
        raise Rejected("chunks_differ", "a chunk is a WAV file of another encoding, rate or number of channels")
    parts = [chunk if wav is None else wav.samples for chunk, wav in zip(chunks[1:], later, strict=True)]
    return first.header[:-4] + _UNKNOWN_SIZE + first.samples + b"".join(parts)


def _is_one_file(chunk: bytes) -> bool:
    """Return whether a chunk begins a file, of which nothing would be heard after another one."""
    if chunk.startswith(_MATROSKA):
        return _OPEN_SEGMENT.search(chunk[:200]) is None
    return chunk.startswith(_ONE_FILE) or chunk[4:8] == _MOVIE_BOX


def _wav_file(chunk: bytes) -> WavFile | None:
    """Return the WAV file that a chunk is, or begins; None for any other chunk."""
    if not (chunk.startswith(b"RIFF") and chunk[8:12] == b"WAVE"):
        return None
    try:
        data = find_data(chunk)
    except Rejected:  # its header goes on in the next chunk
        return None
    assert data is not None
    there = len(chunk) - data.begin
    stop = data.begin + data.size if data.size else len(chunk)
    return WavFile(chunk[: data.begin], chunk[data.begin : stop], data.size == there)

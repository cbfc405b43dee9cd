"""From the chunks of a live session to one file."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.base import Rejected
from models.speech_to_text.containers import find_data

_UNKNOWN_SIZE = b"\xff\xff\xff\xff"


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
    for the first chunk alone, or for every one. Raises `Rejected`: `chunks_differ`.
    """
    first = _wav_file(chunks[0]) if chunks else None
    later = [_wav_file(chunk) for chunk in chunks[1:]]
    if first is None or not later or not (first.whole or any(later)):
        return b"".join(chunks)
    if any(wav is not None and wav.form != first.form for wav in later):
        raise Rejected("chunks_differ", "a chunk is a WAV file of another encoding, rate or number of channels")
    parts = [chunk if wav is None else wav.samples for chunk, wav in zip(chunks[1:], later, strict=True)]
    return first.header[:-4] + _UNKNOWN_SIZE + first.samples + b"".join(parts)


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

"""Checks of an audio file before any of it is decoded.

A header of 44 bytes can claim hours, so claims are compared with what is there first. Sources: RIFF/WAVE (Microsoft and
IBM, "Multimedia Programming Interface and Data Specifications 1.0"), FLAC (RFC 9639), Ogg (RFC 3533).
"""

import struct

from models.base import Rejected

MAX_SECONDS = 600
"""The longest audio of one request: ten minutes."""

_UNKNOWN = {0x7FFFF000, 0xFFFFFFFF}
"""What those who write to a pipe (SoX and espeak-ng, FFmpeg) declare, not knowing how long it will be."""
_OGG_PAGE, _OGG_LAST = 27, 0x04
_MAX_PARTS = 1_000
"""Chunks of a WAV file up to its samples, or metadata blocks of a FLAC file: each takes time, and may be empty."""
_MAX_PAGES = 300_000
"""Pages of an OGG file: ten minutes in packets of 2.5 ms, each on a page of its own, are 240,000."""


def check_container(payload: bytes) -> None:
    """Raise `Rejected` unless this is a whole WAV, FLAC or OGG file that is not too long.

    Codes: `empty`, `not_audio`, `truncated`, `too_long`, `broken`.
    """
    if not payload:
        raise Rejected("empty", "the value is empty: send the bytes of a WAV, FLAC or OGG file")
    if payload[:4] == b"RIFF" and b"WAVE".startswith(payload[8:12]):
        _check_wav(payload)
    elif payload[:4] == b"fLaC":
        _check_flac(payload)
    elif payload[:4] == b"OggS":
        _check_ogg(payload)
    elif len(payload) < 4 and any(magic.startswith(payload) for magic in (b"RIFF", b"fLaC", b"OggS")):
        raise truncated()
    else:
        raise Rejected("not_audio", f"neither a WAV, a FLAC nor an OGG file: it starts with {payload[:8]!r}")


def truncated() -> Rejected:
    """Return the rejection of a file that ends too early."""
    return Rejected("truncated", "the audio file ends too early: send all of its bytes")


def too_long(seconds: float) -> Rejected:
    """Return the rejection of a file that is, or claims to be, longer than `MAX_SECONDS`."""
    return Rejected("too_long", f"{seconds:.0f} s of audio: at most {MAX_SECONDS} s are taken; send it in parts")


def _too_many(parts: int, of_what: str) -> Rejected:
    return Rejected("broken", f"the audio file has more than {parts:,} {of_what}: save it again")


def _check_wav(payload: bytes) -> None:
    """Walk the chunks up to the samples and compare what they declare with what is there."""
    at, bytes_per_second, chunks = 12, 0, 0
    while at + 8 <= len(payload):
        chunks += 1
        if chunks > _MAX_PARTS:
            raise _too_many(_MAX_PARTS, "chunks before its samples")
        kind, size = struct.unpack_from("<4sI", payload, at)
        if kind == b"fmt " and at + 20 <= len(payload):
            (bytes_per_second,) = struct.unpack_from("<I", payload, at + 16)
        if kind == b"data":
            if size in _UNKNOWN:
                return
            if bytes_per_second and size > MAX_SECONDS * bytes_per_second:
                raise too_long(size / bytes_per_second)
            if at + 8 + size > len(payload):
                raise truncated()
            return
        at += 8 + size + size % 2
    raise truncated()


def _check_flac(payload: bytes) -> None:
    """Walk the metadata blocks; decoding finds how much sound follows."""
    at, blocks = 4, 0
    while at + 4 <= len(payload):
        blocks += 1
        if blocks > _MAX_PARTS:
            raise _too_many(_MAX_PARTS, "metadata blocks")
        head = int.from_bytes(payload[at : at + 4], "big")
        at += 4 + (head & 0xFFFFFF)
        if head >> 31:  # the last one
            if at < len(payload):
                return
            break
    raise truncated()


def _check_ogg(payload: bytes) -> None:
    """Walk the pages up to the one that says it is the last."""
    at, last, pages = 0, False, 0
    while at < len(payload):
        pages += 1
        if pages > _MAX_PAGES:
            raise _too_many(_MAX_PAGES, "pages")
        if payload[at : at + 4] != b"OggS"[: len(payload) - at]:
            raise Rejected("broken", "the audio file is damaged: an Ogg page is missing")
        if at + _OGG_PAGE > len(payload):
            raise truncated()
        segments = payload[at + _OGG_PAGE : at + _OGG_PAGE + payload[at + 26]]
        last = bool(payload[at + 5] & _OGG_LAST)
        at += _OGG_PAGE + payload[at + 26] + sum(segments)
    if at > len(payload) or not last:
        raise truncated()

"""Payloads of a task, and the same payloads in larger files."""

import struct
import zlib
from collections.abc import Sequence
from itertools import islice

import numpy as np

from models.base import Task

_PNG_HEAD = 33
"""The signature and the first chunk, IHDR."""
_MAX_SEGMENT = 65_533
"""Of a JPEG comment, without its length."""


def make_payloads(task: Task, count: int, seed: int) -> Sequence[bytes]:
    """Return distinct payloads of the task's demonstration."""
    return [sample.payload for sample in islice(task.demonstration(seed), count)]


def enlarge(payload: bytes, extra: int) -> bytes:
    """Return a file with about so many more bytes, that a decoder skips: its features are the same.

    So the costs of bytes are measured apart from those of a task's work. It is a private chunk of a PNG file, comments
    of a JPEG file, a JUNK chunk of a WAV file, and space at the end of a JSON text.
    """
    if not extra:
        return payload
    noise = np.random.default_rng(zlib.crc32(payload)).bytes(extra)  # incompressible, as pictures and sound are
    if payload.startswith(b"\x89PNG"):
        chunk = b"haRd" + noise
        framed = struct.pack(">I", extra) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return payload[:_PNG_HEAD] + framed + payload[_PNG_HEAD:]
    if payload.startswith(b"\xff\xd8"):
        parts = [noise[start : start + _MAX_SEGMENT] for start in range(0, extra, _MAX_SEGMENT)]
        comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)
        return payload[:2] + comments + payload[2:]
    if payload.startswith(b"RIFF"):
        junk = b"JUNK" + struct.pack("<I", extra) + noise + b"\0" * (extra % 2)
        return b"RIFF" + struct.pack("<I", len(payload) - 8 + len(junk)) + payload[8:] + junk
    if payload.startswith(b"{"):
        return payload + b" " * extra
    raise ValueError(f"a file that begins with {payload[:4]!r} can't be enlarged: add its format here")

"""A dataset as one file: a zip that is made while it is sent."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 256 * 1024


class _ZipBuffer:
    """What a zip is written to: it keeps what is not sent yet, and can't be gone back in."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes, /) -> int:
        """Takes some of the zip."""
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is to be closed."""

    def drain(self) -> bytes:
        """What waits to be sent."""
        data = bytes(self._waiting)
        self._waiting.clear()
        return data


def stream_zip(name: str, files: list[Path]) -> Iterator[bytes]:
    """A zip of these files in a folder of this name, in chunks. Parquet is compressed already: it is stored."""
    sink = _ZipBuffer()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            info = zipfile.ZipInfo.from_file(path, f"{name}/{path.name}")
            with path.open("rb") as file, archive.open(info, "w", force_zip64=True) as entry:
                while chunk := file.read(_CHUNK_BYTES):
                    entry.write(chunk)
                    yield sink.drain()
            yield sink.drain()
    yield sink.drain()

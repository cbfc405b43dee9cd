"""Download of a dataset as a zip file that is built while it is sent."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 256 * 1024


class _ZipBuffer:
    """A write-only, unseekable file that holds the part of a zip that is not sent yet."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def write(self, data: bytes, /) -> int:
        """Buffer a part of the zip."""
        self._pending += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: data waits for `drain`."""

    def close(self) -> None:
        """Do nothing."""

    def drain(self) -> bytes:
        """Return the buffered data, and clear the buffer."""
        data = bytes(self._pending)
        self._pending.clear()
        return data


def stream_zip(name: str, files: list[Path]) -> Iterator[bytes]:
    """Yield a zip of these files in a folder of this name, in chunks. Files are not compressed: Parquet is."""
    buffer = _ZipBuffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            info = zipfile.ZipInfo.from_file(path, f"{name}/{path.name}")
            with path.open("rb") as file, archive.open(info, "w", force_zip64=True) as entry:
                while chunk := file.read(_CHUNK_BYTES):
                    entry.write(chunk)
                    yield buffer.drain()
            yield buffer.drain()
    yield buffer.drain()

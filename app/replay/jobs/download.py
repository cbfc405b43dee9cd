"""A dataset as one file: a zip that is made while it is sent."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 256 * 1024


class _Sink:
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

    def taken(self) -> bytes:
        """What waits to be sent."""
        data = bytes(self._waiting)
        self._waiting.clear()
        return data


def zipped(name: str, files: list[Path]) -> Iterator[bytes]:
    """A zip of these files in a folder of this name, in chunks. Parquet is compressed already: it is stored."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            info = zipfile.ZipInfo.from_file(path, f"{name}/{path.name}")
            with path.open("rb") as file, archive.open(info, "w", force_zip64=True) as entry:
                while chunk := file.read(_CHUNK):
                    entry.write(chunk)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()

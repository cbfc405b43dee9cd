"""Isolating a payload that kills the process natively (a decoder's segmentation fault, the kernel's OOM killer).

Before a record is preprocessed, where it stands in the log is written to a memory-mapped file, which outlives the
process however it ends. The next start counts the death against that record; after the third it is dead-lettered
unread.
"""

import json
import mmap
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEATHS = 3
_SIZE = 4096


class Flight:
    """The record that one instance of the job is working on."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"{uuid.uuid4()}.flight"
        self._path.write_bytes(bytes(_SIZE))
        with self._path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    @contextmanager
    def of(self, record_id: str) -> Iterator[None]:
        """Work on a record: however the process ends inside, the record is known."""
        encoded = record_id.encode()
        self._memory[1 : 1 + len(encoded) + 1] = encoded + b"\0"
        self._memory[0] = 1
        try:
            yield
        finally:
            self._memory[0] = 0

    def close(self) -> None:
        """The instance ends in good order."""
        self._memory.close()
        self._path.unlink(missing_ok=True)


def collect(directory: Path) -> dict[str, int]:
    """Count the deaths that the last process's flights tell of, before the job starts; each suspect's deaths."""
    book = directory / "suspects.json"
    deaths: dict[str, int] = json.loads(book.read_text()) if book.exists() else {}
    flights = list(directory.glob("*.flight"))
    for flight in flights:
        memory = flight.read_bytes()
        if memory[:1] == b"\1":
            record_id = memory[1 : memory.index(b"\0", 1)].decode()
            deaths[record_id] = deaths.get(record_id, 0) + 1
    directory.mkdir(parents=True, exist_ok=True)
    written = book.with_suffix(".new")
    written.write_text(json.dumps(deaths))
    written.replace(book)
    for flight in flights:
        flight.unlink()
    return deaths


def quarantined(deaths: dict[str, int]) -> frozenset[str]:
    """The records that have killed the process often enough."""
    return frozenset(record_id for record_id, count in deaths.items() if count >= DEATHS)

"""A parser of record batches that no producer can break.

aiokafka's parser raises if a header's name is not UTF-8, and its codecs decompress a batch to any size: one such record
would stop every consumer at each start. This parser

1. bounds decompression, of a batch and of each record in it;
2. parses a batch that aiokafka cannot parse a second time, and escapes names of headers (`\\xff`);
3. replaces records that cannot be read by one empty record for each offset, with the reason in the header
   `hindsight_unreadable`: offsets advance, and each consumer archives or dead-letters the record like any other.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import decode_varint

from app.kafka.decompression import decompress
from app.settings import MiB

UNREADABLE_HEADER = "hindsight_unreadable"
"""Header of a record that replaces one that cannot be read: the reason."""

_LENGTH = struct.Struct(">i")
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT, _MAGIC_AT, _ATTRIBUTES_AT = 8, 16, 21
_BATCH_OVERHEAD_BYTES = 12
"""Base offset and length; the length counts the bytes that follow it."""
_MIN_BATCH_BYTES = 14 + _BATCH_OVERHEAD_BYTES
_CODEC_MASK = 0x07


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """Record with the attributes of aiokafka's records."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: None = None


class BoundedRecords:
    """Batches of one partition in a response to a fetch. Replaces aiokafka's `MemoryRecords`."""

    max_record_bytes = 16 * MiB
    """Limit of a record in a compressed batch; the limit of a batch, and of a response, is four times as much."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._expanded = 0
        self._find_next()

    def _find_next(self) -> None:
        end = self._position + _BATCH_OVERHEAD_BYTES
        if end <= len(self._data):
            end += _LENGTH.unpack_from(self._data, self._position + _LENGTH_AT)[0]
        self._end = end if self._position < end <= len(self._data) else -1

    def size_in_bytes(self) -> int:
        """Return the size of the response, including a batch that is cut off at its end."""
        return len(self._data)

    def has_next(self) -> bool:
        """Return whether there is a complete batch. False at the limit: the rest is fetched again."""
        return self._end >= 0 and self._expanded < 4 * self.max_record_bytes

    def next_batch(self) -> Any:
        """Return the next batch, with the attributes of aiokafka's batches; None after the last."""
        if self._end < 0:
            return None
        view = memoryview(self._data)[self._position : self._end]
        self._position = self._end
        self._find_next()
        if len(view) < _MIN_BATCH_BYTES:
            raise CorruptRecordException(f"a batch has {len(view)} bytes, fewer than the minimum {_MIN_BATCH_BYTES}")
        if view[_MAGIC_AT] < 2:
            return LegacyRecordBatch(view, view[_MAGIC_AT])
        batch = DefaultRecordBatch(view)
        return batch if batch.is_control_batch else _BoundedBatch(self, batch, view)

    def expand(self, codec: int, data: memoryview) -> bytes:
        """Decompress a batch's records. Raises DecompressedTooLarge, or the error of the codec."""
        expanded = decompress(codec, data, 4 * self.max_record_bytes)
        self._expanded += len(expanded)
        return expanded


class _BoundedBatch:
    """Batch of records, over which each consumer iterates once."""

    __slots__ = ("_batch", "_owner", "_view", "base_offset", "is_transactional", "next_offset", "producer_id")

    is_control_batch = False

    def __init__(self, owner: BoundedRecords, batch: Any, view: memoryview) -> None:
        self._owner, self._batch, self._view = owner, batch, view
        self.base_offset, self.next_offset = batch.base_offset, batch.next_offset
        self.producer_id, self.is_transactional = batch.producer_id, batch.is_transactional

    def validate_crc(self) -> bool:
        """Return whether the checksum matches."""
        return bool(self._batch.validate_crc())

    def __iter__(self) -> Iterator[Any]:
        return self._iterate_plain() if not self._batch.compression_type else self._iterate_compressed()

    def _iterate_plain(self) -> Iterator[Any]:
        count = 0
        try:
            for record in self._batch:
                yield record
                count += 1
        except Exception as error:
            yield from self._parse_tolerantly(self._view[_HEADER.size :], count, error)

    def _iterate_compressed(self) -> Iterator[Any]:
        count, data, limit = 0, None, self._owner.max_record_bytes
        try:
            data = self._owner.expand(self._batch.compression_type, self._view[_HEADER.size :])
            for record in DefaultRecordBatch(self._plain_header() + data):
                yield record if len(record.value or b"") <= limit else self._replace_large(record)
                count += 1
        except Exception as error:
            yield from self._parse_tolerantly(data, count, error)

    def _plain_header(self) -> bytes:
        header = bytearray(self._view[: _HEADER.size])
        header[_ATTRIBUTES_AT + 1] &= ~_CODEC_MASK
        return bytes(header)

    def _replace_large(self, record: Any) -> ParsedRecord:
        return self._replacement(record.offset, f"{len(record.value)} bytes: at most {self._owner.max_record_bytes}")

    def _parse_tolerantly(self, data: bytes | memoryview | None, skip: int, error: Exception) -> Iterator[ParsedRecord]:
        """Yield the records after the first `skip`, and a replacement for each from the first unreadable one on."""
        offset = self.base_offset + skip
        if data is not None:
            try:
                for number, record in enumerate(self._parse(bytearray(data))):
                    if number >= skip:
                        large = self._batch.compression_type and len(record.value or b"") > self._owner.max_record_bytes
                        yield self._replace_large(record) if large else record
                        offset = record.offset + 1
            except Exception as parse_error:
                error = parse_error
        for unreadable in range(offset, self.next_offset):
            yield self._replacement(unreadable, f"{type(error).__name__}: {error}")

    def _replacement(self, offset: int, reason: str) -> ParsedRecord:
        header = (UNREADABLE_HEADER, reason.encode(errors="backslashreplace")[:1000])
        return ParsedRecord(offset, self._batch.max_timestamp, self._batch.timestamp_type, None, b"", [header])

    def _parse(self, data: bytearray) -> Iterator[ParsedRecord]:
        """Parse Kafka's record format, version 2: see `org.apache.kafka.common.record.DefaultRecord`."""
        batch, position = self._batch, 0

        def read_bytes(size: int) -> bytes | None:
            nonlocal position
            if size < 0:
                return None
            if position + size > len(data):
                raise CorruptRecordException(f"a field has {size} bytes, but {len(data) - position} are left")
            position += size
            return bytes(data[position - size : position])

        def read_number() -> int:
            nonlocal position
            value, position = decode_varint(data, position)
            return int(value)

        for _ in range(_HEADER.unpack_from(self._view)[-1]):
            length = read_number()
            end = position + length
            position += 1  # attributes: none is in use
            timestamp, offset = batch.first_timestamp + read_number(), self.base_offset + read_number()
            key, value = read_bytes(read_number()), read_bytes(read_number())
            headers = []
            for _ in range(read_number()):
                name = (read_bytes(read_number()) or b"").decode(errors="backslashreplace")
                headers.append((name, read_bytes(read_number())))
            if position != end:
                raise CorruptRecordException(f"the record at offset {offset} ends at {position}, not {end}")
            if batch.timestamp_type:
                timestamp = batch.max_timestamp
            yield ParsedRecord(offset, timestamp, batch.timestamp_type, key, value, headers)


def install(max_record_bytes: int) -> None:
    """Make every consumer of this process parse batches with `BoundedRecords` and this limit."""
    BoundedRecords.max_record_bytes = max_record_bytes
    fetcher.MemoryRecords = BoundedRecords

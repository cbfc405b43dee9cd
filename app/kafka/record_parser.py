"""Record batches as any producer writes them, read within bounds.

aiokafka's parser raises where a header's name is not UTF-8, and its codecs decompress whatever a batch expands to: one
such record stops every consumer at each of its starts. Here

1. decompression is bounded: a batch, and each record in it, may expand to so much and no more
2. a batch that aiokafka can't parse is parsed once more, with names that are escaped (`\\xff`)
3. what can't be read at all becomes one empty record for each offset, whose header `hindsight_unreadable` says why:
   offsets advance, and each consumer archives or dead-letters the record like any other
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cramjam
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import decode_varint

from app.settings import MiB

UNREADABLE_HEADER = "hindsight_unreadable"
"""The header of a record that stands for one that can't be read: why."""

_LENGTH = struct.Struct(">i")
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT, _MAGIC_AT, _ATTRIBUTES_AT = 8, 16, 21
_BATCH_OVERHEAD_BYTES = 12
"""The base offset and the length, which counts all that follows."""
_MIN_BATCH_BYTES = 14 + _BATCH_OVERHEAD_BYTES
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_DECOMPRESS = {
    _GZIP: cramjam.gzip.decompress_into,
    _LZ4: cramjam.lz4.decompress_into,
    _ZSTD: cramjam.zstd.decompress_into,
}
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_BYTES = 16


class DecompressedTooLarge(ValueError):
    """What expands to more than may be held in memory."""


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """A record as aiokafka's parser has it."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: None = None


class BoundedRecords:
    """The batches of one partition in one answer to a fetch: aiokafka's `MemoryRecords`."""

    max_record_bytes = 16 * MiB
    """The largest record of a compressed batch; a batch, and the batches of an answer together, may hold four."""

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
        """The size of the answer, with a batch that is cut off."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether there is a whole batch; False once so much was expanded that the rest is to be fetched again."""
        return self._end >= 0 and self._expanded < 4 * self.max_record_bytes

    def next_batch(self) -> Any:
        """The next batch, as aiokafka's own; None after the last."""
        if self._end < 0:
            return None
        view = memoryview(self._data)[self._position : self._end]
        self._position = self._end
        self._find_next()
        if len(view) < _MIN_BATCH_BYTES:
            raise CorruptRecordException(f"a batch has {len(view)} bytes: {_MIN_BATCH_BYTES} are the least")
        if view[_MAGIC_AT] < 2:
            return LegacyRecordBatch(view, view[_MAGIC_AT])
        batch = DefaultRecordBatch(view)
        return batch if batch.is_control_batch else _BoundedBatch(self, batch, view)

    def expand(self, codec: int, data: memoryview) -> bytes:
        """Decompress a batch's records. Raises `TooLarge`, or whatever the codec raises."""
        expanded = decompress(codec, data, 4 * self.max_record_bytes)
        self._expanded += len(expanded)
        return expanded


class _BoundedBatch:
    """A batch, which each consumer iterates over once."""

    __slots__ = ("_batch", "_owner", "_view", "base_offset", "is_transactional", "next_offset", "producer_id")

    is_control_batch = False

    def __init__(self, owner: BoundedRecords, batch: Any, view: memoryview) -> None:
        self._owner, self._batch, self._view = owner, batch, view
        self.base_offset, self.next_offset = batch.base_offset, batch.next_offset
        self.producer_id, self.is_transactional = batch.producer_id, batch.is_transactional

    def validate_crc(self) -> bool:
        """Whether the batch is as the broker stored it."""
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
        count, data, largest = 0, None, self._owner.max_record_bytes
        try:
            data = self._owner.expand(self._batch.compression_type, self._view[_HEADER.size :])
            for record in DefaultRecordBatch(self._plain_header() + data):
                yield record if len(record.value or b"") <= largest else self._too_large(record)
                count += 1
        except Exception as error:
            yield from self._parse_tolerantly(data, count, error)

    def _plain_header(self) -> bytes:
        header = bytearray(self._view[: _HEADER.size])
        header[_ATTRIBUTES_AT + 1] &= ~_CODEC
        return bytes(header)

    def _too_large(self, record: Any) -> ParsedRecord:
        return self._unreadable(record.offset, f"{len(record.value)} bytes: at most {self._owner.max_record_bytes}")

    def _parse_tolerantly(self, data: bytes | memoryview | None, skip: int, error: Exception) -> Iterator[ParsedRecord]:
        """The records after the first `skip`, read tolerantly; from the one on that can't be, what stands for them."""
        offset = self.base_offset + skip
        if data is not None:
            try:
                for number, record in enumerate(self._parse(bytearray(data))):
                    if number >= skip:
                        large = self._batch.compression_type and len(record.value or b"") > self._owner.max_record_bytes
                        yield self._too_large(record) if large else record
                        offset = record.offset + 1
            except Exception as still:
                error = still
        for missing in range(offset, self.next_offset):
            yield self._unreadable(missing, f"{type(error).__name__}: {error}")

    def _unreadable(self, offset: int, reason: str) -> ParsedRecord:
        header = (UNREADABLE_HEADER, reason.encode(errors="backslashreplace")[:1000])
        return ParsedRecord(offset, self._batch.max_timestamp, self._batch.timestamp_type, None, b"", [header])

    def _parse(self, data: bytearray) -> Iterator[ParsedRecord]:
        """Kafka's record format, version 2; see `org.apache.kafka.common.record.DefaultRecord`."""
        batch, position = self._batch, 0

        def take(size: int) -> bytes | None:
            nonlocal position
            if size < 0:
                return None
            if position + size > len(data):
                raise CorruptRecordException(f"{size} bytes are wanted where {len(data) - position} are left")
            position += size
            return bytes(data[position - size : position])

        def number() -> int:
            nonlocal position
            value, position = decode_varint(data, position)
            return int(value)

        for _ in range(_HEADER.unpack_from(self._view)[-1]):
            end = number()
            end += position
            position += 1  # attributes, none of which are in use
            timestamp, offset = batch.first_timestamp + number(), self.base_offset + number()
            key, value = take(number()), take(number())
            headers = [
                ((take(number()) or b"").decode(errors="backslashreplace"), take(number())) for _ in range(number())
            ]
            if position != end:
                raise CorruptRecordException(f"the record at offset {offset} ends at {position}, not {end}")
            if batch.timestamp_type:
                timestamp = batch.max_timestamp
            yield ParsedRecord(offset, timestamp, batch.timestamp_type, key, value, headers)


def decompress(codec: int, data: memoryview, limit: int) -> bytes:
    """Decompress what one of Kafka's codecs made, to `limit` bytes at most. Raises `TooLarge`, ValueError."""
    if codec == _SNAPPY:
        return b"".join(_snappy(data, limit))
    into = _DECOMPRESS.get(codec)
    if into is None:
        raise ValueError(f"{codec} is no codec of Kafka's")
    size = min(limit, 4 * len(data) + 4096)
    while True:
        room = bytearray(size)
        try:
            return bytes(memoryview(room)[: into(data, room)])
        except cramjam.DecompressionError as error:
            if size == limit:
                raise DecompressedTooLarge(f"it can't be decompressed to at most {limit} bytes: {error}") from error
        size = min(limit, 4 * size)


def _snappy(data: memoryview, limit: int) -> Iterator[bytes]:
    """The blocks of Snappy as Java writes it (xerial's framing), or the one block that others write."""
    position, framed = 0, data[: len(_XERIAL)] == _XERIAL
    if framed:
        position = _XERIAL_BYTES
    while position < len(data):
        size = len(data)
        if framed:
            [size] = _LENGTH.unpack_from(data, position)
            position += _LENGTH.size
        if size < 0 or position + size > len(data):
            raise ValueError(f"a block of {size} bytes where {len(data) - position} are left")
        block = bytes(data[position : position + size])
        limit -= int(cramjam.snappy.decompress_raw_len(block))
        if limit < 0:
            raise DecompressedTooLarge(f"it expands to {-limit} bytes more than may be held")
        yield bytes(cramjam.snappy.decompress_raw(block))
        position += size


def install(max_record_bytes: int) -> None:
    """Have every consumer of this process read batches by `Records`, with this bound."""
    BoundedRecords.max_record_bytes = max_record_bytes
    fetcher.MemoryRecords = BoundedRecords

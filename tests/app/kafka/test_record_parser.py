"""Batches that no client of ours would write, read by the parser of our consumers."""

from collections.abc import Iterable

import pytest
from aiokafka import codec as codecs
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from app.kafka import record_parser
from app.kafka.record_parser import UNREADABLE_HEADER, BoundedRecords
from app.settings import MiB

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADERS = [("ce_id", b"x"), ("nothing", None)]
NOT_UTF_8 = b"\xff\xfe"
HEADER_BYTES = 61
Row = tuple[int, int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]], int | None]
"""Offset, timestamp, timestamp type, key, value, headers, checksum."""


@pytest.fixture(autouse=True)
def record_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedRecords, "max_record_bytes", MiB)


def build_batch(
    codec: str, values: Iterable[bytes | None], headers: Iterable[tuple[str, bytes | None]] = HEADERS
) -> bytes:
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, -1, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1000 + offset, b"key", value, list(headers))
    return bytes(builder.build())


def read_rows(parser: type[BoundedRecords | MemoryRecords], data: bytes) -> list[Row]:
    rows, response = list[Row](), parser(data)
    while response.has_next():
        batch = response.next_batch()
        assert batch.validate_crc()
        rows += [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, r.headers, r.checksum) for r in batch]
    return rows


def build_batch_with_invalid_names(codec: str, values: Iterable[bytes]) -> bytes:
    """Return a batch with a header whose name is not UTF-8, and a valid checksum."""
    plain = build_batch("none", values, [("##", b"x"), ("ok", b"y")]).replace(b"##", NOT_UTF_8)
    body = plain[HEADER_BYTES:]
    if codec != "none":
        body = bytes(getattr(codecs, f"{codec}_encode")(body))
    return replace_body(plain, codec, body)


def replace_body(batch: bytes, codec: str, body: bytes) -> bytes:
    """Return a batch with this body, its length and its checksum."""
    header = bytearray(batch[:HEADER_BYTES])
    header[8:12] = (HEADER_BYTES - 12 + len(body)).to_bytes(4, "big")
    header[22] = CODECS[codec]
    header[17:21] = calc_crc32c(bytes(header[21:]) + body).to_bytes(4, "big")
    return bytes(header) + body


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_aiokafka_can_read_is_read_the_same(codec: str) -> None:
    data = build_batch(codec, [b"hello " * 500, None, b""]) + build_batch(codec, [b"{}"])
    assert read_rows(BoundedRecords, data) == read_rows(MemoryRecords, data)


@pytest.mark.parametrize("codec", CODECS)
def test_the_name_of_a_header_may_be_any_bytes(codec: str) -> None:
    data = build_batch_with_invalid_names(codec, [b"first", b"second"])
    with pytest.raises(Exception, match="codec can't decode"):
        read_rows(MemoryRecords, data)
    rows = read_rows(BoundedRecords, data)
    assert [row[4] for row in rows] == [b"first", b"second"]
    assert {str(row[5]) for row in rows} == {str([("\\xff\\xfe", b"x"), ("ok", b"y")])}
    assert [row[:4] for row in rows] == [(0, 1000, 0, b"key"), (1, 1001, 0, b"key")]


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_a_decompression_bomb_becomes_an_empty_record_for_each_of_its_offsets(codec: str) -> None:
    rows = read_rows(BoundedRecords, build_batch(codec, [bytes(3 * MiB)] * 2) + build_batch("none", [b"next"]))
    assert [(row[0], row[4]) for row in rows] == [(0, b""), (1, b""), (0, b"next")]
    for row in rows[:2]:
        assert str(row[5]).startswith(f"[('{UNREADABLE_HEADER}', b")
        assert "TooLarge" in str(row[5])


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_only_the_record_that_is_too_large_is_replaced_in_a_batch_that_fits(codec: str) -> None:
    rows = read_rows(BoundedRecords, build_batch(codec, [b"before", bytes(2 * MiB), b"after"]))
    assert [row[4] for row in rows] == [b"before", b"", b"after"]
    assert rows[1][5] == [(UNREADABLE_HEADER, f"{2 * MiB} bytes: at most {MiB}".encode())]


def test_a_record_that_is_not_compressed_may_be_larger_than_the_limit() -> None:
    [large] = read_rows(BoundedRecords, build_batch("none", [bytes(9 * MiB)]))
    assert large[4] == bytes(9 * MiB)


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_a_body_that_cannot_be_decompressed_becomes_an_empty_record_for_each_offset(codec: str) -> None:
    data = replace_body(build_batch(codec, [b"hello " * 500] * 3), codec, b"garbage" * 100)
    rows = read_rows(BoundedRecords, data)
    assert [(row[0], row[4], row[5][0][0]) for row in rows] == [(n, b"", UNREADABLE_HEADER) for n in range(3)]


def test_a_response_ends_where_its_decompressed_batches_reach_the_limit() -> None:
    batch = build_batch("zstd", [bytes(MiB - 100)])
    response = BoundedRecords(batch * 10)
    count = 0
    while response.has_next():
        count += sum(1 for _ in response.next_batch())
    assert count == 5  # four do not reach the limit yet; the rest is fetched again


def test_a_batch_that_is_cut_off_is_left_to_the_next_fetch() -> None:
    data = build_batch("none", [b"whole"])
    response = BoundedRecords(data + data[:-3])
    assert [record.value for record in response.next_batch()] == [b"whole"]
    assert not response.has_next()
    assert response.next_batch() is None
    assert response.size_in_bytes() == 2 * len(data) - 3


def test_every_consumer_of_the_process_uses_the_installed_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiokafka.consumer import fetcher

    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    record_parser.install(7)
    assert fetcher.MemoryRecords is BoundedRecords
    assert BoundedRecords.max_record_bytes == 7

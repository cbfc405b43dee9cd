"""Batches as no client of ours would write them, through the parser that every consumer of ours has."""

from collections.abc import Iterable

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from app.kafka import record_parser
from app.kafka.record_parser import UNREADABLE_HEADER, BoundedRecords
from app.settings import MiB

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADERS = [("ce_id", b"x"), ("nothing", None)]
NAME = b"\xff\xfe"


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedRecords, "max_record_bytes", MiB)


def batch(codec: str, values: Iterable[bytes | None], headers: Iterable[tuple[str, bytes | None]] = HEADERS) -> bytes:
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, -1, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1000 + offset, b"key", value, list(headers))
    return bytes(builder.build())


def read(parser: type[BoundedRecords | MemoryRecords], data: bytes) -> list[tuple[object, ...]]:
    found, answer = list[tuple[object, ...]](), parser(data)
    while answer.has_next():
        one = answer.next_batch()
        assert one.validate_crc()
        found += [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, r.headers, r.checksum) for r in one]
    return found


def misnamed(codec: str, values: Iterable[bytes]) -> bytes:
    """A batch with headers whose name is not UTF-8: as the broker stores it, so with its own checksum."""
    plain = batch("none", values, [("##", b"x"), ("ok", b"y")]).replace(b"##", NAME)
    return recompressed(plain, codec)


def recompressed(plain: bytes, codec: str) -> bytes:
    from aiokafka import codec as codecs
    from aiokafka.record.util import calc_crc32c

    header, body = bytearray(plain[:61]), plain[61:]
    if codec != "none":
        body = bytes(getattr(codecs, f"{codec}_encode")(body))
    header[8:12] = (61 - 12 + len(body)).to_bytes(4, "big")
    header[22] = CODECS[codec]
    header[17:21] = calc_crc32c(bytes(header[21:]) + body).to_bytes(4, "big")
    return bytes(header) + body


@pytest.mark.parametrize("codec", CODECS)
def test_what_aiokafka_can_read_is_read_the_same(codec: str) -> None:
    data = batch(codec, [b"hello " * 500, None, b""]) + batch(codec, [b"{}"])
    assert read(BoundedRecords, data) == read(MemoryRecords, data)


@pytest.mark.parametrize("codec", CODECS)
def test_the_name_of_a_header_may_be_any_bytes(codec: str) -> None:
    data = misnamed(codec, [b"first", b"second"])
    with pytest.raises(Exception, match="codec can't decode"):
        read(MemoryRecords, data)
    found = read(BoundedRecords, data)
    assert [one[4] for one in found] == [b"first", b"second"]
    assert {str(one[5]) for one in found} == {str([("\\xff\\xfe", b"x"), ("ok", b"y")])}
    assert [one[:4] for one in found] == [(0, 1000, 0, b"key"), (1, 1001, 0, b"key")]


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_a_bomb_is_one_empty_record_for_each_of_its_offsets(codec: str) -> None:
    found = read(BoundedRecords, batch(codec, [bytes(3 * MiB)] * 2) + batch("none", [b"next"]))
    assert [(one[0], one[4]) for one in found] == [(0, b""), (1, b""), (0, b"next")]
    for bomb in found[:2]:
        assert str(bomb[5]).startswith(f"[('{UNREADABLE_HEADER}', b")
        assert "TooLarge" in str(bomb[5])


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_of_a_batch_that_fits_only_the_record_that_is_too_large_is_lost(codec: str) -> None:
    found = read(BoundedRecords, batch(codec, [b"before", bytes(2 * MiB), b"after"]))
    assert [one[4] for one in found] == [b"before", b"", b"after"]
    assert found[1][5] == [(UNREADABLE_HEADER, f"{2 * MiB} bytes: at most {MiB}".encode())]


def test_what_is_not_compressed_is_as_large_as_its_topic_lets_it_be() -> None:
    [large] = read(BoundedRecords, batch("none", [bytes(9 * MiB)]))
    assert large[4] == bytes(9 * MiB)


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_a_body_that_is_no_body_is_one_empty_record_for_each_offset(codec: str) -> None:
    header, body = bytearray(batch(codec, [b"hello " * 500] * 3)[:61]), b"garbage" * 100
    header[8:12] = (61 - 12 + len(body)).to_bytes(4, "big")
    from aiokafka.record.util import calc_crc32c

    header[17:21] = calc_crc32c(bytes(header[21:]) + body).to_bytes(4, "big")
    found = read(BoundedRecords, bytes(header) + body)
    assert [(one[0], one[4], one[5][0][0]) for one in found] == [(n, b"", UNREADABLE_HEADER) for n in range(3)]  # type: ignore[index]


def test_an_answer_ends_before_it_expands_to_more_than_may_be_held() -> None:
    one = batch("zstd", [bytes(MiB - 100)])
    answer = BoundedRecords(one * 10)
    values = 0
    while answer.has_next():
        values += sum(1 for _ in answer.next_batch())
    assert values == 5  # four do not reach the bound yet, and the rest is fetched again from there


def test_a_batch_that_is_cut_off_is_left_to_the_next_fetch() -> None:
    data = batch("none", [b"whole"])
    answer = BoundedRecords(data + data[:-3])
    assert [record.value for record in answer.next_batch()] == [b"whole"]
    assert not answer.has_next()
    assert answer.next_batch() is None
    assert answer.size_in_bytes() == 2 * len(data) - 3


def test_every_consumer_of_the_process_reads_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiokafka.consumer import fetcher

    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    record_parser.install(7)
    assert fetcher.MemoryRecords is BoundedRecords
    assert BoundedRecords.max_record_bytes == 7

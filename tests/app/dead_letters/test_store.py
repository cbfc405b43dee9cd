"""Dead letters that match a filter, in rows of the archive."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dead_letters.letter import DeadLetterEntry, DeadLetterFilter, to_detailed_json, to_json
from app.dead_letters.store import DeadLetterStore
from app.eventlog.schema import to_table
from app.eventlog.snapshot import Snapshot
from app.events import topics
from app.events.answers import build_dead_letter
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.events.types import Failure
from app.settings import Settings
from models.base import Rejected

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def dead_letter_record(
    number: int, position: tuple[int, int], milliseconds: int, stage: str = "preprocess", topic: str = ""
) -> ConsumedRecord:
    """Return the dead letter of the chess event of this number, at this partition and offset."""
    rejected = Origin(TopicId("c/t"), topic or "chess.requests", 0, number, 0)
    failure = Failure(stage=stage, code=f"code-{number % 2}", reason="it is bad")
    _, dead_letter = build_dead_letter(
        Record(rejected.topic, b"\x00\xff", b"value", ()), rejected, failure, ("shop", str(number))
    )
    timestamp_ms = round(START.timestamp() * 1000) + milliseconds
    return ConsumedRecord(
        Origin(TopicId("c/d"), topics.DEAD_LETTERS, *position, timestamp_ms),
        dead_letter.key,
        dead_letter.value,
        dead_letter.headers,
    )


def store_with(tmp_path: Path, records: Sequence[ConsumedRecord]) -> DeadLetterStore:
    """Return a store of these records in two files, as from an archive and from Kafka."""
    paths = []
    for number, part in enumerate((records[::2], records[1::2])):
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(to_table(part, lambda value: ""), paths[-1])
    return DeadLetterStore(Settings(home=tmp_path), Snapshot(topics.DEAD_LETTERS, None, tuple(paths), {}), tmp_path)


async def test_letters_are_counted_by_code_each_once(tmp_path: Path) -> None:
    records = [dead_letter_record(number, (0, number), number) for number in (0, 1, 2)]
    store = store_with(
        tmp_path, [*records, dead_letter_record(1, (0, 3), 3), dead_letter_record(3, (0, 4), 4, "outcomes")]
    )
    assert store.count_codes(DeadLetterFilter()) == {"code-0": 2, "code-1": 2}
    assert store.count_codes(DeadLetterFilter(stage="outcomes")) == {"code-1": 1}


@pytest.mark.parametrize(
    ("criteria", "numbers"),
    [
        (DeadLetterFilter(), [0, 1, 2, 3]),
        (DeadLetterFilter(stage="preprocess"), [0, 1, 3]),
        (DeadLetterFilter(stage="inference", code="code-0"), [2]),
        (DeadLetterFilter(code="code-1"), [1, 3]),
        (DeadLetterFilter(task="chess"), [0, 1, 2]),
        (DeadLetterFilter(task="go.chess"), [3]),
        (DeadLetterFilter(task="ches."), []),
        (DeadLetterFilter(since=START + timedelta(milliseconds=2)), [2, 3]),
        (DeadLetterFilter(frozenset(["nobody's"])), []),
    ],
)
async def test_letters_that_meet_all_conditions_are_found(
    tmp_path: Path, criteria: DeadLetterFilter, numbers: list[int]
) -> None:
    store = store_with(
        tmp_path,
        [
            dead_letter_record(0, (0, 0), 0),
            dead_letter_record(1, (0, 1), 1),
            dead_letter_record(2, (0, 2), 2, stage="inference"),
            dead_letter_record(3, (0, 3), 3, topic="go.chess.requests"),
        ],
    )
    assert [int(letter.event_identity[1]) for letter in await store.find(criteria)] == numbers


numbers_and_times = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12)


@settings(max_examples=40)
@given(numbers_and_times, st.integers(1, 5))
def test_pages_have_every_letter_once_in_the_order_of_the_log(
    tmp_path_factory: pytest.TempPathFactory, numbers_and_times: list[tuple[int, int]], limit: int
) -> None:
    """Also if some have the same time, or were logged twice."""
    records = [
        dead_letter_record(number, (time % 2, offset), time) for offset, (number, time) in enumerate(numbers_and_times)
    ]
    store = store_with(tmp_path_factory.mktemp("log"), records)

    async def read_pages() -> list[DeadLetterEntry]:
        letters: list[DeadLetterEntry] = []
        while page := await store.find(DeadLetterFilter(before=letters[0].sort_key if letters else None), limit):
            letters = [*page, *letters]
        return letters

    letters = asyncio.run(read_pages())
    assert letters == asyncio.run(store.find(DeadLetterFilter()))
    assert [letter.sort_key for letter in letters] == sorted(letter.sort_key for letter in letters)
    assert {letter.event_identity[1] for letter in letters} == {str(number) for number, _ in numbers_and_times}
    assert len({letter.id for letter in letters}) == len(letters)


async def test_bytes_that_are_not_text_are_described_in_hexadecimal(tmp_path: Path) -> None:
    store = store_with(tmp_path, [dead_letter_record(0, (0, 0), 0)])
    [(letter, original)] = store.read_originals(await store.find(DeadLetterFilter()))
    document = to_detailed_json(letter, original)
    assert (document["key"], document["payload"], document["bytes"], document["headers"]) == ("0x00ff", "value", 5, [])
    assert to_json(letter).items() <= document.items()


async def test_a_payload_whose_blob_is_missing_raises(tmp_path: Path) -> None:
    record_without_blob = dead_letter_record(0, (0, 0), 0)
    record_without_blob = ConsumedRecord(
        record_without_blob.origin, record_without_blob.key, bytes(100_000), record_without_blob.headers
    )
    path = tmp_path / "0.parquet"
    pq.write_table(to_table([record_without_blob], lambda value: f"blob://sha256/{'0' * 64}"), path)
    store = DeadLetterStore(Settings(home=tmp_path), Snapshot(topics.DEAD_LETTERS, None, (path,), {}), tmp_path)
    with pytest.raises(Rejected):
        list(store.read_originals(await store.find(DeadLetterFilter())))

"""Which dead letters are asked for, found among the rows of the archive."""

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


def record(
    number: int, place: tuple[int, int], milliseconds: int, stage: str = "preprocess", topic: str = ""
) -> ConsumedRecord:
    """The dead letter of the chess event of this number, at a partition and an offset."""
    rejected = Origin(TopicId("c/t"), topic or "chess.requests", 0, number, 0)
    failure = Failure(stage=stage, code=f"code-{number % 2}", reason="it is bad")
    _, made = build_dead_letter(
        Record(rejected.topic, b"\x00\xff", b"value", ()), rejected, failure, ("shop", str(number))
    )
    at = round(START.timestamp() * 1000) + milliseconds
    return ConsumedRecord(Origin(TopicId("c/d"), topics.DEAD_LETTERS, *place, at), made.key, made.value, made.headers)


def log_of(tmp_path: Path, records: Sequence[ConsumedRecord]) -> DeadLetterStore:
    """A log that holds these: in two files, as from an archive and from Kafka."""
    paths = []
    for number, some in enumerate((records[::2], records[1::2])):
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(to_table(some, lambda value: ""), paths[-1])
    return DeadLetterStore(Settings(home=tmp_path), Snapshot(topics.DEAD_LETTERS, None, tuple(paths), {}), tmp_path)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
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
async def test_those_are_found_of_which_all_is_true(
    tmp_path: Path, wanted: DeadLetterFilter, numbers: list[int]
) -> None:
    log = log_of(
        tmp_path,
        [
            record(0, (0, 0), 0),
            record(1, (0, 1), 1),
            record(2, (0, 2), 2, stage="inference"),
            record(3, (0, 3), 3, topic="go.chess.requests"),
        ],
    )
    assert [int(letter.event_identity[1]) for letter in await log.find(wanted)] == numbers


moments = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12)


@settings(max_examples=40)
@given(moments, st.integers(1, 5))
def test_pages_have_every_letter_once_in_the_order_of_the_log(
    tmp_path_factory: pytest.TempPathFactory, moments: list[tuple[int, int]], limit: int
) -> None:
    """Also where some have one time, and where redelivery has made two records of one."""
    records = [record(number, (at % 2, offset), at) for offset, (number, at) in enumerate(moments)]
    log = log_of(tmp_path_factory.mktemp("log"), records)

    async def pages() -> list[DeadLetterEntry]:
        found: list[DeadLetterEntry] = []
        while page := await log.find(DeadLetterFilter(before=found[0].sort_key if found else None), limit):
            found = [*page, *found]
        return found

    found = asyncio.run(pages())
    assert found == asyncio.run(log.find(DeadLetterFilter()))
    assert [letter.sort_key for letter in found] == sorted(letter.sort_key for letter in found)
    assert {letter.event_identity[1] for letter in found} == {str(number) for number, _ in moments}
    assert len({letter.id for letter in found}) == len(found)


async def test_what_is_no_text_is_shown_in_hexadecimal_digits(tmp_path: Path) -> None:
    log = log_of(tmp_path, [record(0, (0, 0), 0)])
    [(letter, original)] = log.read_originals(await log.find(DeadLetterFilter()))
    said = to_detailed_json(letter, original)
    assert (said["key"], said["payload"], said["bytes"], said["headers"]) == ("0x00ff", "value", 5, [])
    assert to_json(letter).items() <= said.items()


async def test_a_payload_that_is_gone_is_said(tmp_path: Path) -> None:
    lost = record(0, (0, 0), 0)
    lost = ConsumedRecord(lost.origin, lost.key, bytes(100_000), lost.headers)
    path = tmp_path / "0.parquet"
    pq.write_table(to_table([lost], lambda value: f"blob://sha256/{'0' * 64}"), path)
    log = DeadLetterStore(Settings(home=tmp_path), Snapshot(topics.DEAD_LETTERS, None, (path,), {}), tmp_path)
    with pytest.raises(Rejected):
        list(log.read_originals(await log.find(DeadLetterFilter())))

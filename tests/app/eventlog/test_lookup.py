"""One request found in the log: in the archive, in Kafka, or in both."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.eventlog import lookup
from app.eventlog.archive import Archive
from app.eventlog.lookup import RequestQuery
from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord
from app.events.types import PredictionMade
from app.kafka import reader
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish

TOPIC = topics.requests("letters")
NOW = datetime.now(UTC)


@pytest.fixture
def settings(platform: Settings, tmp_path: Path) -> Settings:
    """The broker's log with an archive of one's own."""
    return platform.model_copy(update={"blob_url": (tmp_path / "blobs").as_uri()})


def of(request: str, since: datetime) -> RequestQuery:
    return RequestQuery("letters", "shop", request, since, datetime.now(UTC) + lookup.CLOCK_TOLERANCE)


async def archive(settings: Settings) -> None:
    """Archive what Kafka holds."""
    held = await reader.fetch_offset_ranges(settings, [TOPIC])
    for tp, one in held.items():
        some: list[ConsumedRecord] = []
        async for records in reader.read_ranges(settings, {tp: (one.begin, one.end)}, {TOPIC: one.topic_id}):
            some += records
        if some:
            Archive(settings).append(some)


async def test_a_request_is_found_before_and_after_it_is_archived(settings: Settings) -> None:
    since, unique = datetime.now(UTC) - lookup.CLOCK_TOLERANCE, str(uuid.uuid4())
    headers = [("ce_id", unique.encode()), ("ce_source", b"shop")]
    await publish(
        settings,
        TOPIC,
        [OutgoingRecord(b"other"), OutgoingRecord(b"mine", b"k", headers), OutgoingRecord(b"repeated", b"k", headers)],
    )
    [fresh] = await lookup.find_request(settings, of(unique, since))
    await archive(settings)
    [kept] = await lookup.find_request(settings, of(unique, since))
    assert fresh.value == kept.value == b"mine"
    assert fresh.origin == kept.origin


async def test_a_sessions_chunks_are_found_where_some_are_archived_and_some_are_not(settings: Settings) -> None:
    name = str(uuid.uuid4())

    def chunk(number: int) -> OutgoingRecord:
        said = {"ce_source": "shop", "ce_session": name, "ce_sequence": str(number)}
        return OutgoingRecord(str(number).encode(), b"key", [(header, text.encode()) for header, text in said.items()])

    since = datetime.now(UTC) - lookup.CLOCK_TOLERANCE
    await publish(settings, TOPIC, [chunk(0), chunk(1)])
    await archive(settings)
    await publish(settings, TOPIC, [chunk(2)])
    # The request came with its last chunk: the first ones are older than it.
    found = await lookup.find_request(settings, of(name, since + timedelta(minutes=1)))
    assert [one.value for one in found] == [b"0", b"1", b"2"]


async def test_a_request_that_is_nowhere_is_not_found(settings: Settings) -> None:
    await publish(settings, TOPIC, [OutgoingRecord(b"other")])
    assert await lookup.find_request(settings, of("nowhere", NOW)) == []
    await archive(settings)
    assert await lookup.find_request(settings, of("nowhere", NOW)) == []


@pytest.mark.parametrize(
    ("before", "since"),
    [(timedelta(minutes=3), timedelta(minutes=3, seconds=2)), (timedelta(days=900), lookup.MAX_WAIT)],
    ids=["live", "imported with its old time"],
)
def test_a_prediction_says_when_its_request_came(before: timedelta, since: timedelta) -> None:
    made = PredictionMade(
        prediction_id="letters:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11",
        request_id="1",
        task="letters",
        model=ModelRef(name="letters", version="1"),
        role="champion",
        output={},
        confidence=1.0,
        propensity=1.0,
        timings_ms={"total": 2000.0},
    )
    asked = RequestQuery.from_prediction(made, "shop", NOW - before, NOW)
    assert asked.since == NOW - since - lookup.CLOCK_TOLERANCE
    assert asked.until > NOW

"""Requests are found in the archive, in Kafka, or in both."""

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
    """Return settings of the broker's log with a separate archive."""
    return platform.model_copy(update={"blob_url": (tmp_path / "blobs").as_uri()})


def query_for(request: str, since: datetime) -> RequestQuery:
    return RequestQuery("letters", "shop", request, since, datetime.now(UTC) + lookup.CLOCK_TOLERANCE)


async def archive(settings: Settings) -> None:
    """Archive the records in Kafka."""
    offset_ranges = await reader.fetch_offset_ranges(settings, [TOPIC])
    for tp, offset_range in offset_ranges.items():
        unread: list[ConsumedRecord] = []
        async for records in reader.read_ranges(
            settings, {tp: (offset_range.begin, offset_range.end)}, {TOPIC: offset_range.topic_id}
        ):
            unread += records
        if unread:
            Archive(settings).append(unread)


async def test_a_request_is_found_before_and_after_it_is_archived(settings: Settings) -> None:
    since, request_id = datetime.now(UTC) - lookup.CLOCK_TOLERANCE, str(uuid.uuid4())
    headers = [("ce_id", request_id.encode()), ("ce_source", b"shop")]
    await publish(
        settings,
        TOPIC,
        [OutgoingRecord(b"other"), OutgoingRecord(b"mine", b"k", headers), OutgoingRecord(b"repeated", b"k", headers)],
    )
    [unarchived] = await lookup.find_request(settings, query_for(request_id, since))
    await archive(settings)
    [archived] = await lookup.find_request(settings, query_for(request_id, since))
    assert unarchived.value == archived.value == b"mine"
    assert unarchived.origin == archived.origin


async def test_a_sessions_chunks_are_found_in_the_archive_and_in_kafka(settings: Settings) -> None:
    name = str(uuid.uuid4())

    def chunk(number: int) -> OutgoingRecord:
        texts = {"ce_source": "shop", "ce_session": name, "ce_sequence": str(number)}
        return OutgoingRecord(str(number).encode(), b"key", [(header, text.encode()) for header, text in texts.items()])

    since = datetime.now(UTC) - lookup.CLOCK_TOLERANCE
    await publish(settings, TOPIC, [chunk(0), chunk(1)])
    await archive(settings)
    await publish(settings, TOPIC, [chunk(2)])
    # The request is as old as its last chunk; the first ones are older.
    chunks = await lookup.find_request(settings, query_for(name, since + timedelta(minutes=1)))
    assert [record.value for record in chunks] == [b"0", b"1", b"2"]


async def test_an_unknown_request_is_not_found(settings: Settings) -> None:
    await publish(settings, TOPIC, [OutgoingRecord(b"other")])
    assert await lookup.find_request(settings, query_for("nowhere", NOW)) == []
    await archive(settings)
    assert await lookup.find_request(settings, query_for("nowhere", NOW)) == []


@pytest.mark.parametrize(
    ("before", "since"),
    [(timedelta(minutes=3), timedelta(minutes=3, seconds=2)), (timedelta(days=900), lookup.MAX_WAIT)],
    ids=["live", "imported with its old time"],
)
def test_a_prediction_bounds_the_log_time_of_its_request(before: timedelta, since: timedelta) -> None:
    prediction = PredictionMade(
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
    query = RequestQuery.from_prediction(prediction, "shop", NOW - before, NOW)
    assert query.since == NOW - since - lookup.CLOCK_TOLERANCE
    assert query.until > NOW

"""The way of a dead letter back to its topic."""

import dataclasses
from datetime import UTC, datetime

import pytest

from app.dead_letters.letter import DeadLetterEntry
from app.dead_letters.redelivery import build_record, check_redeliverable
from app.dead_letters.store import REPLAY_OF_HEADER
from app.errors import SetupError
from app.events import topics
from app.events.answers import build_dead_letter
from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId, complete_event
from app.events.types import Failure, PredictionRequested
from app.settings import Settings

REQUESTS = topics.requests("ocr")
ORIGIN = Origin(TopicId("c/t"), REQUESTS, 3, 7, 1_700_000_000_000)
LOGGED = datetime(2026, 1, 31, 12, tzinfo=UTC)


def letter_of(headers: Headers, topic: str = REQUESTS) -> tuple[DeadLetterEntry, ConsumedRecord]:
    """The dead letter of a request with these headers, as it is found in the log."""
    origin = dataclasses.replace(ORIGIN, topic=topic)
    event = complete_event(headers, b"", origin, PredictionRequested.type)
    rejected = Record(topic, b"key", b"value", headers)
    failure = Failure(stage="preprocess", code="bad", reason="it is bad")
    reference, record = build_dead_letter(rejected, origin, failure, (event.source, event.id))
    letter = DeadLetterEntry(
        id=reference,
        logged=LOGGED,
        stage="preprocess",
        code="bad",
        reason="it is bad",
        topic=topic,
        partition=3,
        offset=7,
        event_identity=(event.source, event.id),
        key=b"key",
        position=("c/d", 0, 0),
    )
    place = Origin(TopicId("c/d"), topics.DEAD_LETTERS, 0, 0, 0)
    return letter, ConsumedRecord(place, record.key, record.value, record.headers)


def test_what_goes_back_is_the_original_with_its_own_identity_and_the_mark() -> None:
    headers = (("ce_id", b"1"), ("ce_source", b"shop"), ("ce_time", b"2026-01-30T09:00:00Z"), ("x-mine", b"\xff"))
    letter, incoming = letter_of(headers)
    back = build_record(letter, incoming)
    assert (back.topic, back.key, back.value) == (REQUESTS, b"key", b"value")
    assert sorted(back.headers) == sorted((*headers, (REPLAY_OF_HEADER, letter.id.encode())))


def test_an_original_without_attributes_keeps_the_identity_that_it_was_given_wherever_it_lands() -> None:
    letter, incoming = letter_of(())
    back = build_record(letter, incoming)
    elsewhere = Origin(TopicId("another"), REQUESTS, 0, 99, 0)
    event = complete_event(back.headers, back.value or b"", elsewhere, PredictionRequested.type)
    assert (event.source, event.id) == (f"kafka:{REQUESTS}", ORIGIN.id)
    assert datetime.fromisoformat(event.time) == LOGGED, "or an old correction would replace a later one"
    assert event.extensions == {"replayof": letter.id}


def test_what_went_back_before_names_its_last_dead_letter_only() -> None:
    letter, incoming = letter_of(((REPLAY_OF_HEADER, b"an older one"), ("ce_id", b"1")))
    assert [value for name, value in build_record(letter, incoming).headers if name == REPLAY_OF_HEADER] == [
        letter.id.encode()
    ]


def test_a_repartitioned_event_is_given_no_identity_for_its_headers_say_where_it_was_before() -> None:
    letter, incoming = letter_of((("joined_topic", b"ocr.feedback"),), topics.joins("ocr"))
    back = build_record(letter, incoming)
    assert back.headers == ((REPLAY_OF_HEADER, letter.id.encode()), ("joined_topic", b"ocr.feedback"))


def test_a_letter_from_a_topic_that_is_gone_is_refused_before_anything_is_replayed() -> None:
    known, unknown = letter_of(())[0], letter_of((), "chess.requests")[0]
    check_redeliverable(Settings(), [known])
    with pytest.raises(SetupError, match=r"chess\.requests"):
        check_redeliverable(Settings(), [known, unknown])

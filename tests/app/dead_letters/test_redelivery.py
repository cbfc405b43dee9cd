"""Redelivery of dead letters to their topics."""

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


def make_letter(headers: Headers, topic: str = REQUESTS) -> tuple[DeadLetterEntry, ConsumedRecord]:
    """Return the dead letter of a request with these headers, as it is found in the log."""
    origin = dataclasses.replace(ORIGIN, topic=topic)
    event = complete_event(headers, b"", origin, PredictionRequested.type)
    rejected = Record(topic, b"key", b"value", headers)
    failure = Failure(stage="preprocess", code="bad", reason="it is bad")
    dead_letter_id, record = build_dead_letter(rejected, origin, failure, (event.source, event.id))
    letter = DeadLetterEntry(
        id=dead_letter_id,
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
    dead_letter_origin = Origin(TopicId("c/d"), topics.DEAD_LETTERS, 0, 0, 0)
    return letter, ConsumedRecord(dead_letter_origin, record.key, record.value, record.headers)


def test_a_redelivered_record_is_the_original_with_the_dead_letters_id() -> None:
    headers = (("ce_id", b"1"), ("ce_source", b"shop"), ("ce_time", b"2026-01-30T09:00:00Z"), ("x-mine", b"\xff"))
    letter, original = make_letter(headers)
    redelivered = build_record(letter, original)
    assert (redelivered.topic, redelivered.key, redelivered.value) == (REQUESTS, b"key", b"value")
    assert sorted(redelivered.headers) == sorted((*headers, (REPLAY_OF_HEADER, letter.id.encode())))


def test_an_original_without_attributes_keeps_its_filled_in_identity() -> None:
    letter, original = make_letter(())
    redelivered = build_record(letter, original)
    new_origin = Origin(TopicId("another"), REQUESTS, 0, 99, 0)
    event = complete_event(redelivered.headers, redelivered.value or b"", new_origin, PredictionRequested.type)
    assert (event.source, event.id) == (f"kafka:{REQUESTS}", ORIGIN.id)
    assert datetime.fromisoformat(event.time) == LOGGED, "otherwise an old correction would replace a later one"
    assert event.extensions == {"replayof": letter.id}


def test_a_record_redelivered_twice_names_its_last_dead_letter_only() -> None:
    letter, original = make_letter(((REPLAY_OF_HEADER, b"an older one"), ("ce_id", b"1")))
    assert [value for name, value in build_record(letter, original).headers if name == REPLAY_OF_HEADER] == [
        letter.id.encode()
    ]


def test_a_repartitioned_record_is_redelivered_without_additional_attributes() -> None:
    letter, original = make_letter((("joined_topic", b"ocr.feedback"),), topics.joins("ocr"))
    redelivered = build_record(letter, original)
    assert redelivered.headers == ((REPLAY_OF_HEADER, letter.id.encode()), ("joined_topic", b"ocr.feedback"))


def test_a_letter_from_an_unknown_topic_cannot_be_redelivered() -> None:
    known, unknown = make_letter(())[0], make_letter((), "chess.requests")[0]
    check_redeliverable(Settings(), [known])
    with pytest.raises(SetupError, match=r"chess\.requests"):
        check_redeliverable(Settings(), [known, unknown])

"""The recorder on a real broker: the last outcome of each prediction is right, whatever faults the recorder has."""

import asyncio
import dataclasses
import random
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import httpx
import pytest
from aiokafka import ConsumerRecord

from app.embedded.ports import free_ports
from app.events import topics
from app.events.types import OutcomeRecorded
from app.kafka.lag import RECORDER_GROUP, fetch_lags
from app.outcomes.label_aggregation import build_outcome
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory, ServedPrediction
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from tests.support.fake_inference import TASK
from tests.support.kafka_clients import OutgoingRecord, TopicReader, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack
from tests.support.sum_task import (
    ACTORS,
    RetractionEvent,
    as_consumed,
    make_correction,
    make_feedback,
    make_retraction,
    make_served_prediction,
    prediction_id_of,
)
from tests.support.tasks import Letters

Event = ServedPrediction | FeedbackEvent | RetractionEvent
Events = Sequence[Event]
RATE = 300
FAR_FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def make_events(name: str, requests: int) -> list[Event]:
    """Return predictions and feedback in random order: early, late, repeated, contradicted, retracted, or alone."""
    rng = random.Random(name)
    events: list[Event] = []
    for number in range(requests):
        events += _request_events(f"{name}-{number}", number % 9)
    events += rng.sample(events, len(events) // 4)
    rng.shuffle(events)
    return events


def _request_events(request: str, kind: int) -> list[Event]:
    """Return the prediction of a request with one of nine kinds of feedback; the seventh has no prediction."""
    correction = make_feedback(1, "ada", request, **make_correction(2))
    contradiction = make_feedback(2, "bob", request, **make_correction(3))
    accepted = make_feedback(1, "ada", request, accepted=True)
    changed = make_feedback(3, "ada", request, **make_correction(3))
    rewards = [
        make_feedback(0.05, "shop", request, reward=0.5),
        make_feedback(0.05, "shop", request, reward=0.25, position=2),
        make_feedback(0.05, "shop", request, reward=1.0, reward_name="click"),
        make_feedback(9, "shop", request, reward=1.0),
    ]
    kinds: list[list[Event]] = [
        [],
        [correction],
        [correction, changed],
        [correction, contradiction],
        [correction, contradiction, changed],
        [accepted, *rewards],
        [correction],
        [correction, make_retraction(correction)],
        [correction, changed, make_retraction(changed)],
    ]
    return [*kinds[kind]] if kind == 6 else [make_served_prediction(request), *kinds[kind]]


def records_by_topic(events: Events) -> dict[str, list[OutgoingRecord]]:
    """Return the records of the events, by topic."""
    records: dict[str, list[OutgoingRecord]] = {}
    for event in as_consumed(events):
        records.setdefault(event.origin.topic, []).append(OutgoingRecord(event.value, event.key, event.headers))
    return records


async def publish_events(stack: Stack, events: Events) -> None:
    """Publish the events in this order, each to its topic, `RATE` per second."""
    for start in range(0, len(events), RATE // 10):
        batch = records_by_topic(events[start : start + RATE // 10])
        publishing = (publish(stack.settings, topic, records) for topic, records in batch.items())
        await asyncio.gather(*publishing, asyncio.sleep(0.1))


def expected_outcomes(stack: Stack, events: Events) -> dict[str, OutcomeRecorded]:
    """Return the outcomes that the pure function builds of all events, by prediction id."""
    predictions = {event.prediction.prediction_id: event for event in events if isinstance(event, ServedPrediction)}
    feedback = [event for event in events if isinstance(event, FeedbackEvent)]
    retractions = [event.retraction for event in events if isinstance(event, RetractionEvent)]
    outcomes = {
        id: build_outcome(
            Letters(),
            stack.settings.for_task(TASK),
            PredictionHistory(
                prediction,
                tuple(event for event in feedback if event.feedback.prediction_id == id),
                tuple(retraction for retraction in retractions if retraction.prediction_id == id),
            ),
            FAR_FUTURE,
        )
        for id, prediction in predictions.items()
    }
    return {id: outcome for id, outcome in outcomes.items() if outcome is not None}


def last_outcomes(records: Iterable[ConsumerRecord], events: Events) -> dict[str, OutcomeRecorded]:
    """Return the last outcome in the log of each prediction of the events."""
    ids = {_prediction_id_of(event) for event in events}
    values = {record.key.decode(): record.value for record in records if record.key.decode() in ids}
    return {id: OutcomeRecorded.model_validate_json(value) for id, value in values.items()}


def _prediction_id_of(event: Event) -> str:
    if isinstance(event, ServedPrediction):
        return event.prediction.prediction_id
    return (event.feedback if isinstance(event, FeedbackEvent) else event.retraction).task_and_prediction[1]


async def check_outcomes(stack: Stack, outcomes: TopicReader, events: Events, seconds: float = 120) -> None:
    """Wait until the last outcomes are right, and check that they stay so once the recorder has read everything."""
    expected = expected_outcomes(stack, events)
    await outcomes.read_until(lambda records: last_outcomes(records, events) == expected, seconds)
    inputs = [topics.predictions(TASK), topics.feedback(TASK), topics.joins(TASK)]
    async with asyncio.timeout(60):
        while sum((await fetch_lags(stack.settings, inputs, {RECORDER_GROUP: inputs}))[RECORDER_GROUP].values()):
            await asyncio.sleep(0.2)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK), from_beginning=True) as all_outcomes:
        await all_outcomes.read_until(lambda records: len(records) >= len(outcomes.records))
        assert last_outcomes(all_outcomes.records, events) == expected


async def test_each_prediction_is_joined_with_all_of_its_feedback(stack: Stack) -> None:
    events = make_events("joined", 140)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        await publish_events(stack, events)
        await check_outcomes(stack, outcomes, events)


@pytest.mark.soak
async def test_a_recorder_that_is_killed_in_the_middle_loses_nothing(stack: Stack) -> None:
    events = make_events("killed", 700)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        publishing = asyncio.create_task(publish_events(stack, events))
        for _ in range(2):
            count = len(outcomes.records) + 20
            await outcomes.read_until(lambda records, count=count: len(records) > count)  # type: ignore[misc]
            stack.kill("recorder")
        await publishing
        await check_outcomes(stack, outcomes, events)


@pytest.mark.soak
async def test_two_recorders_share_the_work_and_one_takes_over_when_the_other_is_killed(stack: Stack) -> None:
    events = make_events("shared", 700)
    half = len(events) // 2
    second = stack.settings.model_copy(update={"recorder_metrics_port": free_ports(1)[0]})
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        recorder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.worker", "recorder"),
            env=process_environment(second),
            cwd=CHECKOUT,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await publish_events(stack, events[:half])
            async with asyncio.timeout(60):
                while not await has_partitions(second):
                    await asyncio.sleep(0.2)
            await publish_events(stack, events[half:])
        finally:
            recorder.kill()
            await recorder.wait()
        await check_outcomes(stack, outcomes, events)


async def has_partitions(settings: Settings) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            metrics = await http.get(f"http://127.0.0.1:{settings.recorder_metrics_port}/metrics")
        except httpx.TransportError:
            return False
    return "hindsight_ready 1.0" in metrics.text


async def test_a_recorder_that_loses_its_cache_records_only_outcomes_that_are_already_there(stack: Stack) -> None:
    events = make_events("lost", 140)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        await publish_events(stack, events)
        await check_outcomes(stack, outcomes, events)
        stack.kill("recorder")  # the cache is in its memory
        before = len(outcomes.records)
        await publish_events(stack, events)
        await outcomes.read_until(lambda records: len(records) > before)
        await check_outcomes(stack, outcomes, events)
        earlier, later = (
            {event_id(record) for record in records if last_outcomes([record], events)}
            for records in (outcomes.records[:before], outcomes.records[before:])
        )
        assert later <= earlier
        more = [
            make_feedback(5, actor, f"lost-{number}", **make_correction(4)) for number in range(140) for actor in ACTORS
        ]
        await publish_events(stack, more)
        await check_outcomes(stack, outcomes, [*events, *more])


async def test_a_missing_reward_is_the_default_once_its_window_has_ended(stack: Stack) -> None:
    prediction = dataclasses.replace(make_served_prediction("never-rewarded"), time=datetime.now(UTC))
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        await publish_events(stack, [prediction])
        await check_outcomes(stack, outcomes, [prediction])
    outcome = last_outcomes(outcomes.records, [prediction])[prediction_id_of("never-rewarded")]
    assert (outcome.reward, outcome.reward_defaulted) == (-0.5, True)


async def test_feedback_that_cannot_be_used_is_a_dead_letter_and_delays_nothing(stack: Stack) -> None:
    bad = OutgoingRecord(b'{"reward": 7}', prediction_id_of("unusable").encode(), (("ce_id", b"unusable"),))
    events: Events = [make_served_prediction("unusable"), make_feedback(0.01, request="unusable", reward=1.0)]
    async with (
        open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        await publish(stack.settings, topics.feedback(TASK), [bad])
        await publish_events(stack, events)
        await letters.read_until(lambda records: any(record.value == bad.value for record in records))
        letter = next(record for record in letters.records if record.value == bad.value)
        await check_outcomes(stack, outcomes, events)
    assert (header_text(letter, "rejected_stage"), header_text(letter, "rejected_code")) == ("feedback", "bad_data")
    assert "reward" in header_text(letter, "rejected_reason")

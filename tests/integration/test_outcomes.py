"""The recorder on a real broker: whatever befalls it, each prediction's last outcome is the one that is right."""

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
    as_consumed,
    make_correction,
    make_feedback,
    make_served_prediction,
    prediction_id_of,
)
from tests.support.tasks import Letters

Events = Sequence[ServedPrediction | FeedbackEvent]
RATE = 300
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def story(name: str, requests: int) -> list[ServedPrediction | FeedbackEvent]:
    """Predictions and feedback in no order: early, late, repeated, contradicted, or of what nobody predicted."""
    chance = random.Random(name)
    events: list[ServedPrediction | FeedbackEvent] = []
    for number in range(requests):
        events += _of_one(f"{name}-{number}", number % 7)
    events += chance.sample(events, len(events) // 4)
    chance.shuffle(events)
    return events


def _of_one(request: str, kind: int) -> list[ServedPrediction | FeedbackEvent]:
    one, other = (
        make_feedback(1, "ada", request, **make_correction(2)),
        make_feedback(2, "bob", request, **make_correction(3)),
    )
    accepted, changed = (
        make_feedback(1, "ada", request, accepted=True),
        make_feedback(3, "ada", request, **make_correction(3)),
    )
    rewards = [make_feedback(0.05, "shop", request, reward=0.5), make_feedback(9, "shop", request, reward=1.0)]
    kinds: list[list[FeedbackEvent]] = [
        [],
        [one],
        [one, changed],
        [one, other],
        [one, other, changed],
        [accepted, *rewards],
        [one],
    ]
    unpredicted = kind == 6
    return [*kinds[kind]] if unpredicted else [make_served_prediction(request), *kinds[kind]]


def sent(events: Events) -> dict[str, list[OutgoingRecord]]:
    """The records of the events, by topic."""
    records: dict[str, list[OutgoingRecord]] = {}
    for event in as_consumed(events):
        records.setdefault(event.origin.topic, []).append(OutgoingRecord(event.value, event.key, event.headers))
    return records


async def tell(stack: Stack, events: Events) -> None:
    """Publish the events in this order, each to its topic."""
    for start in range(0, len(events), RATE // 10):
        some = sent(events[start : start + RATE // 10])
        await asyncio.gather(*(publish(stack.settings, topic, records) for topic, records in some.items()), _tenth())


async def _tenth() -> None:
    await asyncio.sleep(0.1)


def expected(stack: Stack, events: Events) -> dict[str, OutcomeRecorded]:
    """What the pure judge says of all that was sent."""
    predictions = {event.prediction.prediction_id: event for event in events if isinstance(event, ServedPrediction)}
    feedback = [event for event in events if isinstance(event, FeedbackEvent)]
    found = {
        one: build_outcome(
            Letters(),
            stack.settings.for_task(TASK),
            PredictionHistory(prediction, tuple(event for event in feedback if event.feedback.prediction_id == one)),
            FAR,
        )
        for one, prediction in predictions.items()
    }
    return {one: outcome for one, outcome in found.items() if outcome is not None}


def last(records: Iterable[ConsumerRecord], events: Events) -> dict[str, OutcomeRecorded]:
    """The last outcome in the log of each prediction that the events are about."""
    about = {
        event.feedback.task_and_prediction[1] if isinstance(event, FeedbackEvent) else event.prediction.prediction_id
        for event in events
    }
    values = {record.key.decode(): record.value for record in records if record.key.decode() in about}
    return {one: OutcomeRecorded.model_validate_json(value) for one, value in values.items()}


async def right(stack: Stack, outcomes: TopicReader, events: Events, seconds: float = 120) -> None:
    """The last outcomes are right, and stay so once the recorder has nothing more to do."""
    wanted = expected(stack, events)
    await outcomes.read_until(lambda records: last(records, events) == wanted, seconds)
    read = [topics.predictions(TASK), topics.feedback(TASK), topics.joins(TASK)]
    async with asyncio.timeout(60):
        while sum((await fetch_lags(stack.settings, read, {RECORDER_GROUP: read}))[RECORDER_GROUP].values()):
            await asyncio.sleep(0.2)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK), from_beginning=True) as whole:
        await whole.read_until(lambda records: len(records) >= len(outcomes.records))
        assert last(whole.records, events) == wanted


async def test_each_prediction_is_joined_with_all_that_was_said_of_it(stack: Stack) -> None:
    events = story("joined", 140)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        await tell(stack, events)
        await right(stack, outcomes, events)


@pytest.mark.soak
async def test_a_recorder_that_is_killed_in_the_middle_loses_nothing(stack: Stack) -> None:
    events = story("killed", 700)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        telling = asyncio.create_task(tell(stack, events))
        for _ in range(2):
            enough = len(outcomes.records) + 20
            await outcomes.read_until(lambda records, enough=enough: len(records) > enough)  # type: ignore[misc]
            stack.kill("recorder")
        await telling
        await right(stack, outcomes, events)


@pytest.mark.soak
async def test_two_recorders_share_the_work_and_one_takes_over_when_the_other_is_killed(stack: Stack) -> None:
    events = story("shared", 700)
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
            await tell(stack, events[:half])
            async with asyncio.timeout(60):
                while not await has_partitions(second):
                    await asyncio.sleep(0.2)
            await tell(stack, events[half:])
        finally:
            recorder.kill()
            await recorder.wait()
        await right(stack, outcomes, events)


async def has_partitions(settings: Settings) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            metrics = await http.get(f"http://127.0.0.1:{settings.recorder_metrics_port}/metrics")
        except httpx.TransportError:
            return False
    return "hindsight_ready 1.0" in metrics.text


async def test_when_its_cache_is_lost_nothing_is_recorded_that_was_not_there(stack: Stack) -> None:
    events = story("lost", 140)
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        await tell(stack, events)
        await right(stack, outcomes, events)
        stack.kill("recorder")  # the cache is in its memory
        before = len(outcomes.records)
        await tell(stack, events)
        await outcomes.read_until(lambda records: len(records) > before)
        await right(stack, outcomes, events)
        assert {event_id(record) for record in outcomes.records[before:]} <= {
            event_id(r) for r in outcomes.records[:before]
        }
        more = [
            make_feedback(5, actor, f"lost-{number}", **make_correction(4)) for number in range(140) for actor in ACTORS
        ]
        await tell(stack, more)
        await right(stack, outcomes, [*events, *more])


async def test_a_reward_that_never_comes_is_the_default_once_its_window_has_ended(stack: Stack) -> None:
    prediction = dataclasses.replace(make_served_prediction("never-rewarded"), time=datetime.now(UTC))
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        await tell(stack, [prediction])
        await right(stack, outcomes, [prediction])
    found = last(outcomes.records, [prediction])[prediction_id_of("never-rewarded")]
    assert (found.reward, found.reward_defaulted) == (-0.5, True)


async def test_feedback_that_cannot_be_used_is_a_dead_letter_and_holds_up_nothing(stack: Stack) -> None:
    bad = OutgoingRecord(b'{"reward": 7}', prediction_id_of("unusable").encode(), (("ce_id", b"unusable"),))
    events: Events = [make_served_prediction("unusable"), make_feedback(0.01, request="unusable", reward=1.0)]
    async with (
        open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        await publish(stack.settings, topics.feedback(TASK), [bad])
        await tell(stack, events)
        await letters.read_until(lambda records: any(record.value == bad.value for record in records))
        letter = next(record for record in letters.records if record.value == bad.value)
        await right(stack, outcomes, events)
    assert (header_text(letter, "rejected_stage"), header_text(letter, "rejected_code")) == ("feedback", "bad_data")
    assert "reward" in header_text(letter, "rejected_reason")

"""A payload that harms the process of its preprocessing fails alone: all others of all tasks are answered."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiokafka import ConsumerRecord

from app.events import topics
from app.kafka.lag import PREPROCESS_GROUP, fetch_lags
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish
from tests.support.platform import platform_settings, run_processes
from tests.support.stack import Stack

TASKS = {"letters": "tests.support.tasks:Letters", "unruly": "tests.support.unruly:Unruly"}
ANSWERS = [kind(task) for task in TASKS for kind in (topics.features, topics.predictions)]
EVENTS = 100


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Kafka and Flink: the path of an event to its features."""
    settings = platform_settings(
        tmp_path_factory.mktemp("isolation"),
        tasks=TASKS,
        checkpoint_seconds=0.5,
        preprocess_deadline_seconds=3,
        preprocess_memory_mib=300,
    )
    async with run_processes(settings, only=("kafka", "preprocess")) as supervisor:
        async with open_topic_reader(settings, *ANSWERS) as answers:
            for task in TASKS:
                await publish(settings, topics.requests(task), [OutgoingRecord(b"abc")])
            await answers.read_until(lambda records: len(records) >= len(TASKS))
        yield Stack(settings, supervisor)


def make_requests(payload: bytes, bad: int | None = None) -> list[OutgoingRecord]:
    """Return good requests, numbered; the one with the number `bad` has this payload."""
    return [
        OutgoingRecord(
            payload if number == bad else b"abc", b"k%d" % number, [("ce_id", b"%d" % number), ("ce_source", b"shop")]
        )
        for number in range(EVENTS)
    ]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"sleep", "preprocess_timeout"),
        (b"hold the lock", "preprocess_timeout"),
        (b"exit", "kills_process"),
        (b"die", "kills_process"),
        (b"allocate", "out_of_memory"),
    ],
)
async def test_one_payload_of_a_hundred_is_dead_lettered_and_all_others_are_answered(
    platform: Stack, payload: bytes, code: str
) -> None:
    async with (
        open_topic_reader(platform.settings, *ANSWERS) as answers,
        open_topic_reader(platform.settings, topics.DEAD_LETTERS) as letters,
    ):
        await asyncio.gather(
            publish(platform.settings, topics.requests("unruly"), make_requests(payload, bad=10)),
            publish(platform.settings, topics.requests("letters"), make_requests(b"")),
        )
        records = await answers.read_until(lambda records: len(records) >= 2 * EVENTS)
        [letter] = await letters.read_until(bool)
    assert (letter.value, header_text(letter, "rejected_code")) == (payload, code)
    by_topic: dict[str, list[ConsumerRecord]] = {}
    for record in records:
        by_topic.setdefault(record.topic, []).append(record)
    assert {topic: len(topic_records) for topic, topic_records in by_topic.items()} == {
        "unruly.features": EVENTS - 1,
        "letters.features": EVENTS,
        "unruly.predictions": 1,
    }
    if code == "preprocess_timeout":  # no other request waited for it
        assert records[-1].topic == "unruly.predictions"


async def test_a_session_that_kills_its_process_fails_alone(platform: Stack) -> None:
    def chunk(session: bytes, sequence: int, value: bytes, final: bool) -> OutgoingRecord:
        attributes = {
            "source": b"mic",
            "session": session,
            "sequence": b"%d" % sequence,
            "final": b"true" if final else b"false",
        }
        return OutgoingRecord(value, session, [(f"ce_{name}", text) for name, text in attributes.items()])

    chunks = [chunk(b"bad", 0, b"exit", False), chunk(b"good", 0, b"ab", False)]
    chunks += [chunk(b"bad", 1, b"", True), chunk(b"good", 1, b"c", True)]
    async with open_topic_reader(platform.settings, "unruly.features", "unruly.predictions") as answers:
        await publish(platform.settings, topics.requests("unruly"), chunks)
        records = await answers.read_until(lambda records: len(records) >= 2)
    assert sorted(record.topic for record in records) == ["unruly.features", "unruly.predictions"]
    assert next(record.value for record in records if record.topic == "unruly.features") == b"abc"


async def fetch_lag(settings: Settings) -> int:
    """Return the number of requests whose offsets are not committed."""
    topic = topics.requests("unruly")
    return (await fetch_lags(settings, [topic], {PREPROCESS_GROUP: [topic]}))[PREPROCESS_GROUP][topic]


async def test_a_deferred_request_survives_a_kill_of_flink(platform: Stack) -> None:
    topic = topics.requests("unruly")
    async with open_topic_reader(platform.settings, "unruly.features", "unruly.predictions") as answers:
        await publish(
            platform.settings, topic, [OutgoingRecord(b"sleep", b"k", [("ce_id", b"deferred"), ("ce_source", b"shop")])]
        )
        while await fetch_lag(platform.settings):  # once its offset is committed, only Flink's state has it
            await asyncio.sleep(0.1)
        assert not answers.records
        platform.kill("preprocess")
        [answer] = await answers.read_until(bool)
    assert json.loads(answer.value)["request_id"] == "deferred"
    assert json.loads(answer.value)["error"]["code"] == "preprocess_timeout"

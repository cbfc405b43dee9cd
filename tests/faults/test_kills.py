"""Any process may die at any time: nothing is lost or counted twice, and the platform recovers by itself."""

import asyncio
import json
import sys
import time
from collections.abc import Callable

import httpx
import pytest
from aiokafka import ConsumerRecord

from app.embedded.ports import free_port
from app.events import topics
from app.events.ids import prediction_id
from app.kafka import clients, provisioning
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from models.base import Sample
from models.small.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, event_id, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS = topics.requests("ocr"), topics.predictions("ocr")


def make_requests(samples: list[Sample], source: str) -> list[OutgoingRecord]:
    """Return requests with ids of the application's own."""
    return [
        OutgoingRecord(sample.payload, headers=[("ce_source", source.encode()), ("ce_id", str(number).encode())])
        for number, sample in enumerate(samples)
    ]


def request_prediction_ids(source: str, count: int) -> set[str]:
    """Return the prediction ids of the first `count` requests of a source."""
    return {prediction_id("ocr", source, str(number)) for number in range(count)}


async def test_2000_requests_are_answered_once_each_while_worker_mlserver_and_flink_are_killed(stack: Stack) -> None:
    samples = make_payloads(2000, seed=11)

    async def kill_processes() -> None:
        for name in ("worker", "mlserver", "preprocess"):
            await asyncio.sleep(4)
            stack.kill(name)

    async with open_topic_reader(stack.settings, PREDICTIONS, topics.DEAD_LETTERS) as answers:
        killing = asyncio.create_task(kill_processes())
        await publish(stack.settings, REQUESTS, make_requests(samples, "kills"), rate=120)
        await killing
        expected = request_prediction_ids("kills", 2000)
        await answers.read_until(lambda records: expected <= predicted_ids(records), 150)
        records = answers.records
    assert not [record for record in records if record.topic == topics.DEAD_LETTERS]
    first_answers: dict[str, dict[str, object]] = {}
    for record in records:
        first_answers.setdefault(event_id(record), json.loads(record.value))
    assert first_answers.keys() == expected
    assert all("output" in answer for answer in first_answers.values())
    await stack.supervisor.wait_ready(180)


def predicted_ids(records: list[ConsumerRecord]) -> set[str]:
    """Return the ids of the predictions among the records."""
    return {event_id(record) for record in records if record.topic == PREDICTIONS}


@pytest.mark.soak
async def test_two_workers_share_the_load_and_one_takes_over_when_the_other_is_killed(stack: Stack) -> None:
    requests = make_requests(make_payloads(6000, seed=13), "two")
    second = stack.settings.model_copy(update={"worker_metrics_port": free_port()})
    has_shared = asyncio.Event()

    async def publish_until_shared() -> int:
        """Publish until the second worker has predicted, however slowly it starts."""
        count = 0
        while not has_shared.is_set():
            await publish(stack.settings, REQUESTS, requests[count : count + 100], rate=40)
            count += 100
        await publish(stack.settings, REQUESTS, requests[count : count + 100])
        return count + 100

    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        publishing = asyncio.create_task(publish_until_shared())
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.worker",
            "inference",
            env=process_environment(second),
            cwd=CHECKOUT,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await wait_until(lambda: count_predictions(second) > 0)
        finally:
            has_shared.set()
            worker.kill()
            await worker.wait()
        count = await publishing
        await answers.read_until(lambda records: request_prediction_ids("two", count) <= predicted_ids(records))


def count_predictions(settings: Settings) -> float:
    """Return how many predictions a worker has made; 0 before it answers."""
    try:
        metrics = httpx.get(f"http://127.0.0.1:{settings.worker_metrics_port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return 0
    series = [line for line in metrics.splitlines() if line.startswith("hindsight_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in series)


async def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until the condition is true; fail if it is not in time."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"the condition is not true within {seconds} s"
        await asyncio.sleep(0.2)


@pytest.mark.soak
async def test_requests_wait_for_a_broker_that_was_killed(stack: Stack) -> None:
    samples = make_payloads(300, seed=12)
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        publishing = asyncio.create_task(publish(stack.settings, REQUESTS, make_requests(samples, "broker"), rate=100))
        await asyncio.sleep(1)
        stack.kill("kafka")
        await publishing
        expected = request_prediction_ids("broker", 300)
        await answers.read_until(lambda records: expected <= predicted_ids(records), 150)
    await stack.supervisor.wait_ready(180)


async def recreate_topic(settings: Settings, topic: str) -> None:
    """Delete a topic and create it again."""
    admin = clients.create_admin(settings)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():
            await asyncio.sleep(0.2)
    finally:
        await admin.close()
    while await provisioning.provision(settings):
        await asyncio.sleep(0.2)


async def test_a_topic_that_is_deleted_and_created_again_is_not_mistaken_for_the_first(stack: Stack) -> None:
    requests, predictions = topics.requests("letters"), topics.predictions("letters")
    async with open_topic_reader(stack.settings, predictions) as answers:
        [first] = await publish(stack.settings, requests, [OutgoingRecord(b"first", b"1")])
        await answers.read_answers(1)
        await recreate_topic(stack.settings, requests)
        later = await publish(stack.settings, requests, [OutgoingRecord(b"second", b"1")] * (first.offset + 1))
        assert (later[-1].partition, later[-1].offset) == (first.partition, first.offset)
        answers_by_id = await answers.read_answers(1 + len(later), seconds=90)
    assert len(answers_by_id) == 1 + len(later)

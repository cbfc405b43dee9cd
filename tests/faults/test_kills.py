"""Any process may die at any time: nothing is lost, nothing is counted twice, and it goes on by itself."""

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
from models.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, event_id, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS = topics.requests("ocr"), topics.predictions("ocr")


def identified(samples: list[Sample], source: str) -> list[OutgoingRecord]:
    """Requests with ids of the application's own."""
    named = [("ce_source", source.encode())]
    return [
        OutgoingRecord(sample.payload, headers=[*named, ("ce_id", str(number).encode())])
        for number, sample in enumerate(samples)
    ]


def expected(source: str, count: int) -> set[str]:
    return {prediction_id("ocr", source, str(number)) for number in range(count)}


async def test_2000_requests_are_answered_once_each_while_worker_mlserver_and_flink_are_killed(stack: Stack) -> None:
    samples = make_payloads(2000, seed=11)

    async def hurt() -> None:
        for name in ("worker", "mlserver", "preprocess"):
            await asyncio.sleep(4)
            stack.kill(name)

    async with open_topic_reader(stack.settings, PREDICTIONS, topics.DEAD_LETTERS) as answers:
        hurting = asyncio.create_task(hurt())
        await publish(stack.settings, REQUESTS, identified(samples, "kills"), rate=120)
        await hurting
        await answers.read_until(lambda read: expected("kills", 2000) <= answered(read), 150)
        records = answers.records
    assert not [record for record in records if record.topic == topics.DEAD_LETTERS]
    said: dict[str, dict[str, object]] = {}
    for record in records:
        said.setdefault(event_id(record), json.loads(record.value))
    assert said.keys() == expected("kills", 2000)
    assert all("output" in answer for answer in said.values())
    await stack.supervisor.wait_ready(180)


def answered(records: list[ConsumerRecord]) -> set[str]:
    """The predictions among the records."""
    return {event_id(record) for record in records if record.topic == PREDICTIONS}


@pytest.mark.soak
async def test_two_workers_share_the_load_and_one_takes_over_when_the_other_is_killed(stack: Stack) -> None:
    requests = identified(make_payloads(6000, seed=13), "two")
    second = stack.settings.model_copy(update={"worker_metrics_port": free_port()})
    taken = asyncio.Event()

    async def publishing_until_taken() -> int:
        """However slow the second worker is to start: there is something for it to do."""
        count = 0
        while not taken.is_set():
            await publish(stack.settings, REQUESTS, requests[count : count + 100], rate=40)
            count += 100
        await publish(stack.settings, REQUESTS, requests[count : count + 100])
        return count + 100

    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        publishing = asyncio.create_task(publishing_until_taken())
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
            await until(lambda: predicted(second) > 0)
        finally:
            taken.set()
            worker.kill()
            await worker.wait()
        count = await publishing
        await answers.read_until(lambda read: expected("two", count) <= answered(read))


def predicted(settings: Settings) -> float:
    """How many predictions a worker has made; 0 before it answers."""
    try:
        metrics = httpx.get(f"http://127.0.0.1:{settings.worker_metrics_port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return 0
    counts = [line for line in metrics.splitlines() if line.startswith("hindsight_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


async def until(happens: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until it happens; fails when it doesn't."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(happens):
        assert time.monotonic() < deadline, f"it has not happened within {seconds} s"
        await asyncio.sleep(0.2)


async def test_requests_wait_for_a_broker_that_was_killed(stack: Stack) -> None:
    samples = make_payloads(300, seed=12)
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        publishing = asyncio.create_task(publish(stack.settings, REQUESTS, identified(samples, "broker"), rate=100))
        await asyncio.sleep(1)
        stack.kill("kafka")
        await publishing
        await answers.read_until(lambda read: expected("broker", 300) <= answered(read), 150)
    await stack.supervisor.wait_ready(180)


async def recreate(settings: Settings, topic: str) -> None:
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


async def test_a_topic_that_is_deleted_and_made_again_is_never_mixed_up_with_the_first(stack: Stack) -> None:
    requests, predictions = topics.requests("letters"), topics.predictions("letters")
    async with open_topic_reader(stack.settings, predictions) as answers:
        [first] = await publish(stack.settings, requests, [OutgoingRecord(b"first", b"1")])
        await answers.read_answers(1)
        await recreate(stack.settings, requests)
        again = await publish(stack.settings, requests, [OutgoingRecord(b"second", b"1")] * (first.offset + 1))
        assert (again[-1].partition, again[-1].offset) == (first.partition, first.offset)
        said = await answers.read_answers(1 + len(again), seconds=90)
    assert len(said) == 1 + len(again)

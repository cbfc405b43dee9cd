"""Any process may hang at any time: it is reported, killed and restarted, and every request is answered once."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiokafka.errors import KafkaError

from app.embedded import prometheus, status
from app.embedded.api_readiness import api_url
from app.events import topics
from app.settings import CHECKOUT, Settings
from models.small.ocr.data.lines import make_payloads
from tests.faults.test_kills import request_prediction_ids
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish
from tests.support.platform import platform_settings, run_processes
from tests.support.stack import Stack

TASK = "ocr"
RATE = 20.0
BATCH = 20
STOP_SECONDS = 60.0


async def wait_until(condition: Callable[[], object], failure: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, failure
        await asyncio.sleep(0.1)


def status_of(settings: Settings, name: str) -> status.ProcessStatus:
    """Return the status of a process, from the file that `hindsight status` reads."""
    platform_status = status.read_status(settings.home)
    assert platform_status is not None
    return next(process for process in platform_status.processes if process.name == name)


async def is_on_overview(settings: Settings, text: str) -> bool:
    """Return whether the overview page has a text."""
    async with httpx.AsyncClient(base_url=api_url(settings), trust_env=False, timeout=30) as http:
        try:
            return text in (await http.get("/", headers={"accept": "text/html"})).text
        except httpx.TransportError:
            return False


@asynccontextmanager
async def load(settings: Settings, source: str) -> AsyncIterator[None]:
    """Publish requests for as long as the block lasts; then check that each has been answered."""
    payloads = itertools.cycle(make_payloads(200, seed=7))
    stop_publishing, count = asyncio.Event(), 0

    async def publish_requests() -> int:
        nonlocal count
        while not stop_publishing.is_set():
            batch = [
                OutgoingRecord(
                    sample.payload, headers=[("ce_source", source.encode()), ("ce_id", str(count + number).encode())]
                )
                for number, sample in enumerate(itertools.islice(payloads, BATCH))
            ]
            try:
                await publish(settings, topics.requests(TASK), batch, rate=RATE)
            except KafkaError:  # the broker hangs too: publish the same requests again, as any application would
                await asyncio.sleep(1)
                continue
            count += len(batch)
        return count

    async with open_topic_reader(settings, topics.predictions(TASK), topics.DEAD_LETTERS) as answers:
        publishing = asyncio.create_task(publish_requests())
        try:
            yield
        finally:
            stop_publishing.set()
            total = await publishing
        expected = request_prediction_ids(source, total)
        await answers.read_until(lambda records: expected <= {header_text(record, "ce_id") for record in records}, 300)
        assert not [record for record in answers.records if record.topic == topics.DEAD_LETTERS]
        assert {header_text(record, "ce_id") for record in answers.records} == expected


async def stop_process(stack: Stack, name: str, seconds: float) -> None:
    """Stop a process under load: it is reported while it hangs, and its restart afterwards."""
    settings, before = stack.settings, status_of(stack.settings, name)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGSTOP)
    stopped_at = time.monotonic()
    await wait_until(
        lambda: not status_of(settings, name).is_healthy, f"{name} is stopped, but `status` shows it as healthy"
    )
    await wait_until(
        lambda: status_of(settings, name).restarts > before.restarts, f"{name} is stopped, but not restarted"
    )
    await asyncio.sleep(max(0.0, stopped_at + seconds - time.monotonic()))
    await wait_until(lambda: status_of(settings, name).is_healthy, f"{name} is not healthy after its restart")
    assert status_of(settings, name).pid != before.pid
    assert status_of(settings, name).restarts == before.restarts + 1
    async with asyncio.timeout(60):
        while not await is_on_overview(settings, f"{name} was restarted at"):
            await asyncio.sleep(0.5)


async def stop_each_process(settings: Settings, names: Collection[str], seconds: float) -> None:
    """Stop the processes, one after the other."""
    async with run_processes(settings, only=names) as supervisor:
        await supervisor.wait_ready(240)
        await wait_until(
            lambda: all(status_of(settings, name).is_healthy for name in names), "not all processes are healthy"
        )
        async with load(settings, "stops"):
            for name in names:
                await stop_process(Stack(settings, supervisor), name, seconds)
        await supervisor.wait_ready(240)
        processes = (status.read_status(settings.home) or pytest.fail()).processes
        assert {process.name: process.restarts for process in processes} == dict.fromkeys(names, 1)


def available_processes() -> list[str]:
    """Return the processes of the Procfile whose programs are on PATH."""
    lines = (CHECKOUT / "Procfile").read_text().splitlines()
    names = [line.partition(":")[0] for line in lines]
    return [name for name in names if name not in prometheus.PROCESS_NAMES or prometheus.find_binary(name)]


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_each_process_hangs_for_a_minute_under_load_and_every_request_is_answered_once(tmp_path: Path) -> None:
    await stop_each_process(platform_settings(tmp_path), available_processes(), STOP_SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_preprocess_and_worker_hang_under_load_and_every_request_is_answered_once(tmp_path: Path) -> None:
    settings = platform_settings(
        tmp_path, tasks={TASK: Settings().tasks[TASK]}, liveness_timeout_seconds=8, unanswered_seconds=10
    )
    async with run_processes(
        settings, only=[name for name in available_processes() if name not in prometheus.PROCESS_NAMES]
    ) as supervisor:
        await supervisor.wait_ready(240)
        stack = Stack(settings, supervisor)
        async with load(settings, "stops"):
            for name in ("preprocess", "worker"):
                await stop_process(stack, name, 0)
        await supervisor.wait_ready(240)

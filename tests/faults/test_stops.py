"""Any process may hang at any time: it is named, killed and started again, and every request is answered once."""

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
from app.embedded.readiness import api_url
from app.events import topics
from app.settings import CHECKOUT, Settings
from models.ocr.data.lines import make_payloads
from tests.faults.test_kills import expected
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish
from tests.support.platform import platform_settings, run_processes
from tests.support.stack import Stack

TASK = "ocr"
RATE = 20.0
BATCH = 20
STOP_SECONDS = 60.0


async def until(happens: Callable[[], object], what: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


def of(settings: Settings, name: str) -> status.ProcessStatus:
    """A process, as the supervisor's file and `hindsight status` have it."""
    found = status.read_status(settings.home)
    assert found is not None
    return next(one for one in found.processes if one.name == name)


async def on_overview(settings: Settings, text: str) -> bool:
    """Whether the overview says so."""
    async with httpx.AsyncClient(base_url=api_url(settings), trust_env=False, timeout=30) as http:
        try:
            return text in (await http.get("/", headers={"accept": "text/html"})).text
        except httpx.TransportError:
            return False


@asynccontextmanager
async def load(settings: Settings, source: str) -> AsyncIterator[None]:
    """Requests all the while; in the end each has been answered, and by no two different answers."""
    payloads = itertools.cycle(make_payloads(200, seed=7))
    enough, count = asyncio.Event(), 0

    async def publishing() -> int:
        nonlocal count
        while not enough.is_set():
            batch = [
                OutgoingRecord(
                    sample.payload, headers=[("ce_source", source.encode()), ("ce_id", str(count + number).encode())]
                )
                for number, sample in enumerate(itertools.islice(payloads, BATCH))
            ]
            try:
                await publish(settings, topics.requests(TASK), batch, rate=RATE)
            except KafkaError:  # the broker hangs too: the same requests again, as any application would
                await asyncio.sleep(1)
                continue
            count += len(batch)
        return count

    async with open_topic_reader(settings, topics.predictions(TASK), topics.DEAD_LETTERS) as answers:
        work = asyncio.create_task(publishing())
        try:
            yield
        finally:
            enough.set()
            total = await work
        wanted = expected(source, total)
        await answers.read_until(lambda read: wanted <= {header_text(one, "ce_id") for one in read}, 300)
        assert not [one for one in answers.records if one.topic == topics.DEAD_LETTERS]
        said: dict[str, bytes | None] = {}
        for record in answers.records:
            said.setdefault(header_text(record, "ce_id"), record.value)
        assert said.keys() == wanted


async def stop(stack: Stack, name: str, seconds: float) -> None:
    """Stop a process under load: it is named while it hangs, and afterwards by what was done about it."""
    settings, before = stack.settings, of(stack.settings, name)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    await until(lambda: not of(settings, name).is_healthy, f"{name} is stopped, and `status` does not say so")
    await until(lambda: of(settings, name).restarts > before.restarts, f"{name} is stopped and nobody restarts it")
    await asyncio.sleep(max(0.0, stopped + seconds - time.monotonic()))
    await until(lambda: of(settings, name).is_healthy, f"{name} does not come back")
    assert of(settings, name).pid != before.pid
    assert of(settings, name).restarts == before.restarts + 1
    async with asyncio.timeout(60):
        while not await on_overview(settings, f"{name} was restarted at"):
            await asyncio.sleep(0.5)


async def stops(settings: Settings, names: Collection[str], seconds: float) -> None:
    """Each of them, one after the other."""
    async with run_processes(settings, only=names) as supervisor:
        await supervisor.wait_ready(240)
        await until(lambda: all(of(settings, name).is_healthy for name in names), "not all processes are well")
        async with load(settings, "stops"):
            for name in names:
                await stop(Stack(settings, supervisor), name, seconds)
        await supervisor.wait_ready(240)
        others = {one.name: one.restarts for one in (status.read_status(settings.home) or pytest.fail()).processes}
        assert others == dict.fromkeys(names, 1)  # nobody else was blamed


def procfile() -> list[str]:
    lines = (CHECKOUT / "Procfile").read_text().splitlines()
    names = [line.partition(":")[0] for line in lines]
    return [name for name in names if name not in prometheus.PROCESS_NAMES or prometheus.find_binary(name)]


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_each_process_hangs_for_a_minute_under_load_and_every_request_is_answered_once(tmp_path: Path) -> None:
    await stops(platform_settings(tmp_path), procfile(), STOP_SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_what_answers_requests_hangs_under_load_and_every_request_is_answered_once(tmp_path: Path) -> None:
    settings = platform_settings(
        tmp_path, tasks={TASK: Settings().tasks[TASK]}, liveness_timeout_seconds=8, unanswered_seconds=10
    )
    async with run_processes(
        settings, only=[name for name in procfile() if name not in prometheus.PROCESS_NAMES]
    ) as supervisor:
        await supervisor.wait_ready(240)
        stack = Stack(settings, supervisor)
        async with load(settings, "stops"):
            for name in ("preprocess", "worker"):
                await stop(stack, name, 0)
        await supervisor.wait_ready(240)

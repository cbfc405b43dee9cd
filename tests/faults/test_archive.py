"""The archive holds every event that a producer was told is in the log, exactly once, whatever dies or goes away."""

import asyncio
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import RecordMetadata
from deltalake.exceptions import CommitFailedError

from app.embedded.ports import free_port
from app.errors import SetupError
from app.eventlog.archive import Archive
from app.eventlog.maintenance import maintain_table
from app.events import topics
from app.kafka import clients
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from tests.support.platform import platform_settings, read_pids, run_processes
from tests.support.s3 import SERVER_KINDS, S3Server, run_server
from tests.support.storage_outages import Outage, mount_storage

TASKS = {"letters": "tests.support.tasks:Letters"}
TOPICS = (topics.requests("letters"), topics.feedback("letters"))
RATE = 500
PATIENCE_SECONDS = 120
FREEZE_SECONDS = 10
"""Longer than a session of the consumer group."""

Hurt = Callable[[], Awaitable[None]]


@pytest.mark.soak
async def test_every_event_is_archived_once_while_the_archive_is_killed_and_its_storage_goes_away(
    tmp_path: Path,
) -> None:
    with mount_storage(tmp_path / "storage") as storage:
        outages = storage.list_outages()
        settings = campaign_settings(tmp_path, blob_url=storage.uri)
        await campaign(
            settings, plan(settings, kills=4, outages=[outages["away"], outages.get("full", outages["away"])])
        )


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_twenty_kills_and_five_outages_of_a_directory(tmp_path: Path) -> None:
    with mount_storage(tmp_path / "storage") as storage:
        kinds = storage.list_outages()
        print(f"outages that can be made here: {', '.join(kinds)}")
        settings = campaign_settings(tmp_path, blob_url=storage.uri)
        outages = list(itertools.islice(itertools.cycle(kinds.values()), 5))
        async with rival(settings):
            await campaign(settings, plan(settings, kills=20, freezes=3, outages=outages, pause=8))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", SERVER_KINDS)
async def test_twenty_kills_and_five_deaths_of_the_s3_server(tmp_path: Path, kind: str) -> None:
    with run_server(kind, tmp_path / "s3") as server:
        settings = campaign_settings(tmp_path, **server.bucket())
        await campaign(settings, plan(settings, kills=20, outages=[dead(server)] * 5, pause=8))


def campaign_settings(tmp_path: Path, **overrides: Any) -> Settings:
    return platform_settings(tmp_path, tasks=TASKS, partitions=2, archive_seconds=0.5, **overrides)


def dead(server: S3Server) -> Outage:
    """A server that is killed, and started again."""

    @contextmanager
    def outage() -> Iterator[None]:
        server.kill()
        try:
            yield
        finally:
            server.start()

    return outage


def plan(settings: Settings, kills: int, outages: Iterable[Outage], freezes: int = 0, pause: float = 4) -> Hurt:
    """Kills at any moment, outages, and processes that stop for so long that another one takes over."""

    async def hurt() -> None:
        chance = random.Random(7)
        due: list[Outage | str] = [*outages, *["kill"] * kills, *["freeze"] * freezes]
        chance.shuffle(due)
        for harm in due:
            await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)
            if harm == "kill":
                os.kill(await archive_process(settings), signal.SIGKILL)
            elif harm == "freeze":
                frozen = await archive_process(settings)
                os.kill(frozen, signal.SIGSTOP)
                await asyncio.sleep(FREEZE_SECONDS)
                os.kill(frozen, signal.SIGCONT)
            elif callable(harm):
                with harm():
                    await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)

    return hurt


async def archive_process(settings: Settings) -> int:
    """The archive process, once it runs."""
    while (pid := read_pids(settings).get("archive")) is None:
        await asyncio.sleep(0.1)
    return pid


@asynccontextmanager
async def rival(settings: Settings) -> AsyncIterator[None]:
    """A second archive process of the same group."""
    second = settings.model_copy(update={"archive_metrics_port": free_port()})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.worker", "archive"),
        env=process_environment(second),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def compact_all_the_while(settings: Settings) -> None:
    """Housekeeping at its worst: on rows that are still written."""
    while True:
        await asyncio.sleep(2)
        for topic in TOPICS:
            with suppress(CommitFailedError, SetupError):
                await asyncio.to_thread(maintain_table, settings, topic, datetime.now(UTC) + timedelta(minutes=5))


async def campaign(settings: Settings, hurt: Hurt) -> None:
    """Produce for as long as it hurts; then the archive has what was confirmed, once, in order, without a hole."""
    began = time.monotonic()
    stop = asyncio.Event()
    async with run_processes(settings, only=("kafka", "archive")), asyncio.TaskGroup() as tasks:
        producing = [tasks.create_task(produce(settings, topic, stop)) for topic in TOPICS]
        compacting = tasks.create_task(compact_all_the_while(settings))
        await hurt()
        stop.set()
        confirmed = dict(zip(TOPICS, await asyncio.gather(*producing), strict=True))
        for topic, places in confirmed.items():
            await until_archived(settings, topic, len(places))
        compacting.cancel()
    for topic, places in confirmed.items():
        rows = read(settings, topic)
        assert Counter(row["id"] for row in rows) == Counter(places.keys())
        offsets = defaultdict(list)
        for row in rows:
            assert places[row["id"]] == (row["partition"], row["offset"])
            offsets[row["partition"]].append(row["offset"])
        assert {partition: sorted(found) for partition, found in offsets.items()} == {
            partition: list(range(len(found))) for partition, found in offsets.items()
        }
    events = sum(map(len, confirmed.values()))
    print(f"{events} events archived once each in {(time.monotonic() - began) / 60:.1f} minutes")


async def produce(settings: Settings, topic: str, stop: asyncio.Event) -> dict[str, tuple[int, int]]:
    """Publish at half the rate until told to stop; where each id was confirmed to stand."""
    producer = clients.create_producer(settings)
    await producer.start()
    try:
        sent: dict[str, asyncio.Future[RecordMetadata]] = {}
        started = time.monotonic()
        while not stop.is_set():
            number = len(sent)
            await asyncio.sleep(max(0.0, started + number * len(TOPICS) / RATE - time.monotonic()))
            event_id = f"{topic}-{number}"
            sent[event_id] = await producer.send(topic, b"abc" * (number % 100), headers=[("ce_id", event_id.encode())])
        return {
            event_id: (found.partition, found.offset)
            for event_id, found in zip(sent, await asyncio.gather(*sent.values()), strict=True)
        }
    finally:
        await producer.stop()


async def until_archived(settings: Settings, topic: str, count: int) -> None:
    """Wait until the archive has so many rows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := await asyncio.to_thread(count_rows, settings, topic)) < count:
        assert time.monotonic() < deadline, f"{found} of {count} events of {topic} are archived"
        await asyncio.sleep(0.5)


def count_rows(settings: Settings, topic: str) -> int:
    with suppress(SetupError):
        if (table := Archive(settings).table(topic)) is not None:
            return int(table.to_pyarrow_dataset().count_rows())
    return 0


def read(settings: Settings, topic: str) -> list[dict[str, Any]]:
    table = Archive(settings).table(topic)
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pyarrow_dataset().to_table(["id", "partition", "offset"]).to_pylist()
    return rows

"""The archive has every event whose publication was confirmed, exactly once, whatever is killed or unavailable."""

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
TIMEOUT_SECONDS = 120
FREEZE_SECONDS = 10
"""Longer than a session of the consumer group."""

Faults = Callable[[], Awaitable[None]]


@pytest.mark.soak
async def test_every_event_is_archived_once_while_the_archive_is_killed_and_its_storage_is_unavailable(
    tmp_path: Path,
) -> None:
    with mount_storage(tmp_path / "storage") as storage:
        outages = storage.list_outages()
        settings = campaign_settings(tmp_path, blob_url=storage.uri)
        chosen = [outages["away"], outages.get("full", outages["away"])]
        await run_campaign(settings, plan_faults(settings, kills=4, outages=chosen))


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_every_event_is_archived_once_in_twenty_kills_and_five_outages_of_a_directory(tmp_path: Path) -> None:
    with mount_storage(tmp_path / "storage") as storage:
        kinds = storage.list_outages()
        print(f"possible outages: {', '.join(kinds)}")
        settings = campaign_settings(tmp_path, blob_url=storage.uri)
        outages = list(itertools.islice(itertools.cycle(kinds.values()), 5))
        async with second_archive(settings):
            await run_campaign(settings, plan_faults(settings, kills=20, freezes=3, outages=outages, pause=8))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", SERVER_KINDS)
async def test_every_event_is_archived_once_in_twenty_kills_and_five_crashes_of_s3(tmp_path: Path, kind: str) -> None:
    with run_server(kind, tmp_path / "s3") as server:
        settings = campaign_settings(tmp_path, **server.bucket())
        await run_campaign(settings, plan_faults(settings, kills=20, outages=[server_crash(server)] * 5, pause=8))


def campaign_settings(tmp_path: Path, **overrides: Any) -> Settings:
    return platform_settings(tmp_path, tasks=TASKS, partitions=2, archive_seconds=0.5, **overrides)


def server_crash(server: S3Server) -> Outage:
    """Return an outage that kills the server, and starts it again."""

    @contextmanager
    def outage() -> Iterator[None]:
        server.kill()
        try:
            yield
        finally:
            server.start()

    return outage


def plan_faults(
    settings: Settings, kills: int, outages: Iterable[Outage], freezes: int = 0, pause: float = 4
) -> Faults:
    """Return faults in random order: kills, outages, and freezes that last until another process takes over."""

    async def inject() -> None:
        rng = random.Random(7)
        faults: list[Outage | str] = [*outages, *["kill"] * kills, *["freeze"] * freezes]
        rng.shuffle(faults)
        for fault in faults:
            await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
            if fault == "kill":
                os.kill(await archive_pid(settings), signal.SIGKILL)
            elif fault == "freeze":
                pid = await archive_pid(settings)
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(FREEZE_SECONDS)
                os.kill(pid, signal.SIGCONT)
            elif callable(fault):
                with fault():
                    await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)

    return inject


async def archive_pid(settings: Settings) -> int:
    """Wait until the archive process runs; return its id."""
    while (pid := read_pids(settings).get("archive")) is None:
        await asyncio.sleep(0.1)
    return pid


@asynccontextmanager
async def second_archive(settings: Settings) -> AsyncIterator[None]:
    """Run a second archive process of the same group."""
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


async def compact_forever(settings: Settings) -> None:
    """Maintain the tables at the worst time: while rows are written."""
    while True:
        await asyncio.sleep(2)
        for topic in TOPICS:
            with suppress(CommitFailedError, SetupError):
                await asyncio.to_thread(maintain_table, settings, topic, datetime.now(UTC) + timedelta(minutes=5))


async def run_campaign(settings: Settings, inject: Faults) -> None:
    """Publish during the faults; then the archive has what was confirmed, once, in order, without a gap."""
    started = time.monotonic()
    stop = asyncio.Event()
    async with run_processes(settings, only=("kafka", "archive")), asyncio.TaskGroup() as tasks:
        producing = [tasks.create_task(produce(settings, topic, stop)) for topic in TOPICS]
        compacting = tasks.create_task(compact_forever(settings))
        await inject()
        stop.set()
        confirmed = dict(zip(TOPICS, await asyncio.gather(*producing), strict=True))
        for topic, positions in confirmed.items():
            await wait_until_archived(settings, topic, len(positions))
        compacting.cancel()
    for topic, positions in confirmed.items():
        rows = read_rows(settings, topic)
        assert Counter(row["id"] for row in rows) == Counter(positions.keys())
        offsets_by_partition = defaultdict(list)
        for row in rows:
            assert positions[row["id"]] == (row["partition"], row["offset"])
            offsets_by_partition[row["partition"]].append(row["offset"])
        for offsets in offsets_by_partition.values():
            assert sorted(offsets) == list(range(len(offsets)))
    events = sum(map(len, confirmed.values()))
    print(f"{events} events archived once each in {(time.monotonic() - started) / 60:.1f} minutes")


async def produce(settings: Settings, topic: str, stop: asyncio.Event) -> dict[str, tuple[int, int]]:
    """Publish at half the rate until `stop` is set; return the confirmed partition and offset of each id."""
    producer = clients.create_producer(settings)
    await producer.start()
    try:
        confirmations: dict[str, asyncio.Future[RecordMetadata]] = {}
        started = time.monotonic()
        while not stop.is_set():
            number = len(confirmations)
            await asyncio.sleep(max(0.0, started + number * len(TOPICS) / RATE - time.monotonic()))
            event_id, value = f"{topic}-{number}", b"abc" * (number % 100)
            confirmations[event_id] = await producer.send(topic, value, headers=[("ce_id", event_id.encode())])
        return {
            event_id: (metadata.partition, metadata.offset)
            for event_id, metadata in zip(confirmations, await asyncio.gather(*confirmations.values()), strict=True)
        }
    finally:
        await producer.stop()


async def wait_until_archived(settings: Settings, topic: str, count: int) -> None:
    """Wait until the archive has `count` rows of a topic."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (archived := await asyncio.to_thread(count_rows, settings, topic)) < count:
        assert time.monotonic() < deadline, f"{archived} of {count} events of {topic} are archived"
        await asyncio.sleep(0.5)


def count_rows(settings: Settings, topic: str) -> int:
    with suppress(SetupError):
        if (table := Archive(settings).table(topic)) is not None:
            return int(table.to_pyarrow_dataset().count_rows())
    return 0


def read_rows(settings: Settings, topic: str) -> list[dict[str, Any]]:
    table = Archive(settings).table(topic)
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pyarrow_dataset().to_table(["id", "partition", "offset"]).to_pylist()
    return rows

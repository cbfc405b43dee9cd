"""Replay of a whole archive, against a plain scan of the same files and a consumer of the same topics.

Each reader is a process of its own, they take turns, and what they read is in the page cache for all of them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from app.eventlog.archive import Archive
from app.eventlog.retention import archived_end_offsets
from app.events import topics
from app.kafka import reader
from app.replay.query import ReplayQuery
from app.replay.replay import BATCH_ROWS, replay
from app.settings import MiB, Settings
from benchmarks import kafka_log
from benchmarks.child_process import BenchmarkError
from benchmarks.resource_usage import peak_mib
from models.ocr import Ocr

TASK = Ocr()
TOPICS = tuple(kind(TASK.name) for kind in (topics.requests, topics.features, topics.predictions, topics.feedback))
STALLED_SECONDS = 60.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class ReaderRun:
    """Once through all events: the time that it took, of all processors together too, and the most memory held."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    rows: int


@dataclass(frozen=True)
class ReplayComparison:
    """What was in the archive, how quickly it came there, and the median of each reader's readings, by its name."""

    events: int
    archived_per_second: float
    readings: dict[str, ReaderRun]

    @property
    def consumer_ratio(self) -> float:
        """How many times as quick replay is as the consumer."""
        return self.readings["consumer"].seconds / self.readings["replay"].seconds

    @property
    def scan_ratio(self) -> float:
        """How many times as long replay takes as the scan."""
        return self.readings["replay"].seconds / self.readings["scan"].seconds


async def wait_until_archived(settings: Settings) -> float:
    """Return once all that the log holds is archived: how many events a second, from the first commit that is seen."""
    held = await reader.fetch_offset_ranges(settings, list(TOPICS))
    wanted = sum(one.end for one in held.values())
    seen: list[tuple[float, int]] = [(time.monotonic(), 0)]
    while seen[-1][1] < wanted:
        await asyncio.sleep(POLL_SECONDS)
        done = sum((await asyncio.to_thread(archived_end_offsets, settings, held)).values())
        if done > seen[-1][1]:
            seen.append((time.monotonic(), done))
        if time.monotonic() - seen[-1][0] > STALLED_SECONDS:
            raise BenchmarkError(f"{done} of {wanted} events are archived, and no more come")
    (began, before), (ended, after) = seen[min(1, len(seen) - 2)], seen[-1]
    return (after - before) / (ended - began)


def run_replay(settings: Settings, out: Path) -> ReaderRun:
    """All of it, into a dataset."""
    arguments = ReplayQuery(TASK, settings.for_task(TASK.name), datetime.now(UTC))
    return _measure_run(lambda: int(replay(settings, arguments, out)["rows"]))


def scan_archive(settings: Settings, out: Path) -> ReaderRun:
    """Every column of every file as batches of Arrow, which are thrown away."""
    query = f"FROM {_files(settings)}"
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = FALSE")
        return _measure_run(lambda: sum(batch.num_rows for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS)))


def copy_archive(settings: Settings, out: Path) -> ReaderRun:
    """The same, into one file, compressed as a dataset is."""
    query = f"COPY (FROM {_files(settings)}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = FALSE")
        return _measure_run(lambda: int(connection.execute(query).fetchall()[0][0]))


def consume_topics(settings: Settings, out: Path) -> ReaderRun:
    """One consumer, from the beginning to the end of the topics; it looks at nothing."""
    return _measure_run(lambda: asyncio.run(_consume(settings.bootstrap)))


async def _consume(bootstrap: str) -> int:
    places, count = await kafka_log.list_partitions(bootstrap, *TOPICS), 0
    options = {"auto_offset_reset": "earliest", "max_partition_fetch_bytes": 4 * MiB}
    async with kafka_log.open_consumer(bootstrap, places, **options) as consumer:
        wanted = sum((await consumer.end_offsets(places)).values())
        while count < wanted:
            count += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
    return count


READERS: dict[str, Callable[[Settings, Path], ReaderRun]] = {
    "consumer": consume_topics,
    "scan": scan_archive,
    "copy": copy_archive,
    "replay": run_replay,
}


def median_run(readings: Sequence[ReaderRun]) -> ReaderRun:
    """The reading that stands for all."""
    return sorted(readings, key=lambda one: one.seconds)[(len(readings) - 1) // 2]


def _files(settings: Settings) -> str:
    tables = [Archive(settings).table(topic) for topic in TOPICS]
    uris = [uri for table in tables if table is not None for uri in table.file_uris()]
    return f"read_parquet({uris!r}, hive_partitioning = FALSE)"


def _measure_run(work: Callable[[], int]) -> ReaderRun:
    began, used = time.perf_counter(), time.process_time()
    rows = work()
    return ReaderRun(time.perf_counter() - began, time.process_time() - used, peak_mib(), rows)

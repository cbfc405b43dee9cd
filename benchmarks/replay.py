"""Replay of a whole archive, compared with a plain scan of the same files and a consumer of the same topics.

Each reader is a process of its own. They take turns, and the files are in the page cache for all of them.
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
from models.small.ocr import Ocr

TASK = Ocr()
TOPICS = tuple(kind(TASK.name) for kind in (topics.requests, topics.features, topics.predictions, topics.feedback))
STALLED_SECONDS = 60.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class ReaderRun:
    """One pass over all events: wall time, CPU time of all cores, and peak memory."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    rows: int


@dataclass(frozen=True)
class ReplayComparison:
    """The size of the archive, the rate at which it was archived, and the median run of each reader, by name."""

    events: int
    archived_per_second: float
    readings: dict[str, ReaderRun]

    @property
    def consumer_ratio(self) -> float:
        """Return how many times as fast as the consumer replay is."""
        return self.readings["consumer"].seconds / self.readings["replay"].seconds

    @property
    def scan_ratio(self) -> float:
        """Return how many times as long as the scan replay takes."""
        return self.readings["replay"].seconds / self.readings["scan"].seconds


async def wait_until_archived(settings: Settings) -> float:
    """Wait until the whole log is archived; return the events per second since the first commit that was seen."""
    ranges = await reader.fetch_offset_ranges(settings, list(TOPICS))
    total = sum(offset_range.end for offset_range in ranges.values())
    progress: list[tuple[float, int]] = [(time.monotonic(), 0)]
    while progress[-1][1] < total:
        await asyncio.sleep(POLL_SECONDS)
        archived = sum((await asyncio.to_thread(archived_end_offsets, settings, ranges)).values())
        if archived > progress[-1][1]:
            progress.append((time.monotonic(), archived))
        if time.monotonic() - progress[-1][0] > STALLED_SECONDS:
            raise BenchmarkError(f"{archived} of {total} events are archived, and the count has stopped growing")
    (started, before), (ended, after) = progress[min(1, len(progress) - 2)], progress[-1]
    return (after - before) / (ended - started)


def run_replay(settings: Settings, out: Path) -> ReaderRun:
    """Replay the archive into a dataset."""
    arguments = ReplayQuery(TASK, settings.for_task(TASK.name), datetime.now(UTC))
    return _measure_run(lambda: int(replay(settings, arguments, out)["rows"]))


def scan_archive(settings: Settings, out: Path) -> ReaderRun:
    """Read every column of every file as Arrow batches."""
    query = f"FROM {_files(settings)}"
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = FALSE")
        return _measure_run(lambda: sum(batch.num_rows for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS)))


def copy_archive(settings: Settings, out: Path) -> ReaderRun:
    """Copy every column of every file into one file, compressed like a dataset."""
    query = f"COPY (FROM {_files(settings)}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = FALSE")
        return _measure_run(lambda: int(connection.execute(query).fetchall()[0][0]))


def consume_topics(settings: Settings, out: Path) -> ReaderRun:
    """Consume the topics from beginning to end."""
    return _measure_run(lambda: asyncio.run(_consume(settings.bootstrap)))


async def _consume(bootstrap: str) -> int:
    partitions, count = await kafka_log.list_partitions(bootstrap, *TOPICS), 0
    options = {"auto_offset_reset": "earliest", "max_partition_fetch_bytes": 4 * MiB}
    async with kafka_log.open_consumer(bootstrap, partitions, **options) as consumer:
        total = sum((await consumer.end_offsets(partitions)).values())
        while count < total:
            count += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
    return count


READERS: dict[str, Callable[[Settings, Path], ReaderRun]] = {
    "consumer": consume_topics,
    "scan": scan_archive,
    "copy": copy_archive,
    "replay": run_replay,
}


def median_run(readings: Sequence[ReaderRun]) -> ReaderRun:
    """Return the run with the median time; of an even number the faster of the two."""
    return sorted(readings, key=lambda run: run.seconds)[(len(readings) - 1) // 2]


def _files(settings: Settings) -> str:
    tables = [Archive(settings).table(topic) for topic in TOPICS]
    uris = [uri for table in tables if table is not None for uri in table.file_uris()]
    return f"read_parquet({uris!r}, hive_partitioning = FALSE)"


def _measure_run(read: Callable[[], int]) -> ReaderRun:
    started, cpu_started = time.perf_counter(), time.process_time()
    rows = read()
    return ReaderRun(time.perf_counter() - started, time.process_time() - cpu_started, peak_mib(), rows)

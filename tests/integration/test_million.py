"""A million archived events are replayed in bounded memory, whatever the size of their features."""

import asyncio
import json
import math
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from app.eventlog.archive import Archive
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.settings import Settings
from benchmarks.child_process import run_in_process
from benchmarks.replay import run_replay
from benchmarks.synthetic_history import EVENTS_PER_REQUEST, WIDTH, generate_history
from tests.support.platform import platform_settings, run_processes

EVENTS = 1_000_000
LOGGED_MS = 1_767_225_600_000
COMMIT = 10_000


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("times_wider", [1, 10])
async def test_a_million_archived_events_are_replayed_in_less_than_a_gibibyte(tmp_path: Path, times_wider: int) -> None:
    settings, out = platform_settings(tmp_path), tmp_path / "out"
    async with run_processes(settings, only=("kafka",)):  # its topics are empty: all events are in the archive
        archived = await asyncio.to_thread(write_archive, settings, times_wider * WIDTH)
        run = await run_in_process(run_replay, settings, out)
    print(f"{archived.total()} events, features {times_wider} times as wide: {run}")
    assert run.peak_mib < 1024

    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert {f"ocr.{kind}": count["read"] for kind, count in counts.items()} == archived
    assert all(count["rows"] == count["read"] for count in counts.values())
    rows = pq.ParquetFile(out / "rows.parquet")
    assert rows.metadata.num_rows == run.rows == archived["ocr.requests"]
    labels, times = 0, []
    for batch in rows.iter_batches(columns=["time", "label", "features"]):
        labels += batch.num_rows - batch.column("label").null_count
        assert pc.all(pc.equal(pc.binary_length(batch.column("features")), 24 * times_wider * WIDTH + 4)).as_py()
        times += [batch.column("time")[0], batch.column("time")[-1]]
    assert labels == archived["ocr.feedback"]
    assert all(before.as_py() <= after.as_py() for before, after in pairwise(times))


def write_archive(settings: Settings, width: int) -> Counter[str]:
    """Write a history of deleted topics into the archive; return the number of events of each topic."""
    archive, counts, batches = Archive(settings), Counter[str](), defaultdict[str, list[ConsumedRecord]](list)

    def append(record: Record) -> None:
        number = counts[record.topic]
        origin = Origin(TopicId("gone/gone"), record.topic, 0, number, LOGGED_MS + number)
        batches[record.topic].append(ConsumedRecord(origin, record.key, record.value, record.headers))
        counts[record.topic] += 1
        if len(batches[record.topic]) >= COMMIT:
            archive.append(batches.pop(record.topic))

    for records in generate_history(math.ceil(EVENTS / EVENTS_PER_REQUEST), width):
        for record in records:
            append(record)
    for batch in batches.values():
        archive.append(batch)
    return counts

"""A million events with different ids make no more metric series than the first tenth of them."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from app.events import topics
from app.events.types import FeedbackGiven
from app.kafka.lag import fetch_deployment_lags
from app.kafka.reader import fetch_offset_ranges
from app.settings import Settings, TaskSettings
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.metrics_exposition import PROCESSES, scrape_metrics
from tests.support.platform import platform_settings, run_processes
from tests.support.retraining_loop import MANUAL_TRIGGERS, TASK_RULES, wait_until

TASK = "scales"
EVENTS = 1_000_000
BATCH = 10_000
REQUESTS = 230_000
"""Each has an answer, and four in five have features, feedback and an outcome."""

Series = set[tuple[str, str, tuple[tuple[str, str], ...]]]
"""Process, name, labels."""


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_million_events_make_no_more_series_than_the_first_of_them(tmp_path: Path) -> None:
    settings = platform_settings(
        tmp_path,
        tasks={TASK: "tests.support.scales:Scales"},
        task_settings={
            TASK: TaskSettings.model_validate(TASK_RULES | {"retraining": TASK_RULES["retraining"] | MANUAL_TRIGGERS})
        },
    )
    async with run_processes(settings, only=PROCESSES) as supervisor:
        await supervisor.wait_ready(180)
        series = list[Series]()
        for count in (REQUESTS // 10, REQUESTS - REQUESTS // 10):
            await publish_all(settings, len(series), count)
            await wait_until(lambda: is_done(settings), 3000)
            series.append(await read_series(settings))
            ranges = await fetch_offset_ranges(settings, topics.archived_topics([TASK]))
            events = sum(offsets.end for offsets in ranges.values())
            print(f"{events:,} events, {len(series[-1]):,} series")
    assert events >= EVENTS
    assert series[1] - series[0] == set()
    assert len(series[0]) > 500


async def publish_all(settings: Settings, part: int, requests: int) -> None:
    """Publish requests, each with a source and subject of its own, and feedback; one request in five is invalid."""
    numbers = iter(range(requests))
    while batch := list(islice(numbers, BATCH)):
        names = [f"{part}-{number}" for number in batch]
        await publish(settings, topics.requests(TASK), [make_request(name) for name in names])
        await publish(settings, topics.feedback(TASK), list(make_feedback(names)))


def make_request(name: str) -> OutgoingRecord:
    value = f"nonsense {name}" if is_invalid(name) else "0 1.0"
    attributes = {"ce_id": name, "ce_source": f"shop-{name}", "ce_subject": f"thing-{name}"}
    headers = tuple((header, text.encode()) for header, text in attributes.items())
    return OutgoingRecord(value.encode(), name.encode(), headers)


def make_feedback(names: list[str]) -> Iterator[OutgoingRecord]:
    for name in names:
        if not is_invalid(name):
            feedback = FeedbackGiven(
                task=TASK, request_id=name, request_source=f"shop-{name}", correction={"weight": 1.0}, actor=f"a-{name}"
            )
            yield OutgoingRecord(feedback.model_dump_json().encode(), feedback.task_and_prediction[1].encode())


def is_invalid(name: str) -> bool:
    return name.endswith(("0", "5"))


async def is_done(settings: Settings) -> bool:
    """Return whether every group has committed all records."""
    await asyncio.sleep(2)
    lags = await fetch_deployment_lags(settings, 60)
    return not isinstance(lags, str) and not any(lag for by_topic in lags.values() for lag in by_topic.values())


async def read_series(settings: Settings) -> Series:
    return {
        (process, name, tuple(sorted(labels.items())))
        for process in PROCESSES
        for name, label_sets in (await scrape_metrics(settings, process)).items()
        for labels in label_sets
    }

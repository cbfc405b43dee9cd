"""A million events, each of its own, leave no more series than the first tenth of them."""

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
"""Of each there is an answer, and of four in five there are features, feedback and an outcome."""

Series = set[tuple[str, str, tuple[tuple[str, str], ...]]]
"""Process, name, labels."""


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_million_events_leave_no_more_series_than_the_first_of_them(tmp_path: Path) -> None:
    settings = platform_settings(
        tmp_path,
        tasks={TASK: "tests.support.scales:Scales"},
        task_settings={
            TASK: TaskSettings.model_validate(TASK_RULES | {"retraining": TASK_RULES["retraining"] | MANUAL_TRIGGERS})
        },
    )
    async with run_processes(settings, only=PROCESSES) as supervisor:
        await supervisor.wait_ready(180)
        found = list[Series]()
        for share in (REQUESTS // 10, REQUESTS - REQUESTS // 10):
            await publish_all(settings, len(found), share)
            await wait_until(lambda: is_done(settings), 3000)
            found.append(await series(settings))
            events = sum(
                one.end for one in (await fetch_offset_ranges(settings, topics.archived_topics([TASK]))).values()
            )
            print(f"{events:,} events, {len(found[-1]):,} series")
    assert events >= EVENTS
    assert found[1] - found[0] == set()
    assert len(found[0]) > 500


async def publish_all(settings: Settings, part: int, requests: int) -> None:
    """Requests, each of another source and about another entity; one in five makes no sense, each in its own way."""
    numbers = iter(range(requests))
    while batch := list(islice(numbers, BATCH)):
        names = [f"{part}-{number}" for number in batch]
        await publish(settings, topics.requests(TASK), [asked(name) for name in names])
        await publish(settings, topics.feedback(TASK), list(said(names)))


def asked(name: str) -> OutgoingRecord:
    value = f"nonsense {name}" if is_nonsense(name) else "0 1.0"
    attributes = {"ce_id": name, "ce_source": f"shop-{name}", "ce_subject": f"thing-{name}"}
    return OutgoingRecord(
        value.encode(), name.encode(), tuple((header, is_it.encode()) for header, is_it in attributes.items())
    )


def said(names: list[str]) -> Iterator[OutgoingRecord]:
    for name in names:
        if not is_nonsense(name):
            given = FeedbackGiven(
                task=TASK, request_id=name, request_source=f"shop-{name}", correction={"weight": 1.0}, actor=f"a-{name}"
            )
            yield OutgoingRecord(given.model_dump_json().encode(), given.task_and_prediction[1].encode())


def is_nonsense(name: str) -> bool:
    return name.endswith(("0", "5"))


async def is_done(settings: Settings) -> bool:
    """Whether every group has committed all that there is."""
    await asyncio.sleep(2)
    lags = await fetch_deployment_lags(settings, 60)
    return not isinstance(lags, str) and not any(lag for of in lags.values() for lag in of.values())


async def series(settings: Settings) -> Series:
    return {
        (process, name, tuple(sorted(labels.items())))
        for process in PROCESSES
        for name, some in (await scrape_metrics(settings, process)).items()
        for labels in some
    }

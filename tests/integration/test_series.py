"""A million events, each of its own, leave no more series than the first tenth of them."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from app.events import topics
from app.events.types import FeedbackGiven
from app.kafka.lag import deployment_lags
from app.kafka.reader import held
from app.settings import Settings, TaskSettings
from tests.support.kafka_clients import Sent, publish
from tests.support.metrics_exposition import PROCESSES, exposed
from tests.support.platform import platform_settings, running
from tests.support.retraining_loop import BY_HAND, RULES, until

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
        task_settings={TASK: TaskSettings.model_validate(RULES | {"retraining": RULES["retraining"] | BY_HAND})},
    )
    async with running(settings, only=PROCESSES) as supervisor:
        await supervisor.wait_ready(180)
        found = list[Series]()
        for share in (REQUESTS // 10, REQUESTS - REQUESTS // 10):
            await publish_all(settings, len(found), share)
            await until(lambda: is_done(settings), 3000)
            found.append(await series(settings))
            events = sum(one.end for one in (await held(settings, topics.archived([TASK]))).values())
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


def asked(name: str) -> Sent:
    value = f"nonsense {name}" if is_nonsense(name) else "0 1.0"
    attributes = {"ce_id": name, "ce_source": f"shop-{name}", "ce_subject": f"thing-{name}"}
    return Sent(value.encode(), name.encode(), tuple((header, is_it.encode()) for header, is_it in attributes.items()))


def said(names: list[str]) -> Iterator[Sent]:
    for name in names:
        if not is_nonsense(name):
            given = FeedbackGiven(
                task=TASK, request_id=name, request_source=f"shop-{name}", correction={"weight": 1.0}, actor=f"a-{name}"
            )
            yield Sent(given.model_dump_json().encode(), given.about[1].encode())


def is_nonsense(name: str) -> bool:
    return name.endswith(("0", "5"))


async def is_done(settings: Settings) -> bool:
    """Whether every group has committed all that there is."""
    await asyncio.sleep(2)
    lags = await deployment_lags(settings, 60)
    return not isinstance(lags, str) and not any(lag for of in lags.values() for lag in of.values())


async def series(settings: Settings) -> Series:
    return {
        (process, name, tuple(sorted(labels.items())))
        for process in PROCESSES
        for name, some in (await exposed(settings, process)).items()
        for labels in some
    }

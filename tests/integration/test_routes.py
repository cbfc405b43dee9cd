"""Routes change under load: every request is answered once, by a version that the route has for its key."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import cycle, islice
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from app.events import topics
from app.kafka.producers import publish_all
from app.registry.changes import RegistryWriter
from app.registry.registry import TaskModels
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish
from tests.support.stack import Stack
from tests.support.tasks import Letters

CHANGES, SECONDS, RATE, AFTERWARDS = 100, 0.25, 200.0, 1500
PREDICTIONS, SHADOWS = topics.predictions("letters"), topics.shadow_predictions("letters")
WHY = ("a test", "test")


@pytest.mark.soak
async def test_100_changes_of_the_route_lose_no_request_and_answer_none_twice(stack: Stack) -> None:
    changes = RegistryWriter(stack.settings, Letters(), lambda record: publish_all(stack.settings, [record]))
    routes = [(await changes.promote("1", *WHY)).route]
    during = [_request(n) for n in range(round(CHANGES * SECONDS * RATE))]
    afterwards = [_request(n) for n in range(len(during), len(during) + AFTERWARDS)]
    async with open_topic_reader(stack.settings, PREDICTIONS, SHADOWS) as answers:
        load = asyncio.create_task(publish(stack.settings, topics.requests("letters"), during, RATE))
        for change in islice(cycle(_steps(changes)), CHANGES):
            routes.append((await change()).route)
            await asyncio.sleep(SECONDS)
        await load
        last = (await changes.canary("2", 0.25, *WHY)).route
        await answers.read_until(lambda found: len(_served(found)) >= len(during))
        await asyncio.sleep(1)
        await publish(stack.settings, topics.requests("letters"), afterwards, RATE)
        records = await answers.read_until(lambda found: len(_served(found)) >= len(during) + AFTERWARDS)
    await changes.promote("2", *WHY)

    served = _served(records)
    said = {header_text(one, "ce_id"): json.loads(one.value) for one in served}
    assert len(said) == len(served) == len({one["request_id"] for one in said.values()}) == len(during) + AFTERWARDS
    for one in served:
        assert _by(one) in {route.assign("letters", one.key) for route in [*routes, last]}
    assert {role for _, role in map(_by, served)} == {"champion", "canary"}
    assert {_by(one)[1] for one in records if one.topic == SHADOWS} == {"shadow"}

    # Who keeps the route keeps the version: each key has its own, and the canary its share of the keys.
    steady = [one for one in served if int(json.loads(one.value)["request_id"]) >= len(during)]
    assert [_by(one) for one in steady] == [last.assign("letters", one.key) for one in steady]
    alone = [_by(one)[1] == "canary" for one in steady if one.key.startswith(b"request")]
    assert abs(sum(alone) / len(alone) - 0.25) < 4 * (0.25 * 0.75 / len(alone)) ** 0.5


def _request(number: int) -> OutgoingRecord:
    """Every second request is of one of few entities."""
    key = f"entity-{number % 40}" if number % 2 else f"request-{number}"
    return OutgoingRecord(b"abc", key.encode(), (("ce_id", str(number).encode()), ("ce_source", b"routes")))


def _served(records: list[ConsumerRecord]) -> list[ConsumerRecord]:
    return [one for one in records if one.topic == PREDICTIONS and header_text(one, "ce_requestsource") == "routes"]


def _by(record: ConsumerRecord) -> tuple[str, str]:
    said = json.loads(record.value)
    return said["model"]["version"], said["role"]


def _steps(changes: RegistryWriter) -> list[Callable[[], Coroutine[Any, Any, TaskModels]]]:
    """From champion 1 through all that can be done, and back to champion 1."""
    return [
        lambda: changes.shadow("2", *WHY),
        lambda: changes.canary("2", 0.05, *WHY),
        lambda: changes.canary("2", 0.25, *WHY),
        lambda: changes.canary("2", 0.5, *WHY),
        lambda: changes.promote("2", *WHY),
        lambda: changes.canary("1", 0.5, *WHY),
        lambda: changes.roll_back(None, *WHY),
        lambda: changes.roll_back(None, *WHY),
        lambda: changes.shadow("2", *WHY),
        lambda: changes.roll_back("2", *WHY),
    ]

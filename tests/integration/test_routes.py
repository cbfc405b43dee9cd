"""Routes change under load: every request is answered once, by a version that a route assigns to its key."""

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
REASON_AND_ACTOR = ("a test", "test")


@pytest.mark.soak
async def test_no_request_is_lost_or_answered_twice_in_100_changes_of_the_route(stack: Stack) -> None:
    changes = RegistryWriter(stack.settings, Letters(), lambda record: publish_all(stack.settings, [record]))
    routes = [(await changes.promote("1", *REASON_AND_ACTOR)).route]
    during = [_make_request(number) for number in range(round(CHANGES * SECONDS * RATE))]
    afterwards = [_make_request(number) for number in range(len(during), len(during) + AFTERWARDS)]
    async with open_topic_reader(stack.settings, PREDICTIONS, SHADOWS) as answers:
        load = asyncio.create_task(publish(stack.settings, topics.requests("letters"), during, RATE))
        for change in islice(cycle(_steps(changes)), CHANGES):
            routes.append((await change()).route)
            await asyncio.sleep(SECONDS)
        await load
        last = (await changes.canary("2", 0.25, *REASON_AND_ACTOR)).route
        await answers.read_until(lambda records: len(_served(records)) >= len(during))
        await asyncio.sleep(1)
        await publish(stack.settings, topics.requests("letters"), afterwards, RATE)
        records = await answers.read_until(lambda records: len(_served(records)) >= len(during) + AFTERWARDS)
    await changes.promote("2", *REASON_AND_ACTOR)

    served = _served(records)
    predictions = {header_text(record, "ce_id"): json.loads(record.value) for record in served}
    request_ids = {prediction["request_id"] for prediction in predictions.values()}
    assert len(predictions) == len(served) == len(request_ids) == len(during) + AFTERWARDS
    for record in served:
        assert _version_and_role(record) in {route.assign("letters", record.key) for route in [*routes, last]}
    assert {role for _, role in map(_version_and_role, served)} == {"champion", "canary"}
    assert {_version_and_role(record)[1] for record in records if record.topic == SHADOWS} == {"shadow"}

    # Under an unchanged route each key keeps its version, and the canary has its share of the keys.
    steady = [record for record in served if int(json.loads(record.value)["request_id"]) >= len(during)]
    assert [_version_and_role(record) for record in steady] == [last.assign("letters", record.key) for record in steady]
    is_canary = [_version_and_role(record)[1] == "canary" for record in steady if record.key.startswith(b"request")]
    assert abs(sum(is_canary) / len(is_canary) - 0.25) < 4 * (0.25 * 0.75 / len(is_canary)) ** 0.5


def _make_request(number: int) -> OutgoingRecord:
    """Return a request; every second one has the key of one of few entities."""
    key = f"entity-{number % 40}" if number % 2 else f"request-{number}"
    return OutgoingRecord(b"abc", key.encode(), (("ce_id", str(number).encode()), ("ce_source", b"routes")))


def _served(records: list[ConsumerRecord]) -> list[ConsumerRecord]:
    return [
        record
        for record in records
        if record.topic == PREDICTIONS and header_text(record, "ce_requestsource") == "routes"
    ]


def _version_and_role(record: ConsumerRecord) -> tuple[str, str]:
    prediction = json.loads(record.value)
    return prediction["model"]["version"], prediction["role"]


def _steps(changes: RegistryWriter) -> list[Callable[[], Coroutine[Any, Any, TaskModels]]]:
    """Return changes of every kind, from champion 1 back to champion 1."""
    return [
        lambda: changes.shadow("2", *REASON_AND_ACTOR),
        lambda: changes.canary("2", 0.05, *REASON_AND_ACTOR),
        lambda: changes.canary("2", 0.25, *REASON_AND_ACTOR),
        lambda: changes.canary("2", 0.5, *REASON_AND_ACTOR),
        lambda: changes.promote("2", *REASON_AND_ACTOR),
        lambda: changes.canary("1", 0.5, *REASON_AND_ACTOR),
        lambda: changes.roll_back(None, *REASON_AND_ACTOR),
        lambda: changes.roll_back(None, *REASON_AND_ACTOR),
        lambda: changes.shadow("2", *REASON_AND_ACTOR),
        lambda: changes.roll_back("2", *REASON_AND_ACTOR),
    ]

"""Mutated requests of all tasks through a running platform: each is answered, once, and nothing else happens."""

import asyncio
import os
import statistics
from collections import Counter
from itertools import islice

import psutil
import pytest

from app import tasks
from app.events import topics
from app.events.cloudevents import Origin
from app.events.ids import prediction_id
from app.kafka.topic_ids import fetch_topic_ids
from app.settings import MiB
from models.base import Task
from tests.support.fuzz import Mutant, generate_mutants
from tests.support.kafka_clients import OutgoingRecord, event_id, open_topic_reader, publish
from tests.support.platform import read_pids
from tests.support.stack import Stack

BLOCK = 2_000
RATE = 160.0
"""Records a second, of all tasks together."""
MUTANTS = int(os.environ.get("HINDSIGHT_FUZZ", "100000"))
SEED = int(os.environ.get("HINDSIGHT_FUZZ_SEED", "1"))


async def test_2000_mutants_are_answered_once_each_and_no_process_restarts(stack: Stack) -> None:
    before = read_pids(stack.settings)
    known = _tasks(stack)
    await _answered_once_each(stack, list(islice(generate_mutants(known, seed=1), BLOCK)))
    assert read_pids(stack.settings) == before


@pytest.mark.soak
@pytest.mark.timeout(7_200)
async def test_100000_mutants_are_answered_once_each_and_memory_stays_as_it_is(stack: Stack) -> None:
    before = read_pids(stack.settings)
    stream = generate_mutants(_tasks(stack), SEED)
    held = []
    for _ in range(max(1, MUTANTS // BLOCK)):
        await _answered_once_each(stack, list(islice(stream, BLOCK)))
        held.append(_memory(stack))
        assert read_pids(stack.settings) == before
    quarter = len(held) // 4
    if quarter:  # after the first, in which caches fill
        first, last = (
            statistics.median(sum(one.values()) for one in held[start : start + quarter])
            for start in (quarter, len(held) - quarter)
        )
        assert last < 1.1 * first, held


def _tasks(stack: Stack) -> dict[str, Task]:
    return {name: task for name, task in tasks.load_tasks(stack.settings).items() if name != "letters"}


async def _answered_once_each(stack: Stack, block: list[Mutant]) -> None:
    """Send a block, and read until each has its answer; then nothing else has been answered, and none twice."""
    by_task = {name: [one for one in block if one.task == name] for name in {one.task for one in block}}
    epochs = await fetch_topic_ids(stack.settings, [topics.requests(name) for name in by_task])
    sent = Counter[str]()
    async with open_topic_reader(stack.settings, *map(topics.predictions, by_task)) as answers:
        for name, placed in zip(
            by_task, await asyncio.gather(*(_sent(stack, *one) for one in by_task.items())), strict=True
        ):
            topic = topics.requests(name)
            for mutant, (partition, offset) in zip(by_task[name], placed, strict=True):
                origin = Origin(epochs[topic], topic, partition, offset, 0)
                unique = prediction_id(name, *mutant.request_identity(origin))
                sent[unique] += mutant.session is None or not sent[unique]
        await answers.read_until(lambda read: sent.keys() <= {event_id(record) for record in read}, 180)
        found = Counter(event_id(record) for record in answers.records if not _partial(dict(record.headers), sent))
    assert not found.keys() - sent.keys()
    assert all(1 <= found[unique] <= times for unique, times in sent.items())


def _partial(headers: dict[str, bytes], sent: Counter[str]) -> bool:
    """Whether an answer is of a session so far, which no mutant asked for."""
    return "ce_partial" in headers and headers["ce_id"].decode() not in sent


async def _sent(stack: Stack, name: str, block: list[Mutant]) -> list[tuple[int, int]]:
    """Publish the mutants of a task; where each stands."""
    records = [OutgoingRecord(one.value, one.key, one.headers) for one in block]
    metadata = await publish(stack.settings, topics.requests(name), records, RATE / 4)
    return [(one.partition, one.offset) for one in metadata]


def _memory(stack: Stack) -> dict[str, float]:
    """MiB of each process of the platform, with its children."""
    found = {}
    for name, pid in read_pids(stack.settings).items():
        process = psutil.Process(pid)
        found[name] = sum(one.memory_full_info().pss for one in (process, *process.children(recursive=True))) / MiB
    return found

"""Mutated requests of all tasks on a running platform: each is answered once, and nothing else happens."""

import asyncio
import os
import statistics
from collections import Counter
from collections.abc import Iterator
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
"""Records per second, of all tasks together."""
MUTANTS = int(os.environ.get("HINDSIGHT_FUZZ", "100000"))
SEED = int(os.environ.get("HINDSIGHT_FUZZ_SEED", "1"))


async def test_2000_mutants_are_answered_once_each_and_no_process_restarts(stack: Stack) -> None:
    before = read_pids(stack.settings)
    await _check_answers(stack, _take_block(generate_mutants(_tasks(stack), seed=1)))
    assert read_pids(stack.settings) == before


@pytest.mark.soak
@pytest.mark.timeout(7_200)
async def test_100000_mutants_are_answered_once_each_and_memory_does_not_grow(stack: Stack) -> None:
    before = read_pids(stack.settings)
    stream = generate_mutants(_tasks(stack), SEED)
    memory = []
    for _ in range(max(1, MUTANTS // BLOCK)):
        await _check_answers(stack, _take_block(stream))
        memory.append(_memory_mib(stack))
        assert read_pids(stack.settings) == before
    quarter = len(memory) // 4
    if quarter:  # the first quarter, in which caches fill, does not count
        first, last = (
            statistics.median(sum(mib.values()) for mib in memory[start : start + quarter])
            for start in (quarter, len(memory) - quarter)
        )
        assert last < 1.1 * first, memory


def _tasks(stack: Stack) -> dict[str, Task]:
    return {name: task for name, task in tasks.load_tasks(stack.settings).items() if name != "letters"}


def _take_block(stream: Iterator[Mutant]) -> list[Mutant]:
    """Take the next mutants, up to the end of a session: without its final chunk it is answered minutes later."""
    block = list(islice(stream, BLOCK))
    while block[-1].session is not None and ("ce_final", b"true") not in block[-1].headers:
        block.append(next(stream))
    return block


async def _check_answers(stack: Stack, block: list[Mutant]) -> None:
    """Publish a block, and check that each mutant is answered, none too often, and nothing else."""
    by_task = {name: [mutant for mutant in block if mutant.task == name] for name in {mutant.task for mutant in block}}
    topic_ids = await fetch_topic_ids(stack.settings, [topics.requests(name) for name in by_task])
    expected = Counter[str]()
    async with open_topic_reader(stack.settings, *map(topics.predictions, by_task)) as answers:
        positions = await asyncio.gather(*(_publish(stack, name, mutants) for name, mutants in by_task.items()))
        for (name, mutants), task_positions in zip(by_task.items(), positions, strict=True):
            topic = topics.requests(name)
            for mutant, (partition, offset) in zip(mutants, task_positions, strict=True):
                origin = Origin(topic_ids[topic], topic, partition, offset, 0)
                id = prediction_id(name, *mutant.request_identity(origin))
                expected[id] += mutant.session is None or not expected[id]
        await answers.read_until(lambda records: expected.keys() <= {event_id(record) for record in records}, 180)
        counts = Counter(
            event_id(record) for record in answers.records if not _is_partial(dict(record.headers), expected)
        )
    assert not counts.keys() - expected.keys()
    assert all(1 <= counts[id] <= times for id, times in expected.items())


def _is_partial(headers: dict[str, bytes], expected: Counter[str]) -> bool:
    """Return whether an answer is a partial one of a session, which answers no mutant."""
    return "ce_partial" in headers and headers["ce_id"].decode() not in expected


async def _publish(stack: Stack, name: str, mutants: list[Mutant]) -> list[tuple[int, int]]:
    """Publish the mutants of a task; return the partition and offset of each."""
    records = [OutgoingRecord(mutant.value, mutant.key, mutant.headers) for mutant in mutants]
    confirmations = await publish(stack.settings, topics.requests(name), records, RATE / 4)
    return [(metadata.partition, metadata.offset) for metadata in confirmations]


def _memory_mib(stack: Stack) -> dict[str, float]:
    """Return the memory of each process of the platform, with its children."""
    memory = {}
    for name, pid in read_pids(stack.settings).items():
        root = psutil.Process(pid)
        processes = (root, *root.children(recursive=True))
        memory[name] = sum(process.memory_full_info().pss for process in processes) / MiB
    return memory

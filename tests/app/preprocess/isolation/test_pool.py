import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.events.cloudevents import Origin, TopicId
from app.preprocess.isolation.pool import MAX_DEFERRED, WorkerPool, WorkItem
from app.preprocess.isolation.worker_process import WorkerUnstartable
from app.preprocess.preprocessor import PreprocessResult
from app.settings import Settings
from models.base import Rejected

OFFSETS = itertools.count()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    made = WorkerPool(settings(tmp_path), "unruly")
    yield made
    made.close()


def settings(home: Path, **values: Any) -> Settings:
    known: dict[str, Any] = {"tasks": {"unruly": "tests.support.unruly:Unruly"}, "preprocess_deadline_seconds": 2.0}
    made: dict[str, Any] = {"home": home, "preprocess_memory_mib": 300} | known | values
    return Settings(**made)


def job(payload: bytes, **headers: str) -> WorkItem:
    origin = Origin(TopicId("c/t"), "unruly.requests", 0, next(OFFSETS), 0)
    return WorkItem(origin, b"key", payload, tuple((f"ce_{name}", text.encode()) for name, text in headers.items()))


def until_answered(pool: WorkerPool, asked: WorkItem, seconds: float = 30.0) -> PreprocessResult:
    deadline = time.monotonic() + seconds
    while (outputs := pool.poll(asked)) is None:
        assert time.monotonic() < deadline, "it is not answered"
        time.sleep(0.02)
    return outputs


def workers() -> set[int]:
    """The worker processes of this test process, whose other children are other tests'."""
    found = psutil.Process().children()
    alive = [child for child in found if child.status() != psutil.STATUS_ZOMBIE]
    return {child.pid for child in alive if "app.preprocess.worker_main" in child.cmdline()}


def test_a_payload_comes_back_as_features(pool: WorkerPool) -> None:
    [features] = pool.run_to_completion(job(b"abc")).records
    assert (features.topic, features.key, features.value) == ("unruly.features", b"key", b"abc")


def test_a_payload_that_cannot_be_read_is_a_dead_letter_and_an_answer(pool: WorkerPool) -> None:
    outputs = pool.run_to_completion(job("ü".encode()))
    assert [record.topic for record in outputs.records] == ["dead-letters", "unruly.predictions"]
    assert outputs.rejection is not None
    assert outputs.rejection.code == "not_ascii"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"sleep", "preprocess_timeout"),
        (b"hold the lock", "preprocess_timeout"),
        (b"exit", "kills_process"),
        (b"die", "kills_process"),
        (b"allocate", "out_of_memory"),
    ],
)
def test_a_payload_that_takes_its_process_along_is_refused_and_answered(
    pool: WorkerPool, payload: bytes, code: str
) -> None:
    outputs = pool.run_to_completion(job(payload, id="r-1", source="shop"))
    letter, answer = outputs.records
    assert (letter.topic, letter.value) == ("dead-letters", payload)
    said = json.loads(answer.value or b"")
    assert (said["request_id"], said["error"]["code"]) == ("r-1", code)
    assert pool.run_to_completion(job(b"abc")).rejection is None


def test_others_are_answered_while_one_takes_long(pool: WorkerPool) -> None:
    pool.run_to_completion(job(b"abc"))
    slow = job(b"nap")
    assert pool.run(slow) is None
    for _ in range(10):
        assert pool.run_to_completion(job(b"abc")).rejection is None
    [features] = until_answered(pool, slow).records
    assert features.value == b"nap"


def test_payloads_that_hang_are_refused_one_by_one_and_cost_no_other(pool: WorkerPool) -> None:
    pool.run_to_completion(job(b"abc"))
    hanging = [job(b"hold the lock") for _ in range(MAX_DEFERRED)]
    assert [pool.run(each) for each in hanging] == [None] * MAX_DEFERRED
    assert pool.run_to_completion(job(b"abc")).rejection is None
    answers: dict[str, PreprocessResult] = {}
    deadline = time.monotonic() + 60
    while len(answers) < len(hanging):
        assert time.monotonic() < deadline, "they are not answered"
        for each in hanging:
            if each.position not in answers and (outputs := pool.poll(each)) is not None:
                answers[each.position] = outputs
        time.sleep(0.02)
    assert {outputs.rejection and outputs.rejection.code for outputs in answers.values()} == {"preprocess_timeout"}


def test_one_more_than_may_be_deferred_is_waited_for(pool: WorkerPool) -> None:
    pool.run_to_completion(job(b"abc"))
    hanging = [job(b"sleep") for _ in range(MAX_DEFERRED)]
    assert [pool.run(each) for each in hanging] == [None] * MAX_DEFERRED
    outputs = pool.run(job(b"nap"))
    assert outputs is not None
    assert outputs.rejection is None


def test_what_an_earlier_pool_deferred_is_begun_anew(pool: WorkerPool) -> None:
    [features] = until_answered(pool, job(b"abc")).records
    assert features.value == b"abc"


def test_an_idle_worker_that_was_killed_costs_no_payload(pool: WorkerPool) -> None:
    pool.run_to_completion(job(b"abc"))
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    assert pool.run_to_completion(job(b"abc")).rejection is None


def test_a_stopped_worker_is_replaced(pool: WorkerPool) -> None:
    pool.run_to_completion(job(b"abc"))
    for pid in workers():
        os.kill(pid, signal.SIGSTOP)
    assert pool.run_to_completion(job(b"abc")).rejection is None


def test_a_session_that_takes_its_process_along_is_refused(pool: WorkerPool) -> None:
    assert pool.assemble([b"a", b"b"]) == b"ab"
    for chunk, code in ((b"exit", "kills_process"), (b"sleep", "preprocess_timeout")):
        with pytest.raises(Rejected) as refused:
            pool.assemble([chunk])
        assert refused.value.code == code
    assert pool.assemble([b"c"]) == b"c"


def test_a_task_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    pool = WorkerPool(settings(tmp_path, tasks={"unruly": "tests.support.nowhere:Unruly"}), "unruly")
    with pytest.raises(WorkerUnstartable):
        pool.run_to_completion(job(b"abc"))
    pool.close()


def test_a_closed_pool_leaves_no_process(tmp_path: Path) -> None:
    before = workers()
    pool = WorkerPool(settings(tmp_path), "unruly")
    pool.run_to_completion(job(b"abc"))
    assert pool.run(job(b"sleep")) is None
    pool.close()
    assert workers() == before


def test_workers_end_with_their_pool_even_if_it_is_killed(tmp_path: Path) -> None:
    pool = WorkerPool(settings(tmp_path), "unruly")
    pool.run_to_completion(job(b"abc"))
    [worker] = pool._idle
    worker._channel.close()  # what the kernel does for a process that is killed
    assert worker._process.wait(10) == 0
    pool.close()

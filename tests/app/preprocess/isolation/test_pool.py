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
from app.preprocess.isolation import pool as isolation_pool
from app.preprocess.isolation.pool import WorkerPool
from app.preprocess.isolation.work_item import WorkItem
from app.preprocess.isolation.worker_process import WorkerUnstartable
from app.preprocess.preprocessor import PreprocessResult
from app.settings import Settings
from models.base import Rejected

OFFSETS = itertools.count()
MAX_DEFERRED = 2


@pytest.fixture(autouse=True)
def few_deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limit, because each payload that hangs needs three workers."""
    monkeypatch.setattr(isolation_pool, "MAX_DEFERRED", MAX_DEFERRED)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """A pool for all tests that leave no payload behind: it survives any of them."""
    worker_pool = WorkerPool(settings(tmp_path_factory.mktemp("pool")), "unruly")
    yield worker_pool
    worker_pool.close()


@pytest.fixture
def new_pool(tmp_path: Path) -> Iterator[WorkerPool]:
    """A pool with one worker."""
    worker_pool = WorkerPool(settings(tmp_path), "unruly")
    yield worker_pool
    worker_pool.close()


def settings(home: Path, **values: Any) -> Settings:
    defaults: dict[str, Any] = {
        "home": home,
        "tasks": {"unruly": "tests.support.unruly:Unruly"},
        "preprocess_deadline_seconds": 1.0,
        "preprocess_memory_mib": 300,
    }
    return Settings(**(defaults | values))


def item(payload: bytes, **headers: str) -> WorkItem:
    origin = Origin(TopicId("c/t"), "unruly.requests", 0, next(OFFSETS), 0)
    return WorkItem(origin, b"key", payload, tuple((f"ce_{name}", text.encode()) for name, text in headers.items()))


def poll_until_answered(pool: WorkerPool, work_item: WorkItem, seconds: float = 30.0) -> PreprocessResult:
    deadline = time.monotonic() + seconds
    while (result := pool.poll(work_item)) is None:
        assert time.monotonic() < deadline, "it is not answered"
        time.sleep(0.02)
    return result


def worker_pids() -> set[int]:
    """Return the worker processes among this process's children, which other tests may have started too."""
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return {child.pid for child in alive if "app.preprocess.worker_main" in child.cmdline()}


def test_a_payload_becomes_features(pool: WorkerPool) -> None:
    [features] = pool.run_to_completion(item(b"abc")).records
    assert (features.topic, features.key, features.value) == ("unruly.features", b"key", b"abc")


def test_a_payload_that_cannot_be_read_is_a_dead_letter_and_an_answer(pool: WorkerPool) -> None:
    result = pool.run_to_completion(item("ü".encode()))
    assert [record.topic for record in result.records] == ["dead-letters", "unruly.predictions"]
    assert result.rejection is not None
    assert result.rejection.code == "not_ascii"


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
def test_a_payload_that_kills_or_hangs_its_process_is_refused_and_answered(
    pool: WorkerPool, payload: bytes, code: str
) -> None:
    result = pool.run_to_completion(item(payload, id="r-1", source="shop"))
    letter, answer = result.records
    assert (letter.topic, letter.value) == ("dead-letters", payload)
    failure = json.loads(answer.value or b"")
    assert (failure["request_id"], failure["error"]["code"]) == ("r-1", code)
    assert pool.run_to_completion(item(b"abc")).rejection is None


def test_other_payloads_are_answered_while_one_takes_long(pool: WorkerPool) -> None:
    pool.run_to_completion(item(b"abc"))
    slow = item(b"nap")
    assert pool.run(slow) is None
    for _ in range(10):
        assert pool.run_to_completion(item(b"abc")).rejection is None
    [features] = poll_until_answered(pool, slow).records
    assert features.value == b"nap"


def test_payloads_that_hang_are_refused_and_affect_no_other(pool: WorkerPool) -> None:
    pool.run_to_completion(item(b"abc"))
    hanging = [item(b"hold the lock") for _ in range(MAX_DEFERRED)]
    assert [pool.run(work_item) for work_item in hanging] == [None] * MAX_DEFERRED
    assert pool.run_to_completion(item(b"abc")).rejection is None
    answers: dict[str, PreprocessResult] = {}
    deadline = time.monotonic() + 60
    while len(answers) < len(hanging):
        assert time.monotonic() < deadline, "they are not answered"
        for work_item in hanging:
            if work_item.position not in answers and (result := pool.poll(work_item)) is not None:
                answers[work_item.position] = result
        time.sleep(0.02)
    assert {result.rejection and result.rejection.code for result in answers.values()} == {"preprocess_timeout"}


def test_run_waits_for_a_payload_if_no_more_can_be_deferred(new_pool: WorkerPool) -> None:
    new_pool.run_to_completion(item(b"abc"))
    hanging = [item(b"sleep") for _ in range(MAX_DEFERRED)]
    assert [new_pool.run(work_item) for work_item in hanging] == [None] * MAX_DEFERRED
    result = new_pool.run(item(b"nap"))
    assert result is not None
    assert result.rejection is None


def test_a_batch_is_answered_in_order(pool: WorkerPool) -> None:
    payloads = [b"%d" % number for number in range(20)]
    results = list(pool.run_batch([item(payload) for payload in payloads]))
    assert [record.value for result in results if result for record in result.records] == payloads


@pytest.mark.parametrize("payload", [b"exit", b"die", "ü".encode()])
def test_a_payload_that_kills_its_process_or_cannot_be_read_fails_alone_in_its_batch(
    pool: WorkerPool, payload: bytes
) -> None:
    results = list(pool.run_batch([item(b"a"), item(payload), item(b"b"), item(b"c")]))
    assert [result and result.rejection is None for result in results] == [True, False, True, True]


def test_a_payload_that_takes_long_is_deferred_alone_and_its_batch_is_answered(pool: WorkerPool) -> None:
    pool.run_to_completion(item(b"abc"))
    batch = [item(b"a"), item(b"nap"), item(b"b"), item(b"c")]
    results = list(pool.run_batch(batch))
    assert [result is None for result in results] == [False, True, False, False]
    assert poll_until_answered(pool, batch[1]).rejection is None


def test_a_worker_that_was_late_with_a_batch_ends_it_early_and_is_used_again(pool: WorkerPool) -> None:
    pool.run_to_completion(item(b"abc"))
    [*_, late] = pool._workers.idle
    assert [result is None for result in pool.run_batch([item(b"nap"), item(b"a")])] == [True, False]
    deadline = time.monotonic() + 30
    while late not in pool._workers.idle:
        assert time.monotonic() < deadline, "it does not come back"
        pool.run_to_completion(item(b"abc"))
        time.sleep(0.02)


def test_results_of_a_long_batch_come_while_it_runs(pool: WorkerPool) -> None:
    pool.run_to_completion(item(b"abc"))
    [*_, worker] = pool._workers.idle
    results = pool.run_batch([item(b"doze") for _ in range(6)])
    assert next(results) is not None
    assert worker not in pool._workers.idle
    assert len([result for result in results if result is not None]) == 5
    assert worker in pool._workers.idle


def test_a_payload_that_an_earlier_pool_deferred_is_started_again(pool: WorkerPool) -> None:
    [features] = poll_until_answered(pool, item(b"abc")).records
    assert features.value == b"abc"


def test_killing_an_idle_worker_fails_no_payload(pool: WorkerPool) -> None:
    pool.run_to_completion(item(b"abc"))
    next_worker = pool._workers.idle[-1]
    os.kill(next_worker._process.pid, signal.SIGKILL)
    assert pool.run_to_completion(item(b"abc")).rejection is None
    assert next_worker not in pool._workers.idle


def test_a_stopped_worker_is_replaced(pool: WorkerPool) -> None:
    pool.run_to_completion(item(b"abc"))
    next_worker = pool._workers.idle[-1]
    os.kill(next_worker._process.pid, signal.SIGSTOP)
    assert pool.run_to_completion(item(b"abc")).rejection is None
    assert next_worker not in pool._workers.idle


def test_a_session_that_kills_or_hangs_its_process_is_refused(pool: WorkerPool) -> None:
    assert pool.assemble([b"a", b"b"]) == b"ab"
    for chunk, code in ((b"exit", "kills_process"), (b"sleep", "preprocess_timeout")):
        with pytest.raises(Rejected) as error:
            pool.assemble([chunk])
        assert error.value.code == code
    assert pool.assemble([b"c"]) == b"c"


def test_a_task_that_cannot_be_loaded_raises_worker_unstartable(tmp_path: Path) -> None:
    pool = WorkerPool(settings(tmp_path, tasks={"unruly": "tests.support.nowhere:Unruly"}), "unruly")
    with pytest.raises(WorkerUnstartable):
        pool.run_to_completion(item(b"abc"))
    pool.close()


def test_a_closed_pool_leaves_no_process(tmp_path: Path) -> None:
    before = worker_pids()
    pool = WorkerPool(settings(tmp_path), "unruly")
    pool.run_to_completion(item(b"abc"))
    assert pool.run(item(b"sleep")) is None
    pool.close()
    assert worker_pids() == before


def test_workers_end_with_their_pool_even_if_it_is_killed(tmp_path: Path) -> None:
    pool = WorkerPool(settings(tmp_path), "unruly")
    pool.run_to_completion(item(b"abc"))
    [worker] = pool._workers.idle
    worker._channel.close()  # what the kernel does for a process that is killed
    assert worker._process.wait(10) == 0
    pool.close()


def test_a_header_without_a_value_is_no_expiry_time(pool: WorkerPool) -> None:
    without_value: Any = (("ce_expirytime", None), ("ce_session", None))
    sent = item(b"fine")
    result = pool.run_to_completion(WorkItem(sent.origin, sent.key, sent.value, without_value))
    assert result.rejection is None


def test_a_request_that_waited_too_long_is_refused_unread_but_not_the_chunk_of_a_session(tmp_path: Path) -> None:
    bounded = WorkerPool(settings(tmp_path, task_settings={"unruly": {"max_wait_seconds": 60}}), "unruly")
    try:
        refused, chunk = bounded.run_to_completion(item(b"fine")), bounded.run_to_completion(item(b"fine", session="s"))
    finally:
        bounded.close()
    assert refused.rejection is not None and refused.rejection.code == "expired"
    assert [record.topic for record in refused.records] == ["dead-letters", "unruly.predictions"]
    assert chunk.rejection is None

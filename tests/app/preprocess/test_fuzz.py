"""Every record on a requests topic becomes features, or a dead letter and an answer, in bounded time."""

import time
from collections import Counter
from functools import partial
from itertools import islice

from app import tasks
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.types import PredictionFailed
from app.inference.handler import read_features
from app.preprocess.preprocessor import Preprocessor
from app.preprocess.sessions.assembler import SessionAssembler, assemble_chunks, session_limits
from app.settings import Settings
from models.base import Rejected
from tests.app.preprocess.sessions.test_assembler import InMemorySessionStore
from tests.support.fuzz import generate_mutants

MUTANTS = 5_000
CPU_SECONDS = 5.0
"""Limit for one mutant: far more than any needs, far less than a decompression bomb takes."""
SETTINGS = Settings()
TASKS = tasks.load_tasks(SETTINGS)
NOW = 1_769_860_800_123


def fetch_nothing(uri: str, limit: int) -> bytes:
    raise Rejected("blob_missing", f"there is no {uri[:100]}")


def origin_at(task: str, offset: int) -> Origin:
    return Origin(TopicId("cluster/topic"), topics.requests(task), 0, offset, NOW)


def disposition_of(task: str, output: Record, expected_id: str) -> str:
    """Return `read` for features, or the code of a failure."""
    assert dict(output.headers)["ce_id"] == expected_id.encode()
    if output.topic == topics.features(task):
        read_features(ConsumedRecord(origin_at(task, 0), output.key, output.value, output.headers))
        return "read"
    answer = PredictionFailed.model_validate_json(output.value or b"")
    assert answer.prediction_id == expected_id
    return answer.error.code


def test_each_mutated_request_is_answered_in_bounded_time_and_none_is_an_error_of_its_task() -> None:
    limit = topics.max_features_bytes(SETTINGS)
    preprocessors = {name: Preprocessor(task, fetch_nothing, limit) for name, task in TASKS.items()}
    dispositions = Counter[tuple[str, str]]()
    for offset, mutant in enumerate(islice(generate_mutants(TASKS, seed=1), MUTANTS)):
        if mutant.session is None:
            origin, started = origin_at(mutant.task, offset), time.process_time()
            result = preprocessors[mutant.task](origin, mutant.key, mutant.value, mutant.headers)
            assert time.process_time() - started < CPU_SECONDS, offset
            expected_id = prediction_id(mutant.task, *mutant.request_identity(origin))
            dispositions[mutant.task, disposition_of(mutant.task, result.records[-1], expected_id)] += 1
    assert {task for task, code in dispositions if code == "read"} == TASKS.keys()
    assert not [task for task, code in dispositions if code == "preprocess_error"]


def test_each_session_of_mutated_chunks_becomes_one_request() -> None:
    assemblers = {
        name: SessionAssembler(name, partial(assemble_chunks, task), fetch_nothing, session_limits(SETTINGS, task))
        for name, task in TASKS.items()
    }
    stores: dict[tuple[str, str], InMemorySessionStore] = {}
    request_counts = Counter[tuple[str, str]]()
    for offset, mutant in enumerate(islice(generate_mutants(TASKS, seed=2), MUTANTS)):
        if mutant.session is not None:
            session = (mutant.task, mutant.session)
            store = stores.setdefault(session, InMemorySessionStore())
            origin = origin_at(mutant.task, offset)
            requests = assemblers[mutant.task].on_chunk(origin, mutant.key, mutant.value, mutant.headers, store, NOW)
            request_counts[session] += len(requests)
    for (task, name), store in stores.items():
        requests = assemblers[task].on_time("fuzz", name, store, NOW + 3_600_000)
        request_counts[task, name] += len(requests)
    assert set(request_counts.values()) == {1}
    assert len(request_counts) == len(stores) > 10

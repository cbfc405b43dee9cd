"""Whatever comes on a requests topic becomes features, or a dead letter and an answer, in bounded time."""

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
from tests.app.preprocess.sessions.test_assembler import Kept
from tests.support.fuzz import generate_mutants

MUTANTS = 5_000
CPU_SECONDS = 5.0
"""Of one mutant: far more than any takes, far less than a bomb."""
SETTINGS = Settings()
TASKS = tasks.load_tasks(SETTINGS)
NOW = 1_769_860_800_123


def nowhere(uri: str, limit: int) -> bytes:
    raise Rejected("blob_missing", f"there is no {uri[:100]}")


def placed(task: str, offset: int) -> Origin:
    return Origin(TopicId("cluster/topic"), topics.requests(task), 0, offset, NOW)


def outcome(task: str, answer: Record, unique: str) -> str:
    """What became of a request: `read`, or the code of its failure."""
    assert dict(answer.headers)["ce_id"] == unique.encode()
    if answer.topic == topics.features(task):
        read_features(ConsumedRecord(placed(task, 0), answer.key, answer.value, answer.headers))
        return "read"
    said = PredictionFailed.model_validate_json(answer.value or b"")
    assert said.prediction_id == unique
    return said.error.code


def test_each_mutant_is_answered_and_none_takes_long_or_finds_a_fault_of_a_task() -> None:
    limit = topics.max_features_bytes(SETTINGS)
    preprocessors = {name: Preprocessor(task, nowhere, limit) for name, task in TASKS.items()}
    outcomes = Counter[tuple[str, str]]()
    for offset, mutant in enumerate(islice(generate_mutants(TASKS, seed=1), MUTANTS)):
        if mutant.session is None:
            origin, started = placed(mutant.task, offset), time.process_time()
            outputs = preprocessors[mutant.task](origin, mutant.key, mutant.value, mutant.headers)
            assert time.process_time() - started < CPU_SECONDS, offset
            unique = prediction_id(mutant.task, *mutant.request_identity(origin))
            outcomes[mutant.task, outcome(mutant.task, outputs.records[-1], unique)] += 1
    assert {task for task, code in outcomes if code == "read"} == TASKS.keys()
    assert not [task for task, code in outcomes if code == "preprocess_error"]


def test_each_session_of_mutated_chunks_is_one_request() -> None:
    assemblers = {
        name: SessionAssembler(name, partial(assemble_chunks, task), nowhere, session_limits(SETTINGS, task))
        for name, task in TASKS.items()
    }
    kept: dict[tuple[str, str], Kept] = {}
    ended = Counter[tuple[str, str]]()
    for offset, mutant in enumerate(islice(generate_mutants(TASKS, seed=2), MUTANTS)):
        if mutant.session is not None:
            name, state = (mutant.task, mutant.session), kept.setdefault((mutant.task, mutant.session), Kept())
            place = placed(mutant.task, offset)
            made = assemblers[mutant.task].on_chunk(place, mutant.key, mutant.value, mutant.headers, state, NOW)
            ended[name] += len(made)
    for (task, session), state in kept.items():
        made = assemblers[task].on_time("fuzz", session, state, NOW + 3_600_000)
        ended[task, session] += len(made)
    assert set(ended.values()) == {1}
    assert len(ended) == len(kept) > 10

"""The memory of corrections, and the handler that serves from it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.events.ids import prediction_id
from app.events.types import OutcomeRecorded, PredictionMade
from app.inference import memory
from app.inference.handler import InferenceHandler, read_features
from app.inference.memory import CorrectionMemory, input_digest
from app.preprocess.preprocessor import Preprocessor
from app.registry.routes import Route
from app.settings import Settings, TaskSettings
from models.base import Rejected, Task
from tests.support.record_strategies import consumed_record
from tests.support.sum_task import SumTask
from tests.support.tasks import LettersAnew

TASK = "letters"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MEMORY: dict[str, Any] = {"correction_memory": {}}


class FakeMLServer:
    """Sums the letters."""

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"sum": batch["letters"].sum(axis=1).astype(np.float32)}


class FakeMLServerWithoutNumbers(FakeMLServer):
    """Returns NaN."""

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"sum": np.full(len(batch["letters"]), np.nan, np.float32)}


def features(payload: bytes, request: str = "1", task: Task | None = None) -> ConsumedRecord:
    """Return the features record of a payload, made by the preprocessor."""
    origin = Origin(TopicId("c/t"), "letters.requests", 0, 1, round(NOW.timestamp() * 1000))
    headers = (("ce_id", request.encode()), ("ce_source", b"app"))
    preprocessor = Preprocessor(task or SumTask(), lambda uri, limit: b"", 100_000)
    [record] = preprocessor(origin, b"key", payload, headers).records
    return ConsumedRecord(
        dataclasses.replace(origin, topic="letters.features"), record.key, record.value, record.headers
    )


def digest(payload: bytes, task: Task | None = None) -> str:
    return input_digest(read_features(features(payload, task=task))[0])


def outcome(
    label: float | dict[str, Any] | None, request: str = "1", minutes: float = 0, payload: bytes = b"abc", **fields: Any
) -> ConsumedRecord:
    """Return the outcome of a request, recorded `minutes` before now; a number is the label of its sum."""
    data = OutcomeRecorded(
        prediction_id=prediction_id(TASK, "app", request),
        request_id=request,
        request_source="app",
        task=TASK,
        model=ModelRef(name=TASK, version="1"),
        role="champion",
        confidence=0.5,
        propensity=1.0,
        label={"sum": label} if isinstance(label, float) else label,
        **{"output": {"sum": 294.0}, "input_digest": digest(payload), "feedback": 1, "selection": "volunteer"} | fields,
    )
    time = (NOW - timedelta(minutes=minutes)).isoformat()
    id = f"outcome of {request} {minutes} minutes ago"
    return consumed_record(data.to_record("letters.outcomes", b"", id=id, source="test", time=time))


def remember(
    *outcomes: ConsumedRecord, learned: Mapping[str, datetime] | None = None, **rules: Any
) -> CorrectionMemory:
    settings = TaskSettings.model_validate(MEMORY | rules)
    remembered = CorrectionMemory(SumTask(), settings, (learned or {}).get, lambda: NOW)
    for record in outcomes:
        remembered.apply(record)
    remembered.is_complete = True
    return remembered


def recalled_sum(remembered: CorrectionMemory, payload: bytes = b"abc", version: str = "1") -> float | None:
    recalled = remembered.recall(version, digest(payload))
    return None if recalled is None else json.loads(recalled[0].label or "")["sum"]


async def answer(
    remembered: CorrectionMemory | None, *records: ConsumedRecord, mlserver: type[FakeMLServer] = FakeMLServer
) -> list[PredictionMade]:
    async def champion() -> Route:
        return Route("1")

    handler = InferenceHandler(Settings(inference_attempts=1), SumTask(), champion, mlserver, remembered)
    answers = await handler(records)
    assert all(isinstance(result, Sequence) for result in answers), answers
    return [PredictionMade.model_validate_json(result[0].value or b"") for result in answers]  # type: ignore[index]


async def test_a_correction_answers_an_equal_input_and_the_models_own_output_is_beside_it() -> None:
    labels = {"task": TASK, "outcome": "answered"}
    before = REGISTRY.get_sample_value("hindsight_memory_answers_total", labels) or 0
    [served] = await answer(remember(outcome(7.0)), features(b"abc", "2"))
    assert (served.output, served.propensity) == ({"sum": 7.0}, 1.0)
    assert served.confidence == pytest.approx(2 / 3)
    assert served.memory is not None
    assert served.memory.corrected == prediction_id(TASK, "app", "1")
    assert served.memory.outcome == "outcome of 1 0 minutes ago"
    own = served.of_model()
    assert (own.output, own.confidence, own.propensity, own.memory) == ({"sum": 294.0}, 1.0, 1.0, None)
    assert REGISTRY.get_sample_value("hindsight_memory_answers_total", labels) == before + 1


async def test_no_other_input_is_answered_from_the_memory() -> None:
    corrected = [f"corrected {number}".encode() for number in range(100)]
    remembered = remember(*(outcome(7.0, f"c{number}", payload=payload) for number, payload in enumerate(corrected)))
    others = [features(f"corrected {number}".encode(), str(number)) for number in range(100, 2100)]
    answers = await answer(remembered, *others, *(features(payload) for payload in corrected))
    assert [prediction.memory is not None for prediction in answers] == [False] * 2000 + [True] * 100


async def test_a_correction_that_is_equal_to_the_output_of_the_model_replaces_nothing() -> None:
    [served] = await answer(remember(outcome(294.0)), features(b"abc", "2"))
    assert (served.output, served.confidence, served.memory) == ({"sum": 294.0}, 1.0, None)


async def test_a_prediction_has_the_digest_of_its_input_only_with_a_memory() -> None:
    batch = [features(b"abc", "2"), features(b"abc", "3"), features(b"abd", "4")]
    one, same, other = [prediction.input_digest for prediction in await answer(remember(), *batch)]
    assert one == same != other
    assert [prediction.input_digest for prediction in await answer(None, *batch)] == [None] * 3


def test_other_preprocessing_makes_other_inputs() -> None:
    assert digest(b"aba") != digest(b"aba", LettersAnew())


async def test_an_output_of_the_model_that_is_no_json_is_rejected_though_a_correction_is_known() -> None:
    async def champion() -> Route:
        return Route("1")

    handler = InferenceHandler(Settings(), SumTask(), champion, FakeMLServerWithoutNumbers, remember(outcome(7.0)))
    [result] = await handler([features(b"abc")])
    assert result.error.code == "bad_output"  # type: ignore[union-attr]


def test_the_model_answers_until_the_log_is_read_to_its_end() -> None:
    remembered = remember(outcome(7.0))
    remembered.is_complete = False
    assert recalled_sum(remembered) is None


def test_corrections_that_disagree_are_silent_until_most_agree() -> None:
    one, other, third = outcome(7.0, "1"), outcome(8.0, "2"), outcome(8.0, "3")
    assert recalled_sum(remember(one, other)) is None
    settled = remember(one, other, third)
    assert recalled_sum(settled) == 8.0
    assert settled.recall("1", digest(b"abc"))[1] == pytest.approx(3 / 5)  # type: ignore[index]


def test_the_newest_correction_answers_by_the_rule_latest() -> None:
    assert recalled_sum(remember(outcome(7.0, "1", 1), outcome(8.0, "2", 5), label_rule="latest")) == 7.0


def test_a_correction_that_others_contradict_answers_only_by_the_rule_latest() -> None:
    disputed = outcome(7.0, contradicted=True)
    assert recalled_sum(remember(disputed)) is None
    assert recalled_sum(remember(disputed, label_rule="latest")) == 7.0


def test_a_later_outcome_of_the_same_prediction_replaces_the_earlier_in_any_order() -> None:
    history = [outcome(7.0, minutes=3), outcome(8.0, minutes=2), outcome(9.0, minutes=1)]
    assert {recalled_sum(remember(*order)) for order in permutations(history)} == {9.0}


def test_a_retracted_correction_is_forgotten_in_any_order() -> None:
    history = [outcome(7.0, minutes=2), outcome(None, minutes=1, feedback=0, retracted=1)]
    assert {recalled_sum(remember(*order)) for order in permutations(history)} == {None}


def test_a_rejection_withdraws_a_correction() -> None:
    assert recalled_sum(remember(outcome(7.0, minutes=2), outcome(None, minutes=1, accepted=False))) is None


def test_a_version_that_has_learned_a_correction_answers_by_itself_and_another_does_not() -> None:
    remembered = remember(outcome(7.0, minutes=10), learned={"2": NOW - timedelta(minutes=10)})
    assert recalled_sum(remembered, version="1") == 7.0
    assert recalled_sum(remembered, version="2") is None
    remembered.apply(outcome(8.0, "2", minutes=5))
    assert recalled_sum(remembered, version="2") == 8.0


def test_an_old_correction_is_forgotten() -> None:
    old = outcome(7.0, minutes=61)
    assert recalled_sum(remember(old, correction_memory={"max_age_hours": 1})) is None
    assert recalled_sum(remember(old, correction_memory={"max_age_hours": 2})) == 7.0


def test_of_too_many_inputs_those_that_were_corrected_longest_ago_are_forgotten() -> None:
    first, second = outcome(1.0, "1", 5, b"a"), outcome(2.0, "2", 4, b"b")
    again, third = outcome(3.0, "3", 3, b"a"), outcome(4.0, "4", 2, b"c")
    remembered = remember(first, second, again, third, correction_memory={"capacity": 2}, label_rule="latest")
    assert [recalled_sum(remembered, payload) for payload in (b"a", b"b", b"c")] == [3.0, None, 4.0]


def test_of_too_many_predictions_of_one_input_the_newest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_PREDICTIONS", 2)
    assert recalled_sum(remember(*(outcome(float(n < 3), str(n), minutes=9 - n) for n in range(5)))) == 0.0


def test_what_the_task_rejects_and_what_is_too_large_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Rejected):
        SumTask().validate_correction({"text": "x"})
    assert recalled_sum(remember(outcome({"text": "x"}))) is None
    monkeypatch.setattr(memory, "MAX_LABEL_BYTES", 5)
    assert recalled_sum(remember(outcome(7.0))) is None


def test_records_that_are_no_outcomes_of_the_task_are_ignored() -> None:
    good = outcome(7.0)
    others = [
        dataclasses.replace(good, value=b"{"),
        dataclasses.replace(good, value=None),
        dataclasses.replace(good, headers=(*good.headers, ("ce_replay", b"1"))),
        dataclasses.replace(good, value=(good.value or b"").replace(b'"task":"letters"', b'"task":"others"')),
        outcome(7.0, input_digest=None),
    ]
    assert recalled_sum(remember(*others)) is None


def test_an_outcome_without_feedback_takes_no_place() -> None:
    remembered = remember(outcome(7.0), correction_memory={"capacity": 1})
    remembered.apply(outcome(None, "2", payload=b"x", feedback=0, selection="audit", selection_probability=0.1))
    assert recalled_sum(remembered) == 7.0


def test_a_cleared_memory_knows_nothing() -> None:
    remembered = remember(outcome(7.0))
    remembered.clear()
    remembered.is_complete = True
    assert recalled_sum(remembered) is None

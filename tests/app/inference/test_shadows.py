"""Shadow predictions of answered requests, and the events that are left out."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import RequestRefused, Unavailable
from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Record, header_text
from app.events.ids import prediction_id, shadow_id
from app.events.types import PredictionFailed, PredictionMade
from app.inference import shadows
from app.inference.shadows import MAX_WAITING_BATCHES, ShadowPredictor
from app.monitoring import metrics
from app.preprocess.preprocessor import Preprocessor
from app.registry.routes import Route
from app.settings import Settings
from models.base import Asked, Decoded, Features
from tests.support.record_strategies import consumed_record
from tests.support.tasks import Letters

TASK = "letters"


class FakeMLServer:
    """A client of MLServer: version 9 is not loaded, and X is refused."""

    def __init__(self, _: Settings) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if model.version == "9":
            raise Unavailable("it is not loaded")
        if (batch["letters"] == ord("X")).any():
            raise RequestRefused("no X")
        return {"sum": batch["letters"].sum(axis=1).astype(np.float32) * int(model.version)}


class OverconfidentLetters(Letters):
    """A task whose confidence is above 1."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], inputs: Sequence[Asked]) -> list[Decoded]:
        return [Decoded({"sum": 0.0}, 1.5) for _ in inputs]


class FaultyLetters(Letters):
    """A task that raises for payloads that begin with an exclamation mark."""

    def inputs(self, features: Features) -> Features:
        if features["letters"][0] == ord("!"):
            raise KeyError("bug")
        return features


class FakeBroker:
    """Confirms every record unless it is unavailable."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.unavailable = False

    async def publish(self, records: Sequence[Record]) -> Sequence[Exception | None]:
        if self.unavailable:
            return [Unavailable("no broker")] * len(records)
        self.records += records
        return [None] * len(records)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(shadows, "InferenceClient", FakeMLServer)
    return FakeBroker()


def make_shadows(broker: FakeBroker, *versions: str, task: Letters | None = None) -> ShadowPredictor:
    async def route() -> Route:
        return Route("2", shadows=versions)

    return ShadowPredictor(Settings(), task or Letters(), route, broker.publish)


@asynccontextmanager
async def run(predictor: ShadowPredictor) -> AsyncIterator[None]:
    task = asyncio.create_task(predictor.run())
    yield
    await settle()
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    """Let every task that can continue do so."""
    for _ in range(50):
        await asyncio.sleep(0)


def features(request_id: str, payload: bytes = b"abc", *more_headers: tuple[str, bytes]) -> ConsumedRecord:
    """Return the features record of a request."""

    def fetch(uri: str, limit: int) -> bytes:
        raise AssertionError

    headers = (("ce_id", request_id.encode()), ("ce_source", b"app"), ("ce_subject", b"page 7"))
    request = consumed_record(Record(f"{TASK}.requests", b"key", payload, headers))
    [output] = Preprocessor(Letters(), fetch, 100_000)(request.origin, b"key", payload, headers).records
    record = consumed_record(output)
    return ConsumedRecord(record.origin, record.key, record.value, (*record.headers, *more_headers))


def predictions(records: Sequence[Record]) -> list[PredictionMade]:
    return [PredictionMade.model_validate_json(record.value or b"") for record in records]


def count_events(outcome: str) -> float:
    samples = [sample for family in metrics.SHADOWS.collect() for sample in family.samples]
    return sum(
        sample.value
        for sample in samples
        if sample.name == "hindsight_shadow_events_total"
        and (sample.labels["task"], sample.labels["outcome"]) == (TASK, outcome)
    )


async def test_each_shadow_predicts_an_answered_request_under_its_own_id(broker: FakeBroker) -> None:
    predictor, count_before = make_shadows(broker, "3", "4"), count_events("said")
    async with run(predictor):
        predictor.submit([features("1"), features("2", b"d")])
    by_id = {prediction.prediction_id: prediction for prediction in predictions(broker.records)}
    for request_id, total in (("1", 294.0), ("2", 100.0)):
        served_id = prediction_id(TASK, "app", request_id)
        for version in ("3", "4"):
            prediction = by_id[shadow_id(served_id, version)]
            assert (prediction.role, prediction.model.version) == ("shadow", version)
            assert prediction.request_id == request_id
            assert prediction.output == {"sum": total * int(version)}
    assert len(by_id) == count_events("said") - count_before == 4


async def test_shadow_predictions_go_to_their_own_topic_and_name_the_request(broker: FakeBroker) -> None:
    predictor = make_shadows(broker, "3")
    async with run(predictor):
        predictor.submit([features("1")])
    [record] = broker.records
    assert (record.topic, record.key) == (topics.shadow_predictions(TASK), b"key")
    assert header_text(record.headers, "ce_id") == shadow_id(prediction_id(TASK, "app", "1"), "3")
    assert header_text(record.headers, "ce_requestsource") == "app"
    assert header_text(record.headers, "ce_subject") == "page 7"


async def test_without_a_shadow_nothing_is_published(broker: FakeBroker) -> None:
    predictor = make_shadows(broker)
    async with run(predictor):
        predictor.submit([features("1")])
    assert broker.records == []


@pytest.mark.parametrize(
    ("task", "payload", "code"),
    [(Letters(), b"X", "model_refused"), (OverconfidentLetters(), b"abc", "bad_output")],
    ids=["refused", "not a probability"],
)
async def test_an_event_that_a_shadow_cannot_predict_is_its_failure_and_the_others_are_predicted(
    broker: FakeBroker, task: Letters, payload: bytes, code: str
) -> None:
    predictor = make_shadows(broker, "3", task=task)
    async with run(predictor):
        predictor.submit([features("1", payload), features("2", b"b")])
    record = broker.records[0]
    failed = PredictionFailed.model_validate_json(record.value or b"")
    assert (record.topic, header_text(record.headers, "ce_type")) == (
        topics.shadow_predictions(TASK),
        PredictionFailed.type,
    )
    assert failed.prediction_id == shadow_id(prediction_id(TASK, "app", "1"), "3")
    assert (failed.model, failed.role) == (ModelRef(name=TASK, version="3"), "shadow")
    assert (failed.error.stage, failed.error.code, failed.dead_letter) == ("inference", code, None)
    assert len(broker.records) == 2


async def test_shadows_ignore_unreadable_features_and_partial_sessions(broker: FakeBroker) -> None:
    predictor, intact = make_shadows(broker, "3"), features("1")
    truncated = ConsumedRecord(intact.origin, intact.key, (intact.value or b"")[:-1], intact.headers)
    async with run(predictor):
        predictor.submit([truncated, features("2", b"abc", ("ce_partial", b"1")), features("3")])
    assert [prediction.request_id for prediction in predictions(broker.records)] == ["3"]


async def test_events_of_a_shadow_that_is_not_loaded_are_left_out_and_the_other_shadows_predict(
    broker: FakeBroker,
) -> None:
    predictor, count_before = make_shadows(broker, "9", "3"), count_events("left_out")
    async with run(predictor):
        predictor.submit([features("1"), features("2")])
    assert [prediction.model.version for prediction in predictions(broker.records)] == ["3", "3"]
    assert count_events("left_out") - count_before == 2


async def test_an_exception_in_a_tasks_code_leaves_out_its_batch_only(broker: FakeBroker) -> None:
    """The guard has already rejected such an event; here it must not end the worker that answers requests."""
    predictor, count_before = make_shadows(broker, "3", task=FaultyLetters()), count_events("left_out")
    async with run(predictor):
        predictor.submit([features("1", b"!"), features("2")])
        predictor.submit([features("3")])
    assert [prediction.request_id for prediction in predictions(broker.records)] == ["3"]
    assert count_events("left_out") - count_before == 2


async def test_batches_beyond_the_queues_bound_are_left_out_and_counted(broker: FakeBroker) -> None:
    predictor, count_before = make_shadows(broker, "3"), count_events("left_out")
    for number in range(MAX_WAITING_BATCHES + 2):
        predictor.submit([features(f"{number}a"), features(f"{number}b")])
    assert count_events("left_out") - count_before == 4
    async with run(predictor):
        pass
    queued = [f"{number}{letter}" for number in range(MAX_WAITING_BATCHES) for letter in "ab"]
    assert [prediction.request_id for prediction in predictions(broker.records)] == queued


async def test_predictions_that_the_broker_does_not_confirm_are_left_out_and_counted(broker: FakeBroker) -> None:
    predictor, left_out, published = make_shadows(broker, "3"), count_events("left_out"), count_events("said")
    broker.unavailable = True
    async with run(predictor):
        predictor.submit([features("1"), features("2")])
        await settle()
        broker.unavailable = False
        predictor.submit([features("3")])
    assert [prediction.request_id for prediction in predictions(broker.records)] == ["3"]
    assert (count_events("left_out") - left_out, count_events("said") - published) == (2, 1)

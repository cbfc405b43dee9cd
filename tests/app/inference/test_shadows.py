"""What shadows say of requests that are answered, and what they leave out."""

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


class Sums:
    """Stands in for MLServer: version 9 is not loaded, and X is refused."""

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


class Overconfident(Letters):
    """Takes a 1 for surer than sure."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [Decoded({"sum": 0.0}, 1.5) for _ in asked]


class Faulty(Letters):
    """Falls over what begins with an exclamation mark."""

    def inputs(self, features: Features) -> Features:
        if features["letters"][0] == ord("!"):
            raise KeyError("bug")
        return features


class Broker:
    """Stands in for the broker: it confirms all, but while it is away."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = False

    async def publish(self, records: Sequence[Record]) -> Sequence[Exception | None]:
        if self.away:
            return [Unavailable("no broker")] * len(records)
        self.records += records
        return [None] * len(records)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(shadows, "InferenceClient", Sums)
    return Broker()


def trying(broker: Broker, *versions: str, task: Letters | None = None) -> ShadowPredictor:
    async def route() -> Route:
        return Route("2", shadows=versions)

    return ShadowPredictor(Settings(), task or Letters(), route, broker.publish)


@asynccontextmanager
async def running(found: ShadowPredictor) -> AsyncIterator[None]:
    runs = asyncio.create_task(found.run())
    yield
    await settled()
    assert not runs.done()
    runs.cancel()
    await asyncio.gather(runs, return_exceptions=True)


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)


def features(request: str, payload: bytes = b"abc", *more: tuple[str, bytes]) -> ConsumedRecord:
    """The features of a request."""

    def fetch(uri: str, limit: int) -> bytes:
        raise AssertionError

    headers = (("ce_id", request.encode()), ("ce_source", b"app"), ("ce_subject", b"page 7"))
    asked = consumed_record(Record(f"{TASK}.requests", b"key", payload, headers))
    [record] = Preprocessor(Letters(), fetch, 100_000)(asked.origin, b"key", payload, headers).records
    found = consumed_record(record)
    return ConsumedRecord(found.origin, found.key, found.value, (*found.headers, *more))


def made(records: Sequence[Record]) -> list[PredictionMade]:
    return [PredictionMade.model_validate_json(record.value or b"") for record in records]


def counted(outcome: str) -> float:
    samples = [sample for family in metrics.SHADOWS.collect() for sample in family.samples]
    ours = [one for one in samples if one.name == "hindsight_shadow_events_total" and one.labels["task"] == TASK]
    return sum(one.value for one in ours if one.labels["outcome"] == outcome)


async def test_what_is_answered_is_said_by_each_shadow_under_its_own_id(broker: Broker) -> None:
    found, before = trying(broker, "3", "4"), counted("said")
    async with running(found):
        found.submit([features("1"), features("2", b"d")])
    said = {one.prediction_id: one for one in made(broker.records)}
    for request, total in (("1", 294.0), ("2", 100.0)):
        served = prediction_id(TASK, "app", request)
        for version in ("3", "4"):
            one = said[shadow_id(served, version)]
            assert (one.role, one.model.version, one.request_id) == ("shadow", version, request)
            assert one.output == {"sum": total * int(version)}
    assert len(said) == counted("said") - before == 4


async def test_shadows_speak_on_a_topic_of_their_own_about_the_same_request(broker: Broker) -> None:
    found = trying(broker, "3")
    async with running(found):
        found.submit([features("1")])
    [record] = broker.records
    assert (record.topic, record.key) == (topics.shadow_predictions(TASK), b"key")
    assert header_text(record.headers, "ce_id") == shadow_id(prediction_id(TASK, "app", "1"), "3")
    assert header_text(record.headers, "ce_requestsource") == "app"
    assert header_text(record.headers, "ce_subject") == "page 7"


async def test_without_a_shadow_nothing_is_said(broker: Broker) -> None:
    found = trying(broker)
    async with running(found):
        found.submit([features("1")])
    assert broker.records == []


@pytest.mark.parametrize(
    ("task", "payload", "code"),
    [(Letters(), b"X", "model_refused"), (Overconfident(), b"abc", "bad_output")],
    ids=["refused", "no probability"],
)
async def test_what_a_shadow_can_not_predict_is_its_failure_beside_what_it_can(
    broker: Broker, task: Letters, payload: bytes, code: str
) -> None:
    found = trying(broker, "3", task=task)
    async with running(found):
        found.submit([features("1", payload), features("2", b"b")])
    record = broker.records[0]
    said = PredictionFailed.model_validate_json(record.value or b"")
    assert (record.topic, header_text(record.headers, "ce_type")) == (
        topics.shadow_predictions(TASK),
        PredictionFailed.type,
    )
    assert said.prediction_id == shadow_id(prediction_id(TASK, "app", "1"), "3")
    assert (said.model, said.role) == (ModelRef(name=TASK, version="3"), "shadow")
    assert (said.error.stage, said.error.code, said.dead_letter) == ("inference", code, None)
    assert len(broker.records) == 2


async def test_what_can_not_be_read_or_is_said_while_a_session_runs_is_no_shadows_business(broker: Broker) -> None:
    found, torn = trying(broker, "3"), features("1")
    torn = ConsumedRecord(torn.origin, torn.key, (torn.value or b"")[:-1], torn.headers)
    async with running(found):
        found.submit([torn, features("2", b"abc", ("ce_partial", b"1")), features("3")])
    assert [one.request_id for one in made(broker.records)] == ["3"]


async def test_a_shadow_that_is_not_loaded_is_left_out_and_the_others_speak(broker: Broker) -> None:
    found, before = trying(broker, "9", "3"), counted("left_out")
    async with running(found):
        found.submit([features("1"), features("2")])
    assert [one.model.version for one in made(broker.records)] == ["3", "3"]
    assert counted("left_out") - before == 2


async def test_a_fault_in_a_tasks_own_code_costs_its_batch_and_ends_nothing(broker: Broker) -> None:
    """The guard has rejected such an event already; here it must not end the worker that answers."""
    found, before = trying(broker, "3", task=Faulty()), counted("left_out")
    async with running(found):
        found.submit([features("1", b"!"), features("2")])
        found.submit([features("3")])
    assert [one.request_id for one in made(broker.records)] == ["3"]
    assert counted("left_out") - before == 2


async def test_when_too_much_waits_it_is_left_out_and_counted(broker: Broker) -> None:
    found, before = trying(broker, "3"), counted("left_out")
    for number in range(MAX_WAITING_BATCHES + 2):
        found.submit([features(f"{number}a"), features(f"{number}b")])
    assert counted("left_out") - before == 4
    async with running(found):
        pass
    kept = [f"{number}{letter}" for number in range(MAX_WAITING_BATCHES) for letter in "ab"]
    assert [one.request_id for one in made(broker.records)] == kept


async def test_what_the_broker_does_not_take_is_left_out_and_counted(broker: Broker) -> None:
    found, left_out, said = trying(broker, "3"), counted("left_out"), counted("said")
    broker.away = True
    async with running(found):
        found.submit([features("1"), features("2")])
        await settled()
        broker.away = False
        found.submit([features("3")])
    assert [one.request_id for one in made(broker.records)] == ["3"]
    assert (counted("left_out") - left_out, counted("said") - said) == (2, 1)

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from app.errors import RequestRefused, Unavailable
from app.events import cloudevents, ids
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId
from app.events.types import Failure, PredictionFailed, PredictionMade
from app.inference.handler import InferenceHandler, read_features
from app.monitoring import metrics
from app.preprocess.preprocessor import Preprocessor
from app.registry.routes import Route, RouteLookup
from app.settings import Settings, TaskSettings
from models.base import Asked, Decoded, Rejected, Task
from tests.support.tasks import Letters

TASK = "letters"
REQUESTS = Origin(TopicId("c/t"), "letters.requests", 0, 1, round(time.time() * 1000) - 50)
FEATURES = dataclasses.replace(REQUESTS, topic="letters.features")
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT_HEADERS: Headers = (("ce_id", b"1"), ("ce_source", b"app"), ("ce_subject", b"page 7"), ("traceparent", TRACE))


class FakeMLServer:
    """FakeMLServer letters. It refuses an X and is unavailable for a question mark."""

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert model.name == TASK
        letters = batch["letters"]
        if (letters == ord("X")).any():
            raise RequestRefused("no X")
        if (letters == ord("?")).any():
            raise Unavailable("MLServer is away")
        return {"sum": letters.sum(axis=1).astype(np.float32)}


@pytest.fixture
def make_handler() -> Any:
    def make(task: Task | None = None, route: RouteLookup | None = None, **task_settings: Any) -> InferenceHandler:
        settings = Settings(inference_attempts=1, task_settings={TASK: TaskSettings(**task_settings)})
        return InferenceHandler(settings, task or Letters(), route or champion, FakeMLServer)

    return make


async def champion() -> Route:
    return Route("2")


def fetch(uri: str, limit: int) -> bytes:
    raise AssertionError


def features(payload: bytes, headers: Headers = EVENT_HEADERS) -> ConsumedRecord:
    """Return the features record of a payload, made by the preprocessor."""
    [record] = Preprocessor(Letters(), fetch, 100_000)(REQUESTS, b"key", payload, headers).records
    return ConsumedRecord(FEATURES, record.key, record.value, record.headers)


def without_header(record: ConsumedRecord, name: str) -> ConsumedRecord:
    return dataclasses.replace(record, headers=tuple(header for header in record.headers if header[0] != name))


def with_header(record: ConsumedRecord, name: str, value: bytes) -> ConsumedRecord:
    others = without_header(record, name)
    return dataclasses.replace(others, headers=(*others.headers, (name, value)))


def prediction_of(answer: Any) -> tuple[Record, PredictionMade]:
    [record] = answer
    return record, PredictionMade.model_validate_json(record.value)


async def test_features_become_a_prediction(make_handler: Any) -> None:
    record, prediction = prediction_of((await make_handler()([features(b"abc")]))[0])
    prediction_id = ids.prediction_id(TASK, "app", "1")
    assert (record.topic, record.key) == ("letters.predictions", b"key")
    event = cloudevents.complete_event(record.headers, record.value or b"", FEATURES, PredictionMade.type)
    assert (event.id, event.source, event.subject) == (prediction_id, "hindsight/letters", "page 7")
    assert (event.content_type, event.traceparent) == ("application/json", TRACE.decode())
    assert event.extensions == {"requestsource": "app"}
    assert (prediction.prediction_id, prediction.request_id, prediction.task) == (prediction_id, "1", TASK)
    assert (prediction.model, prediction.role) == (ModelRef(name=TASK, version="2"), "champion")
    assert (prediction.output, prediction.confidence, prediction.propensity) == ({"sum": 294.0}, 1.0, 1.0)


async def test_timings_add_up_from_the_log_to_the_answer(make_handler: Any) -> None:
    timings = prediction_of((await make_handler()([features(b"abc")]))[0])[1].timings_ms
    stages = timings["queued"] + timings["preprocess"] + timings["inference"]
    assert stages == pytest.approx(timings["total"], abs=0.01)
    assert timings["total"] >= 50
    assert min(timings.values()) >= 0


async def test_no_timing_is_negative_if_clocks_differ(make_handler: Any) -> None:
    future = str(round(time.time() * 1000) + 60_000).encode()
    timings = prediction_of((await make_handler()([with_header(features(b"abc"), "ce_requestlogtime", future)]))[0])[
        1
    ].timings_ms
    assert min(timings.values()) >= 0


async def test_each_event_of_a_batch_has_its_answer_in_order(make_handler: Any) -> None:
    bad = dataclasses.replace(features(b"abc"), value=b"ab")
    answers = await make_handler()([features(b"a"), bad, features(b"X"), features(b"bb")])
    assert prediction_of(answers[0])[1].output == {"sum": 97.0}
    assert answers[1].code == "bad_features"
    assert answers[2].error.code == "model_refused"
    assert prediction_of(answers[3])[1].output == {"sum": 196.0}


async def test_an_event_that_waited_too_long_is_refused_and_the_others_are_answered(make_handler: Any) -> None:
    now, old = (str(round(time.time() * 1000) - age).encode() for age in (0, 120_000))
    unwanted = features(b"a", (*EVENT_HEADERS, ("ce_expirytime", b"2020-01-01T00:00:00Z")))
    logged = zip((features(b"a"), unwanted, features(b"bb")), (old, now, now), strict=True)
    batch = [with_header(record, "ce_requestlogtime", time_ms) for record, time_ms in logged]
    answers = await make_handler(max_wait_seconds=60)(batch)
    assert [answers[0].code, answers[1].code] == ["expired", "expired"]
    assert prediction_of(answers[2])[1].output == {"sum": 196.0}


async def test_a_batch_that_is_retried_counts_nothing_before_all_versions_have_answered(make_handler: Any) -> None:
    route = Route("7", canary="8", canary_share=0.5)

    async def both() -> Route:
        return route

    keys = {route.assign(TASK, key)[0]: key for key in (str(number).encode() for number in range(100))}
    refused, away = features(b"X"), features(b"?")
    batch = [dataclasses.replace(refused, key=keys["7"]), dataclasses.replace(away, key=keys["8"])]
    labels = {"task": TASK, "version": "7", "role": "champion", "outcome": "failed"}
    before = REGISTRY.get_sample_value("hindsight_requests_total", labels)
    with pytest.raises(Unavailable):
        await make_handler(route=both)(batch)
    assert REGISTRY.get_sample_value("hindsight_requests_total", labels) == before
    await make_handler(route=both)([batch[0]])
    assert REGISTRY.get_sample_value("hindsight_requests_total", labels) == (before or 0) + 1


async def test_a_batch_without_readable_events_is_answered(make_handler: Any) -> None:
    [answer] = await make_handler()([ConsumedRecord(FEATURES, None, None, ())])
    assert answer.code == "bad_features"


async def test_each_key_is_answered_by_the_version_that_the_route_has_for_it(make_handler: Any) -> None:
    route = Route("2", "3", 0.5)

    async def lookup() -> Route:
        return route

    batch = [dataclasses.replace(features(b"abc"), key=str(key).encode()) for key in range(40)]
    predictions = [prediction_of(answer)[1] for answer in await make_handler(route=lookup)(batch)]
    assert {(prediction.model.version, prediction.role) for prediction in predictions} == {
        ("2", "champion"),
        ("3", "canary"),
    }
    for prediction, record in zip(predictions, batch, strict=True):
        assert (prediction.model.version, prediction.role) == route.assign(TASK, record.key or b"")


async def test_each_request_of_a_key_may_have_another_version_if_requests_are_assigned(make_handler: Any) -> None:
    route = Route("2", "3", 0.5)

    async def lookup() -> Route:
        return route

    rollout = {"retraining": {"rollout": {"assignment": "request"}}}
    handler = make_handler(route=lookup, **rollout)
    batch = [
        dataclasses.replace(with_header(features(b"abc"), "ce_id", str(id).encode()), key=b"k") for id in range(40)
    ]
    first, second = [[prediction_of(answer)[1] for answer in await handler(batch)] for _ in range(2)]
    assert {prediction.role for prediction in first} == {"champion", "canary"}
    assert [prediction.role for prediction in first] == [prediction.role for prediction in second]


async def test_an_unavailable_model_raises_so_that_the_guard_waits(make_handler: Any) -> None:
    with pytest.raises(Unavailable):
        await make_handler()([features(b"abc"), features(b"?")])


ATTRIBUTES = ("requestid", "requestsource", "requestlogtime", "preprocessms", "tensors")


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_features_without_an_attribute_are_rejected_with_its_name(name: str) -> None:
    with pytest.raises(Rejected, match=f"attributes are missing: ce_{name}"):
        read_features(without_header(features(b"abc"), f"ce_{name}"))


@pytest.mark.parametrize("name", ["requestlogtime", "preprocessms"])
@pytest.mark.parametrize("value", [b"soon", b"", b"nan", b"inf"])
def test_features_whose_time_is_not_a_number_are_rejected_with_its_name(name: str, value: bytes) -> None:
    with pytest.raises(Rejected, match=f"ce_{name}") as caught:
        read_features(with_header(features(b"abc"), f"ce_{name}", value))
    assert caught.value.code == "bad_features"


@pytest.mark.parametrize(
    "decoded",
    [
        Decoded({}, float("nan")),
        Decoded({}, -0.1),
        Decoded({}, 1.1),
        Decoded({}, float("inf")),
        Decoded({}, 0.5, 0.0),
        Decoded({}, 0.5, float("nan")),
        Decoded({}, 0.5, 1.1),
        Decoded({"text": "\ud800"}, 0.5),
        Decoded({"text": 1j}, 0.5),
        Decoded({"sum": float("nan")}, 0.5),
        Decoded({"sums": [{"sum": float("-inf")}]}, 0.5),
        Decoded([], 0.5),  # type: ignore[arg-type]
    ],
    ids=str,
)
async def test_a_decoded_output_that_is_not_a_valid_prediction_is_rejected(
    make_handler: Any, monkeypatch: pytest.MonkeyPatch, decoded: Decoded
) -> None:
    task = Letters()
    decode_correctly = task.decode

    def decode(outputs: Mapping[str, NDArray[Any]], inputs: Sequence[Asked]) -> list[Decoded]:
        correct = decode_correctly(outputs, inputs)
        return [decoded if prediction.output == {"sum": 97.0} else prediction for prediction in correct]

    monkeypatch.setattr(task, "decode", decode)
    answers = await make_handler(task)([features(b"a"), features(b"b")])
    assert answers[0].error.code == "bad_output"
    assert str(answers[0].error).startswith("letters 2: ")
    [_, answer] = answers[0].records
    assert PredictionFailed.model_validate_json(answer.value).model == ModelRef(name=TASK, version="2")
    assert prediction_of(answers[1])[1].output == {"sum": 98.0}


def test_a_rejection_is_a_dead_letter_and_the_answer_of_its_request(make_handler: Any) -> None:
    record = features(b"abc")
    letter, answer = make_handler().reject(record, Failure(stage="inference", code="bad", reason="it is bad"))
    failed = PredictionFailed.model_validate_json(answer.value)
    prediction_id = ids.prediction_id(TASK, "app", "1")
    assert (letter.topic, letter.key, letter.value) == ("dead-letters", b"key", record.value)
    assert letter.headers[: len(record.headers)] == record.headers
    assert cloudevents.header_text(letter.headers, "rejected_event_id") == prediction_id
    assert cloudevents.header_text(letter.headers, "rejected_event_source") == "hindsight/preprocess"
    assert (answer.topic, answer.key) == ("letters.predictions", b"key")
    assert (failed.prediction_id, failed.request_id, failed.task) == (prediction_id, "1", TASK)
    assert failed.error == Failure(stage="inference", code="bad", reason="it is bad")
    assert failed.dead_letter == cloudevents.header_text(letter.headers, "rejected_id")
    assert cloudevents.header_text(answer.headers, "ce_subject") == "page 7"
    assert cloudevents.header_text(answer.headers, "ce_requestsource") == "app"


@pytest.mark.parametrize("headers", [(), (("ce_id", b"\xff"),), (("ce_requestid", b"1"),)])
def test_features_that_name_no_request_are_a_dead_letter_without_an_answer(make_handler: Any, headers: Headers) -> None:
    failure = Failure(stage="inference", code="bad", reason="it is bad")
    [letter] = make_handler().reject(ConsumedRecord(FEATURES, b"key", b"abc", headers), failure)
    assert letter.topic == "dead-letters"
    assert cloudevents.header_text(letter.headers, "rejected_event_id") == FEATURES.id


def frame(stream: str, number: int, source: str = "camera") -> ConsumedRecord:
    attributes = {"id": f"{stream}{number}", "source": source, "stream": stream, "sequence": str(number)}
    return features(b"a" * (number + 1), tuple((f"ce_{name}", text.encode()) for name, text in attributes.items()))


async def test_the_latest_waiting_frame_of_each_stream_is_predicted_and_all_are_answered(make_handler: Any) -> None:
    other = frame("x", 0, source="other")
    batch = [frame("x", 0), frame("y", 0), frame("x", 1), features(b"abc"), other, frame("x", 1)]
    before = metrics.SKIPPED_FRAMES.labels(TASK)._value.get()
    answers = [answer[0] for answer in await make_handler(frames="latest")(batch)]
    skipped = PredictionFailed.model_validate_json(answers[0].value)
    assert (skipped.error.code, skipped.request_id, skipped.dead_letter) == ("skipped_frame", "x0", None)
    assert dict(answers[0].headers)["ce_stream"] == b"x"
    sums = [PredictionMade.model_validate_json(answer.value).output["sum"] for answer in answers[1:]]
    assert sums == [97.0, 194.0, 294.0, 97.0, 194.0]
    assert metrics.SKIPPED_FRAMES.labels(TASK)._value.get() == before + 1


async def test_all_frames_are_predicted_in_order_by_default(make_handler: Any) -> None:
    answers = await make_handler()([frame("x", number) for number in range(3)])
    assert [prediction_of(answer)[1].request_id for answer in answers] == ["x0", "x1", "x2"]
    assert [dict(prediction_of(answer)[0].headers)["ce_sequence"] for answer in answers] == [b"0", b"1", b"2"]


async def test_the_unknown_values_of_answered_requests_are_counted(
    make_handler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, dict[str, int]]] = []
    monkeypatch.setattr(metrics, "count_unknown_values", lambda task, values: counted.append((task, values)))
    task = Letters()
    monkeypatch.setattr(task, "unknown_values", lambda features: {"length": len(features["letters"])})
    await make_handler(task)([features(b"abc"), features(b"X")])
    assert counted == [(TASK, {"length": 3})]

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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
MINE: Headers = (("ce_id", b"1"), ("ce_source", b"app"), ("ce_subject", b"page 7"), ("traceparent", TRACE))


class Sums:
    """Stands in for MLServer."""

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert model.name == TASK
        letters = batch["letters"]
        if (letters == ord("X")).any():
            raise RequestRefused("no X")
        if (letters == ord("?")).any():
            raise Unavailable("MLServer is away")
        return {"sum": letters.sum(axis=1).astype(np.float32)}


@pytest.fixture
def make() -> Any:
    def made(task: Task | None = None, route: RouteLookup | None = None, **rules: Any) -> InferenceHandler:
        known = Settings(inference_attempts=1, task_settings={TASK: TaskSettings(**rules)})
        return InferenceHandler(known, task or Letters(), route or champion, Sums)

    return made


async def champion() -> Route:
    return Route("2")


def fetch(uri: str, limit: int) -> bytes:
    raise AssertionError


def features(payload: bytes, headers: Headers = MINE) -> ConsumedRecord:
    """The features of a payload as preprocessing makes them."""
    [record] = Preprocessor(Letters(), fetch, 100_000)(REQUESTS, b"key", payload, headers).records
    return ConsumedRecord(FEATURES, record.key, record.value, record.headers)


def without(incoming: ConsumedRecord, name: str, value: bytes | None = None) -> ConsumedRecord:
    """These features without one header, or with another value of it."""
    kept = tuple(header for header in incoming.headers if header[0] != name)
    return dataclasses.replace(incoming, headers=kept if value is None else (*kept, (name, value)))


def made_of(answer: Any) -> tuple[Record, PredictionMade]:
    [record] = answer
    return record, PredictionMade.model_validate_json(record.value)


async def test_features_become_a_prediction(make: Any) -> None:
    record, prediction = made_of((await make()([features(b"abc")]))[0])
    unique = ids.prediction_id(TASK, "app", "1")
    assert (record.topic, record.key) == ("letters.predictions", b"key")
    event = cloudevents.complete_event(record.headers, record.value or b"", FEATURES, PredictionMade.type)
    assert (event.id, event.source, event.subject) == (unique, "hindsight/letters", "page 7")
    assert (event.content_type, event.traceparent) == ("application/json", TRACE.decode())
    assert event.extensions == {"requestsource": "app"}
    assert (prediction.prediction_id, prediction.request_id, prediction.task) == (unique, "1", TASK)
    assert (prediction.model, prediction.role) == (ModelRef(name=TASK, version="2"), "champion")
    assert (prediction.output, prediction.confidence, prediction.propensity) == ({"sum": 294.0}, 1.0, 1.0)


async def test_timings_add_up_from_the_log_to_the_answer(make: Any) -> None:
    timings = made_of((await make()([features(b"abc")]))[0])[1].timings_ms
    parts = timings["queued"] + timings["preprocess"] + timings["inference"]
    assert parts == pytest.approx(timings["total"], abs=0.01)
    assert timings["total"] >= 50
    assert min(timings.values()) >= 0


async def test_no_time_is_negative_where_clocks_differ(make: Any) -> None:
    ahead = str(round(time.time() * 1000) + 60_000).encode()
    timings = made_of((await make()([without(features(b"abc"), "ce_requestlogtime", ahead)]))[0])[1].timings_ms
    assert min(timings.values()) >= 0


async def test_each_event_of_a_batch_has_its_answer_in_order(make: Any) -> None:
    bad = dataclasses.replace(features(b"abc"), value=b"ab")
    answers = await make()([features(b"a"), bad, features(b"X"), features(b"bb")])
    assert made_of(answers[0])[1].output == {"sum": 97.0}
    assert [answer.code for answer in answers[1:3]] == ["bad_features", "model_refused"]
    assert made_of(answers[3])[1].output == {"sum": 196.0}


async def test_a_batch_of_nothing_readable_is_answered(make: Any) -> None:
    [answer] = await make()([ConsumedRecord(FEATURES, None, None, ())])
    assert answer.code == "bad_features"


async def test_each_key_is_answered_by_the_version_that_the_route_has_for_it(make: Any) -> None:
    route = Route("2", "3", 0.5)

    async def ask() -> Route:
        return route

    batch = [dataclasses.replace(features(b"abc"), key=str(key).encode()) for key in range(40)]
    made = [made_of(answer)[1] for answer in await make(route=ask)(batch)]
    assert {(one.model.version, one.role) for one in made} == {("2", "champion"), ("3", "canary")}
    for one, incoming in zip(made, batch, strict=True):
        assert (one.model.version, one.role) == route.assign(TASK, incoming.key or b"")


async def test_what_is_away_is_the_guards_to_wait_for(make: Any) -> None:
    with pytest.raises(Unavailable):
        await make()([features(b"abc"), features(b"?")])


ATTRIBUTES = ("requestid", "requestsource", "requestlogtime", "preprocessms", "tensors")


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_features_that_lack_an_attribute_are_rejected_by_its_name(name: str) -> None:
    with pytest.raises(Rejected, match=f"attributes are missing: ce_{name}"):
        read_features(without(features(b"abc"), f"ce_{name}"))


@pytest.mark.parametrize("name", ["requestlogtime", "preprocessms"])
@pytest.mark.parametrize("value", [b"soon", b"", b"nan", b"inf"])
def test_a_time_that_is_no_number_is_rejected_by_its_name(name: str, value: bytes) -> None:
    with pytest.raises(Rejected, match=f"ce_{name}") as caught:
        read_features(without(features(b"abc"), f"ce_{name}", value))
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
async def test_a_decoded_output_that_is_no_prediction_is_rejected(
    make: Any, monkeypatch: pytest.MonkeyPatch, decoded: Decoded
) -> None:
    task = Letters()
    good = task.decode

    def decode(outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [decoded if one.output == {"sum": 97.0} else one for one in good(outputs, asked)]

    monkeypatch.setattr(task, "decode", decode)
    answers = await make(task)([features(b"a"), features(b"b")])
    assert answers[0].error.code == "bad_output"
    assert str(answers[0].error).startswith("letters 2: ")
    [_, answer] = answers[0].records
    assert PredictionFailed.model_validate_json(answer.value).model == ModelRef(name=TASK, version="2")
    assert made_of(answers[1])[1].output == {"sum": 98.0}


def test_a_rejection_is_a_dead_letter_and_the_requests_answer(make: Any) -> None:
    incoming = features(b"abc")
    letter, answer = make().reject(incoming, Failure(stage="inference", code="bad", reason="it is bad"))
    said = PredictionFailed.model_validate_json(answer.value)
    unique = ids.prediction_id(TASK, "app", "1")
    assert (letter.topic, letter.key, letter.value) == ("dead-letters", b"key", incoming.value)
    assert letter.headers[: len(incoming.headers)] == incoming.headers
    assert cloudevents.header_text(letter.headers, "rejected_event_id") == unique
    assert cloudevents.header_text(letter.headers, "rejected_event_source") == "hindsight/preprocess"
    assert (answer.topic, answer.key) == ("letters.predictions", b"key")
    assert (said.prediction_id, said.request_id, said.task) == (unique, "1", TASK)
    assert said.error == Failure(stage="inference", code="bad", reason="it is bad")
    assert said.dead_letter == cloudevents.header_text(letter.headers, "rejected_id")
    assert cloudevents.header_text(answer.headers, "ce_subject") == "page 7"
    assert cloudevents.header_text(answer.headers, "ce_requestsource") == "app"


@pytest.mark.parametrize("headers", [(), (("ce_id", b"\xff"),), (("ce_requestid", b"1"),)])
def test_features_of_no_known_request_are_a_dead_letter_without_an_answer(make: Any, headers: Headers) -> None:
    failure = Failure(stage="inference", code="bad", reason="it is bad")
    [letter] = make().reject(ConsumedRecord(FEATURES, b"key", b"abc", headers), failure)
    assert letter.topic == "dead-letters"
    assert cloudevents.header_text(letter.headers, "rejected_event_id") == FEATURES.id


def frame(stream: str, number: int, source: str = "camera") -> ConsumedRecord:
    said = {"id": f"{stream}{number}", "source": source, "stream": stream, "sequence": str(number)}
    return features(b"a" * (number + 1), tuple((f"ce_{name}", text.encode()) for name, text in said.items()))


async def test_of_frames_that_wait_the_latest_of_each_stream_is_predicted_and_all_are_answered(make: Any) -> None:
    other = frame("x", 0, source="other")
    batch = [frame("x", 0), frame("y", 0), frame("x", 1), features(b"abc"), other, frame("x", 1)]
    before = metrics.SKIPPED_FRAMES.labels(TASK)._value.get()
    answers = [answer[0] for answer in await make(frames="latest")(batch)]
    skipped = PredictionFailed.model_validate_json(answers[0].value)
    assert (skipped.error.code, skipped.request_id, skipped.dead_letter) == ("skipped_frame", "x0", None)
    assert dict(answers[0].headers)["ce_stream"] == b"x"
    sums = [PredictionMade.model_validate_json(answer.value).output["sum"] for answer in answers[1:]]
    assert sums == [97.0, 194.0, 294.0, 97.0, 194.0]
    assert metrics.SKIPPED_FRAMES.labels(TASK)._value.get() == before + 1


async def test_all_frames_are_predicted_in_their_order_unless_the_latest_are_asked_for(make: Any) -> None:
    answers = await make()([frame("x", number) for number in range(3)])
    assert [made_of(answer)[1].request_id for answer in answers] == ["x0", "x1", "x2"]
    assert [dict(made_of(answer)[0].headers)["ce_sequence"] for answer in answers] == [b"0", b"1", b"2"]

import dataclasses
import json
import uuid
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.events import base as data
from app.events import cloudevents, decoding
from app.events.answers import build_dead_letter
from app.events.base import EventData, EventType
from app.events.cloudevents import (
    CORE_ATTRIBUTES,
    ConsumedRecord,
    Event,
    Origin,
    Record,
    TopicId,
    complete_event,
    split_version,
)
from app.events.ids import prediction_id, task_of
from app.events.payload import extract_payload
from app.events.types import Failure, FeaturesExtracted, FeedbackGiven, PredictionRequested
from app.inference.handler import read_features
from models.base import Rejected
from tests.support.event_strategies import EXAMPLES, data_strategy, read_example

KIND = "hindsight.prediction.requested.v1"
ORIGIN = Origin(TopicId(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)
PREDICTION = prediction_id("letters", "app", "1")


def current(kind: str) -> EventType:
    """The class that a type of any version is read into."""
    [found] = [known for known in decoding.EVENT_TYPES if split_version(known.type)[0] == split_version(kind)[0]]
    return found


def written(family: EventType) -> list[str]:
    """The types that there are examples of, in every version."""
    return [path.stem for path in sorted(EXAMPLES.iterdir()) if issubclass(current(path.stem), family)]


names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)


@given(names, names, names)
def test_clients_with_the_same_ids_never_collide(request: str, one: str, other: str) -> None:
    assume(one != other)
    assert prediction_id("letters", one, request) != prediction_id("letters", other, request)


@given(st.tuples(names, names), st.tuples(names, names))
def test_a_prediction_has_one_request(one: tuple[str, str], other: tuple[str, str]) -> None:
    ids = [prediction_id("letters", *request) for request in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)


@given(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), names, names)
def test_a_predictions_id_names_its_task(task: str, source: str, request: str) -> None:
    assert task_of(prediction_id(task, source, request)) == task


@pytest.mark.parametrize("id", ["", "letters", "letters:", "letters:1", f":{uuid.UUID(int=1)}", PREDICTION.upper()])
def test_what_is_no_prediction_id_names_no_task(id: str) -> None:
    with pytest.raises(ValueError, match="is no prediction id"):
        task_of(id)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"prediction_id": PREDICTION}, "at least one of correction, reward and accepted"),
        ({"reward": 1}, "either prediction_id, or task and request_id"),
        ({"reward": 1, "task": "letters"}, "either prediction_id, or task and request_id"),
        ({"reward": 1, "request_id": "1"}, "either prediction_id, or task and request_id"),
        ({"reward": 1, "prediction_id": PREDICTION, "request_id": "1"}, "exclude each other"),
        ({"reward": 1, "prediction_id": PREDICTION, "request_source": "app"}, "exclude each other"),
        ({"reward": 1, "prediction_id": PREDICTION, "task": "ocr"}, "prediction_id is not of task 'ocr'"),
        ({"reward": 1, "prediction_id": "letters:1"}, "'letters:1' is no prediction id: <task>:<uuid>"),
        ({"reward": 1.1, "prediction_id": PREDICTION}, "less than or equal to 1"),
        ({"reward": -1.1, "prediction_id": PREDICTION}, "greater than or equal to -1"),
        ({"reward": float("nan"), "prediction_id": PREDICTION}, "finite number"),
        ({"reward": 1, "prediction_id": PREDICTION, "actor": ""}, "at least 1 character"),
        ({"reward": 1, "prediction_id": PREDICTION, "actor": None}, "valid string"),
        ({"reward": 1, "task": "letters", "request_id": ""}, "at least 1 character"),
        ({"reward": 1, "task": "letters", "request_id": "1" * 513}, "at most 512 characters"),
        ({"reward": 1, "prediction_id": PREDICTION, "colour": "red"}, "Extra inputs are not permitted"),
        ({"correction": "text", "prediction_id": PREDICTION}, "valid dictionary"),
    ],
)
def test_feedback_that_says_nothing_of_one_prediction_is_refused(said: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        FeedbackGiven.model_validate({"actor": "ada"} | said)


@pytest.mark.parametrize("said", [{"correction": {}}, {"reward": 0}, {"accepted": False}])
def test_feedback_that_says_little_is_taken(said: dict[str, Any]) -> None:
    FeedbackGiven.model_validate({"prediction_id": PREDICTION, "actor": "ada"} | said)


@given(names, names)
def test_feedback_by_prediction_and_by_request_is_about_the_same(source: str, request: str) -> None:
    unique = prediction_id("letters", source, request)
    by_prediction = FeedbackGiven(prediction_id=unique, reward=1, actor="ada")
    by_request = FeedbackGiven(task="letters", request_id=request, request_source=source, reward=1, actor="ada")
    assert by_prediction.task_and_prediction == by_request.task_and_prediction == ("letters", unique)


def test_feedback_by_request_is_about_a_bare_payloads_default_source() -> None:
    feedback = FeedbackGiven(task="letters", request_id=ORIGIN.id, reward=1, actor="ada")
    event = complete_event((), b"data", ORIGIN, KIND)
    assert feedback.task_and_prediction == ("letters", prediction_id("letters", event.source, event.id))


@pytest.mark.parametrize("kind", [kind for kind in decoding.EVENT_TYPES if issubclass(kind, EventData)])
@given(data=st.data())
def test_what_is_decoded_is_what_was_encoded(kind: type[EventData], data: st.DataObject) -> None:
    said = data.draw(data_strategy(kind))
    attributes: dict[str, Any] = {"id": "1", "source": "app", "time": "2026-01-31T12:00:00Z"}
    record = said.to_record("topic", b"key", **attributes)
    event = complete_event(record.headers, record.value or b"", ORIGIN, kind.type)
    assert decoding.decode(event.type, event.data) == said
    assert event == Event(type=kind.type, data=event.data, content_type="application/json", **attributes)


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        ("com.example.scanned", "unknown_type", "'com.example.scanned' is no type of event"),
        ("hindsight.prediction.made", "unknown_type", "'hindsight.prediction.made' is no type of event"),
        ("hindsight.prediction.eaten.v1", "unknown_type", "no type of event that this Hindsight knows"),
        ("hindsight.features.extracted.v1", "not_json", "the data of 'hindsight.features.extracted.v1' is not JSON"),
        ("hindsight.prediction.made.v2", "newer_version", "upgrade Hindsight"),
        ("hindsight.prediction.made.v1", "bad_data", "prediction_id: Field required"),
    ],
)
def test_what_is_no_data_of_a_known_type_is_refused_with_the_reason(kind: str, code: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        decoding.decode(kind, b"{}")
    assert caught.value.code == code


def test_every_version_of_every_type_has_an_example() -> None:
    """Whoever makes a new version adds its example, and keeps those of the versions before."""
    named = [split_version(kind.type) for kind in decoding.EVENT_TYPES]
    wanted = {f"{name}.v{version}" for name, current in named for version in range(1, current + 1)}
    assert {path.stem for path in EXAMPLES.iterdir()} == wanted


@pytest.mark.parametrize("kind", written(EventData))
def test_data_that_any_version_wrote_still_reads(kind: str) -> None:
    headers, value = read_example(kind)
    event = complete_event(headers, value, ORIGIN, current(kind).type)
    said = decoding.decode(event.type, event.data)
    assert (event.type, type(said)) == (kind, current(kind))
    if kind == said.type:  # nothing of it is lost
        assert json.loads(said.model_dump_json()) == json.loads(value)


@pytest.mark.parametrize("kind", written(PredictionRequested))
def test_a_request_that_any_version_wrote_still_reads(kind: str) -> None:
    headers, value = read_example(kind)
    event = complete_event(headers, value, ORIGIN, PredictionRequested.type)
    assert extract_payload(event, fetch=lambda uri, limit: b"", limit=100) == b"abc"


@pytest.mark.parametrize("kind", written(FeaturesExtracted))
def test_features_that_any_version_wrote_still_read(kind: str) -> None:
    headers, value = read_example(kind)
    _, features = read_features(ConsumedRecord(ORIGIN, b"key", value, headers))
    assert {name: tensor.tobytes() for name, tensor in features.items()} == {"letters": b"abc"}


@pytest.mark.parametrize("kind", [kind.type for kind in decoding.EVENT_TYPES])
def test_a_type_declares_the_headers_that_it_has_beside_cloudevents(kind: str) -> None:
    own = (
        {name for name, _ in read_example(kind)[0]}
        - {f"ce_{name}" for name in CORE_ATTRIBUTES}
        - {"content-type", "traceparent"}
    )
    assert own == current(kind).headers.keys()


def test_data_is_json_in_a_record() -> None:
    feedback = FeedbackGiven(prediction_id=PREDICTION, reward=0.5, actor="ada")
    record = feedback.to_record("letters.feedback", b"key", id="1", source="app", time="2026-01-31T12:00:00Z")
    assert FeedbackGiven.model_validate_json(record.value or b"") == feedback
    assert (record.topic, record.key) == ("letters.feedback", b"key")
    assert cloudevents.header_text(record.headers, "ce_type") == "hindsight.feedback.given.v1"
    assert cloudevents.header_text(record.headers, "content-type") == "application/json"


def letter(origin: Origin = ORIGIN, stage: str = "preprocess", reason: str = "it is bad") -> tuple[str, Record]:
    record = Record(origin.topic, b"key", b"\x00value", (("ce_id", b"1"), ("mine", b"\xff"), ("mine", b"2")))
    return build_dead_letter(record, origin, Failure(stage=stage, code="bad", reason=reason), ("app", "1"))


def test_a_dead_letter_is_the_record_and_what_was_wrong_with_it() -> None:
    reference, dead = letter()
    assert (dead.topic, dead.key, dead.value) == ("dead-letters", b"key", b"\x00value")
    assert dead.headers[:3] == (("ce_id", b"1"), ("mine", b"\xff"), ("mine", b"2"))
    assert {name: value.decode() for name, value in dead.headers[3:]} == {
        "rejected_type": "hindsight.event.rejected.v1",
        "rejected_id": reference,
        "rejected_stage": "preprocess",
        "rejected_code": "bad",
        "rejected_reason": "it is bad",
        "rejected_topic": "letters.requests",
        "rejected_partition": "2",
        "rejected_offset": "7",
        "rejected_event_source": "app",
        "rejected_event_id": "1",
    }


def test_a_record_without_key_and_value_has_a_dead_letter() -> None:
    record = Record("letters.requests", None, None, ())
    _, dead = build_dead_letter(record, ORIGIN, Failure(stage="s", code="c", reason="r"), ("app", "1"))
    assert (dead.key, dead.value) == (None, None)


def test_a_record_rejected_again_at_its_stage_has_the_same_reference() -> None:
    assert letter()[0] == letter(reason="another")[0]
    assert letter()[0] != letter(stage="inference")[0]
    assert letter()[0] != letter(dataclasses.replace(ORIGIN, offset=8))[0]


def test_a_dead_letter_rejected_again_says_the_last_reason() -> None:
    _, once = letter()
    _, twice = build_dead_letter(once, ORIGIN, Failure(stage="s", code="c", reason="again"), ("app", "1"))
    assert cloudevents.header_text(twice.headers, "rejected_reason") == "again"


@given(st.text() | st.text(st.characters(categories=["Cs"])))
def test_any_reason_can_be_written(reason: str) -> None:
    said = Failure(stage="s", code="c", reason=reason)
    assert json.loads(said.model_dump_json())["reason"] == said.reason
    assert letter(reason=reason)[1].headers


def test_a_reason_that_quotes_a_whole_payload_still_fits_into_a_record() -> None:
    assert len(Failure(stage="s", code="c", reason="x" * 10_000_000).reason) == data.MAX_REASON

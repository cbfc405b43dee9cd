import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.events import cloudevents
from app.events.base import MAX_REASON
from app.events.cloudevents import ConsumedRecord, Origin, TopicId, complete_event
from app.events.ids import prediction_id
from app.events.types import Failure, FeaturesExtracted, FeedbackGiven, PredictionRequested
from app.inference.handler import read_features
from tests.support.event_strategies import example_types, read_example

ORIGIN = Origin(TopicId(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)
PREDICTION = prediction_id("letters", "app", "1")
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("feedback_data", "reason"),
    [
        ({"prediction_id": PREDICTION}, "at least one of correction, reward, accepted and preference"),
        ({"reward": 1}, "either prediction_id, or task and request_id"),
        ({"reward": 1, "task": "letters"}, "either prediction_id, or task and request_id"),
        ({"reward": 1, "request_id": "1"}, "either prediction_id, or task and request_id"),
        ({"reward": 1, "prediction_id": PREDICTION, "request_id": "1"}, "exclude each other"),
        ({"reward": 1, "prediction_id": PREDICTION, "request_source": "app"}, "exclude each other"),
        ({"reward": 1, "prediction_id": PREDICTION, "task": "ocr"}, "prediction_id is not of task 'ocr'"),
        ({"reward": 1, "prediction_id": "letters:1"}, "'letters:1' is not a prediction id: <task>:<uuid> is needed"),
        ({"reward": 1.1, "prediction_id": PREDICTION}, "less than or equal to 1"),
        ({"reward": -1.1, "prediction_id": PREDICTION}, "greater than or equal to -1"),
        ({"reward": float("nan"), "prediction_id": PREDICTION}, "finite number"),
        ({"reward": 1, "prediction_id": PREDICTION, "actor": ""}, "at least 1 character"),
        ({"reward": 1, "prediction_id": PREDICTION, "actor": None}, "valid string"),
        ({"reward": 1, "task": "letters", "request_id": ""}, "at least 1 character"),
        ({"accepted": True, "reward_name": "click", "prediction_id": PREDICTION}, "a reward_name needs a reward"),
        ({"accepted": True, "position": 1, "prediction_id": PREDICTION}, "a position needs a reward"),
        ({"reward": 1, "position": 0, "prediction_id": PREDICTION}, "greater than or equal to 1"),
        ({"reward": 1, "reward_name": "", "prediction_id": PREDICTION}, "at least 1 character"),
        ({"reward": 1, "task": "letters", "request_id": "1" * 513}, "at most 512 characters"),
        ({"reward": 1, "prediction_id": PREDICTION, "colour": "red"}, "Extra inputs are not permitted"),
        ({"correction": "text", "prediction_id": PREDICTION}, "valid dictionary"),
        ({"preference": {"output": {}}, "prediction_id": PREDICTION}, "Field required"),
    ],
)
def test_invalid_feedback_is_rejected_with_the_reason(feedback_data: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        FeedbackGiven.model_validate({"actor": "ada"} | feedback_data)


@pytest.mark.parametrize(
    "feedback_data",
    [{"correction": {}}, {"reward": 0}, {"accepted": False}, {"preference": {"output": {}, "better": True}}],
)
def test_feedback_with_a_single_statement_is_accepted(feedback_data: dict[str, Any]) -> None:
    FeedbackGiven.model_validate({"prediction_id": PREDICTION, "actor": "ada"} | feedback_data)


@given(names, names)
def test_feedback_by_prediction_and_by_request_has_the_same_key(source: str, request: str) -> None:
    prediction = prediction_id("letters", source, request)
    by_prediction = FeedbackGiven(prediction_id=prediction, reward=1, actor="ada")
    by_request = FeedbackGiven(task="letters", request_id=request, request_source=source, reward=1, actor="ada")
    assert by_prediction.task_and_prediction == by_request.task_and_prediction == ("letters", prediction)


def test_feedback_by_request_defaults_to_the_source_of_a_bare_payload() -> None:
    feedback = FeedbackGiven(task="letters", request_id=ORIGIN.id, reward=1, actor="ada")
    event = complete_event((), b"data", ORIGIN, PredictionRequested.type)
    assert feedback.task_and_prediction == ("letters", prediction_id("letters", event.source, event.id))


def test_a_reason_that_quotes_a_large_payload_fits_into_a_record() -> None:
    assert len(Failure(stage="s", code="c", reason="x" * 10_000_000).reason) == MAX_REASON


def test_the_data_of_a_record_is_json() -> None:
    feedback = FeedbackGiven(prediction_id=PREDICTION, reward=0.5, actor="ada")
    record = feedback.to_record("letters.feedback", b"key", id="1", source="app", time="2026-01-31T12:00:00Z")
    assert FeedbackGiven.model_validate_json(record.value or b"") == feedback
    assert (record.topic, record.key) == ("letters.feedback", b"key")
    assert cloudevents.header_text(record.headers, "ce_type") == "hindsight.feedback.given.v1"
    assert cloudevents.header_text(record.headers, "content-type") == "application/json"


@pytest.mark.parametrize("type_name", example_types(FeaturesExtracted))
def test_features_of_every_version_can_be_read(type_name: str) -> None:
    headers, value = read_example(type_name)
    _, features = read_features(ConsumedRecord(ORIGIN, b"key", value, headers))
    assert {name: tensor.tobytes() for name, tensor in features.items()} == {"letters": b"abc"}

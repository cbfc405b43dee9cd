"""The synthetic history is one that the platform could have logged."""

from itertools import chain, pairwise

from app.events import topics
from app.events.cloudevents import Origin, TopicId, complete_event, header_text
from app.events.decoding import EVENT_TYPES
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, PredictionMade
from benchmarks.synthetic_history import EVENTS_PER_REQUEST, HEIGHT, SOURCE, generate_history
from models import tensors
from models.small.ocr import Ocr

REQUESTS = 1_000
HISTORY = list(generate_history(REQUESTS, width=50))
FEEDBACK = topics.feedback("ocr")


def test_each_request_has_features_and_a_prediction_and_some_have_feedback() -> None:
    kinds = [topics.requests("ocr"), topics.features("ocr"), topics.predictions("ocr")]
    assert all([record.topic for record in records if record.topic != FEEDBACK] == kinds for records in HISTORY)
    assert abs(sum(map(len, HISTORY)) / REQUESTS - EVENTS_PER_REQUEST) < 0.03


def test_no_two_requests_are_alike() -> None:
    for index in range(3):
        assert len({records[index].value for records in HISTORY}) == REQUESTS
    assert len({records[0].key for records in HISTORY}) == REQUESTS


def test_every_event_can_be_read_and_belongs_to_its_request() -> None:
    types = {event_type.type for event_type in EVENT_TYPES}
    task = Ocr()
    for request, extracted, predicted, *feedback_records in HISTORY:
        request_id = header_text(request.headers, "ce_id")
        assert request_id is not None
        id = prediction_id("ocr", SOURCE, request_id)
        features = tensors.decode(extracted.value or b"", header_text(extracted.headers, "ce_tensors") or "")
        assert features["image"].shape == (HEIGHT, int(features["width"])) == (HEIGHT, 50)
        assert header_text(extracted.headers, "ce_id") == id
        assert header_text(extracted.headers, "ce_preprocessversion") == task.preprocess_version
        assert PredictionMade.decode(predicted.value or b"", 1).prediction_id == id
        for record in feedback_records:
            feedback = FeedbackGiven.decode(record.value or b"", 1)
            assert feedback.task_and_prediction == ("ocr", id)
            assert task.validate_correction(feedback.correction or {}) == feedback.correction
        for record in (request, extracted, predicted, *feedback_records):
            origin = Origin(TopicId("c/t"), record.topic, 0, 0, 0)
            type = header_text(record.headers, "ce_type") or ""
            assert type in types
            assert complete_event(record.headers, b"", origin, type).source


def test_requests_are_in_the_order_of_their_time() -> None:
    times = [header_text(records[0].headers, "ce_time") or "" for records in HISTORY]
    assert all(before <= after for before, after in pairwise(times))
    assert all(times[0] <= (header_text(record.headers, "ce_time") or "") for record in chain.from_iterable(HISTORY))

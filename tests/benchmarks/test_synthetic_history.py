"""The history that is made up is one that the platform could have logged."""

from itertools import chain, pairwise

from app.events import topics
from app.events.cloudevents import Origin, TopicId, complete_event, header_text
from app.events.decoding import EVENT_TYPES
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, PredictionMade
from benchmarks.synthetic_history import EVENTS_PER_REQUEST, HEIGHT, SOURCE, generate_history
from models import tensors
from models.ocr import Ocr

REQUESTS = 1_000
MADE = list(generate_history(REQUESTS, width=50))
FEEDBACK = topics.feedback("ocr")


def test_each_request_has_features_and_a_prediction_and_some_have_feedback() -> None:
    kinds = [topics.requests("ocr"), topics.features("ocr"), topics.predictions("ocr")]
    assert all([one.topic for one in records if one.topic != FEEDBACK] == kinds for records in MADE)
    assert abs(sum(map(len, MADE)) / REQUESTS - EVENTS_PER_REQUEST) < 0.03


def test_no_two_requests_are_alike() -> None:
    for place in range(3):
        assert len({records[place].value for records in MADE}) == REQUESTS
    assert len({records[0].key for records in MADE}) == REQUESTS


def test_every_event_can_be_read_and_is_about_its_request() -> None:
    known = {kind.type for kind in EVENT_TYPES}
    task = Ocr()
    for asked, extracted, predicted, *given in MADE:
        request = header_text(asked.headers, "ce_id")
        assert request is not None
        unique = prediction_id("ocr", SOURCE, request)
        features = tensors.decode(extracted.value or b"", header_text(extracted.headers, "ce_tensors") or "")
        assert features["image"].shape == (HEIGHT, int(features["width"])) == (HEIGHT, 50)
        assert header_text(extracted.headers, "ce_id") == unique
        assert header_text(extracted.headers, "ce_preprocessversion") == task.preprocess_version
        assert PredictionMade.decode(predicted.value or b"", 1).prediction_id == unique
        for one in given:
            said = FeedbackGiven.decode(one.value or b"", 1)
            assert said.task_and_prediction == ("ocr", unique)
            assert task.validate_correction(said.correction or {}) == said.correction
        for one in (asked, extracted, predicted, *given):
            origin = Origin(TopicId("c/t"), one.topic, 0, 0, 0)
            kind = header_text(one.headers, "ce_type") or ""
            assert kind in known
            assert complete_event(one.headers, b"", origin, kind).source


def test_requests_come_one_after_the_other() -> None:
    times = [header_text(records[0].headers, "ce_time") or "" for records in MADE]
    assert all(before <= after for before, after in pairwise(times))
    assert all(times[0] <= (header_text(one.headers, "ce_time") or "") for one in chain.from_iterable(MADE))

"""The events of an example: their content, and their ids, which are the same in every import."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import Origin, TopicId, complete_event, decode_headers
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, PredictionMade, PredictionRequested
from app.importers.example import Example
from app.importers.example_events import IMPORTED_VERSION, SOURCE, EventBuilder, ExampleEvents
from app.preprocess.preprocessor import Preprocessor
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Rejected
from tests.support.tasks import Letters

ORIGIN = Origin(TopicId("epoch"), "letters.requests", 0, 0, 0)
LABELLED = Example("labels.csv:7", "file:///abc", b"abc", {"sum": 294.0})
SERVED = replace(
    LABELLED, output={"sum": 1.0}, propensity=0.25, reward=-0.5, entity="ada", time="2026-01-31T12:00:00.000Z"
)


@pytest.fixture
def builder(tmp_path: Path) -> EventBuilder:
    return EventBuilder(Settings(home=tmp_path, max_blob_bytes=1), Letters(), "file:///data/labels.csv", "import:ada")


def build(builder: EventBuilder, example: Example) -> ExampleEvents:
    return builder.build(example, builder.build_feedback(example))


def test_a_request_has_its_payload_and_origin_and_the_live_job_ignores_it(
    builder: EventBuilder, tmp_path: Path
) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    uri = (tmp_path / "abc").as_uri()
    request = build(builder, replace(LABELLED, identity=uri, payload=uri)).request
    event = complete_event(request.headers, request.value or b"", ORIGIN, PredictionRequested.type)
    assert (event.data, request.key, event.subject) == (b"abc", uri.encode(), uri)
    assert (event.source, event.extensions["importrow"]) == (SOURCE, "labels.csv:7")
    assert event.extensions["importsource"] == "file:///data/labels.csv"
    live = Preprocessor(Letters(), lambda *_: b"", 10_000)
    assert live(ORIGIN, request.key, request.value, request.headers).records == ()


def test_feedback_has_the_correction_and_the_actor(builder: EventBuilder) -> None:
    events = build(builder, LABELLED)
    event = complete_event(events.feedback.headers, events.feedback.value or b"", ORIGIN, FeedbackGiven.type)
    feedback = FeedbackGiven.decode(event.data, 1)
    assert (feedback.correction, feedback.actor, feedback.task_and_prediction) == (
        {"sum": 294.0},
        "import:ada",
        ("letters", events.prediction_id),
    )
    assert event.extensions["importrow"] == "labels.csv:7"
    assert events.prediction is None


def test_a_served_output_becomes_the_prediction_with_its_propensity_and_time(builder: EventBuilder) -> None:
    events = build(builder, SERVED)
    assert events.prediction is not None
    prediction = PredictionMade.decode(events.prediction.value or b"", 1)
    assert (prediction.output, prediction.propensity, prediction.model.version) == (
        {"sum": 1.0},
        0.25,
        IMPORTED_VERSION,
    )
    headers = [decode_headers(record.headers) for record in (events.request, events.prediction, events.feedback)]
    assert [record_headers["ce_time"] for record_headers in headers] == ["2026-01-31T12:00:00.000Z"] * 3
    assert prediction.prediction_id == prediction_id("letters", SOURCE, headers[0]["ce_id"]) == headers[1]["ce_id"]
    assert (events.request.key, headers[0]["ce_subject"]) == (b"ada", "ada")


def ids(events: ExampleEvents) -> tuple[str, str]:
    request, feedback = (decode_headers(record.headers)["ce_id"] for record in (events.request, events.feedback))
    return request, feedback


def test_an_example_has_the_same_ids_in_every_import_and_a_new_label_has_the_same_request(
    builder: EventBuilder, tmp_path: Path
) -> None:
    other_builder = EventBuilder(Settings(home=tmp_path), Letters(), "file:///data/labels.csv", "import:bob")
    request, feedback = ids(build(builder, LABELLED))
    assert ids(build(other_builder, replace(LABELLED, where="labels.csv:9"))) == (request, feedback)
    corrected = ids(build(builder, replace(LABELLED, correction={"sum": 1.0})))
    assert corrected[0] == request
    assert corrected[1] != feedback
    assert ids(build(builder, replace(LABELLED, identity="file:///abd")))[0] != request


def test_a_payload_too_large_for_kafka_goes_by_claim_check(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, max_payload_bytes=100_000)
    large = b"a" * 50_000
    events = build(EventBuilder(settings, Letters(), "file:///x", "ada"), replace(LABELLED, payload=large))
    claim = json.loads(events.request.value or b"")
    assert blob_store(settings).get(claim["uri"], 100_000) == large
    assert events.features.value == large


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payload": b"\xff"}, "not_ascii"),
        ({"payload": b""}, "empty"),
        ({"payload": b"a" * (Letters.max_payload_bytes + 1)}, "too_large"),
        ({"payload": "file:///nowhere"}, "unreadable"),
        ({"output": {"sum": {1, 2}}}, "bad_output"),
        ({"entity": "e" * 100_000}, "bad_key"),
    ],
)
def test_an_example_that_cannot_be_used_for_training_is_rejected(
    builder: EventBuilder, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], code: str
) -> None:
    def strict_score(self: Letters, output: Any, correction: Any) -> float:
        return float(output["sum"])

    monkeypatch.setattr(Letters, "score", strict_score)
    with pytest.raises(Rejected) as caught:
        build(builder, replace(LABELLED, **change))
    assert caught.value.code == code


def test_a_correction_that_makes_the_task_raise_is_rejected(
    builder: EventBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Letters, "validate_correction", lambda self, correction: correction["nothing"])
    with pytest.raises(Rejected) as caught:
        builder.build_feedback(LABELLED)
    assert caught.value.code == "bad_correction"


@given(where=st.text(max_size=600), entity=st.text(max_size=600))
def test_the_headers_of_events_are_readable_whatever_the_names_in_the_source(
    tmp_path_factory: pytest.TempPathFactory, where: str, entity: str
) -> None:
    builder = EventBuilder(Settings(home=tmp_path_factory.getbasetemp()), Letters(), where, "ada")
    events = build(builder, replace(LABELLED, where=where, entity=entity))
    for record in (events.request, events.feedback):
        assert decode_headers(record.headers)["ce_importrow"] == decode_headers(record.headers)["ce_importsource"]

"""The events of an example: what they say, and that they are the same whenever it is imported again."""

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
SAID = Example("labels.csv:7", "file:///abc", b"abc", {"sum": 294.0})
SERVED = replace(SAID, output={"sum": 1.0}, propensity=0.25, reward=-0.5, entity="ada", time="2026-01-31T12:00:00.000Z")


@pytest.fixture
def records(tmp_path: Path) -> EventBuilder:
    return EventBuilder(Settings(home=tmp_path), Letters(), "file:///data/labels.csv", "import:ada")


def made(records: EventBuilder, example: Example) -> ExampleEvents:
    return records.build(example, records.build_feedback(example))


def test_a_request_carries_the_payload_and_where_it_comes_from_and_is_left_alone_by_the_live_job(
    records: EventBuilder, tmp_path: Path
) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    uri = (tmp_path / "abc").as_uri()
    request = made(records, replace(SAID, identity=uri, payload=uri)).request
    event = complete_event(request.headers, request.value or b"", ORIGIN, PredictionRequested.type)
    assert (event.data, request.key, event.subject) == (b"abc", uri.encode(), uri)
    assert (event.source, event.extensions["importrow"]) == (SOURCE, "labels.csv:7")
    assert event.extensions["importsource"] == "file:///data/labels.csv"
    live = Preprocessor(Letters(), lambda *_: b"", 10_000)
    assert live(ORIGIN, request.key, request.value, request.headers).records == ()


def test_feedback_says_what_is_known_of_the_request_in_the_actors_name(records: EventBuilder) -> None:
    ready = made(records, SAID)
    event = complete_event(ready.feedback.headers, ready.feedback.value or b"", ORIGIN, FeedbackGiven.type)
    said = FeedbackGiven.decode(event.data, 1)
    assert (said.correction, said.actor, said.task_and_prediction) == (
        {"sum": 294.0},
        "import:ada",
        ("letters", ready.prediction_id),
    )
    assert event.extensions["importrow"] == "labels.csv:7"
    assert ready.prediction is None


def test_what_was_served_is_the_prediction_with_its_propensity_at_its_time(records: EventBuilder) -> None:
    ready = made(records, SERVED)
    assert ready.prediction is not None
    said = PredictionMade.decode(ready.prediction.value or b"", 1)
    assert (said.output, said.propensity, said.model.version) == ({"sum": 1.0}, 0.25, IMPORTED_VERSION)
    headers = [decode_headers(record.headers) for record in (ready.request, ready.prediction, ready.feedback)]
    assert [said["ce_time"] for said in headers] == ["2026-01-31T12:00:00.000Z"] * 3
    assert said.prediction_id == prediction_id("letters", SOURCE, headers[0]["ce_id"]) == headers[1]["ce_id"]
    assert (ready.request.key, headers[0]["ce_subject"]) == (b"ada", "ada")


def ids(ready: ExampleEvents) -> tuple[str, str]:
    request, feedback = (decode_headers(record.headers)["ce_id"] for record in (ready.request, ready.feedback))
    return request, feedback


def test_the_same_example_has_the_same_ids_and_another_label_is_said_of_the_same_request(
    records: EventBuilder, tmp_path: Path
) -> None:
    by_another = EventBuilder(Settings(home=tmp_path), Letters(), "file:///data/labels.csv", "import:bob")
    request, feedback = ids(made(records, SAID))
    assert ids(made(by_another, replace(SAID, where="labels.csv:9"))) == (request, feedback)
    corrected = ids(made(records, replace(SAID, correction={"sum": 1.0})))
    assert corrected[0] == request
    assert corrected[1] != feedback
    assert ids(made(records, replace(SAID, identity="file:///abd")))[0] != request


def test_a_payload_too_large_for_kafka_goes_by_claim_check(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, max_payload_bytes=100_000)
    large = b"a" * 50_000
    ready = made(EventBuilder(settings, Letters(), "file:///x", "ada"), replace(SAID, payload=large))
    claim = json.loads(ready.request.value or b"")
    assert blob_store(settings).get(claim["uri"], 100_000) == large
    assert ready.features.value == large


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
def test_an_example_that_could_not_be_learned_from_is_rejected(
    records: EventBuilder, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], code: str
) -> None:
    def strict(self: Letters, output: Any, correction: Any) -> float:
        return float(output["sum"])

    monkeypatch.setattr(Letters, "score", strict)
    with pytest.raises(Rejected) as caught:
        made(records, replace(SAID, **change))
    assert caught.value.code == code


def test_a_correction_that_the_task_stumbles_over_is_rejected(
    records: EventBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Letters, "validate_correction", lambda self, correction: correction["nothing"])
    with pytest.raises(Rejected) as caught:
        records.build_feedback(SAID)
    assert caught.value.code == "bad_correction"


@given(where=st.text(max_size=600), entity=st.text(max_size=600))
def test_whatever_a_source_is_called_its_events_have_headers_that_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, where: str, entity: str
) -> None:
    records = EventBuilder(Settings(home=tmp_path_factory.getbasetemp()), Letters(), where, "ada")
    ready = made(records, replace(SAID, where=where, entity=entity))
    for record in (ready.request, ready.feedback):
        assert decode_headers(record.headers)["ce_importrow"] == decode_headers(record.headers)["ce_importsource"]

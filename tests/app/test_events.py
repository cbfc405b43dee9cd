import dataclasses
import json
import uuid
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from app import cloudevents, events
from app.cloudevents import Event, LogEpoch, Origin, Record, complete
from app.events import Failure, FeedbackGiven, dead_letter
from models.base import Rejected

KIND = "hindsight.prediction.requested.v1"
ORIGIN = Origin(LogEpoch(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)
PREDICTION = events.prediction_id("letters", "app", "1")

text = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
times = st.datetimes(timezones=st.timezones()).map(lambda moment: moment.astimezone().isoformat())
extensions = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
        lambda name: name not in {"specversion", "id", "type", "source", "subject", "time"}
    ),
    text,
    max_size=3,
)
origins = st.builds(
    Origin,
    epoch=st.builds(lambda cluster, topic: LogEpoch(f"{cluster}/{topic}"), st.from_regex(r"[\w-]{4}"), st.uuids()),
    topic=st.from_regex(r"[a-zA-Z0-9._-]{1,5}", fullmatch=True),
    partition=st.integers(0, 300),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.just(0),
)


def completed(**headers: bytes | None) -> Event:
    """The event of a record with these headers; `content_type` stands for content-type."""
    named = [(name.replace("content_type", "content-type"), value) for name, value in headers.items()]
    return complete(named, b"data", ORIGIN, KIND)


def refusal(**headers: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        completed(**headers)
    assert caught.value.code == "bad_headers"
    return str(caught.value)


@given(
    st.builds(
        Event,
        id=names,
        type=names.filter(lambda kind: not kind.startswith("hindsight.")) | st.just(KIND),
        source=names,
        time=times,
        data=st.binary(max_size=20),
        subject=st.none() | text,
        content_type=st.none() | text,
        traceparent=st.none() | text,
        extensions=extensions,
    )
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert complete(event.headers(), event.data, ORIGIN, KIND) == event


def test_a_bare_payload_is_an_event() -> None:
    event = complete((), b"data", ORIGIN, KIND)
    assert event == Event(
        id=ORIGIN.id, type=KIND, source="kafka:letters.requests", time="2026-01-31T12:00:00.123Z", data=b"data"
    )


def test_attributes_without_a_value_are_filled_in() -> None:
    assert completed(ce_id=None, ce_time=None, ce_source=None) == complete((), b"data", ORIGIN, KIND)


def test_a_missing_id_is_the_same_under_redelivery() -> None:
    assert completed().id == completed().id == dataclasses.replace(ORIGIN, timestamp_ms=0).id


@pytest.mark.parametrize(
    "elsewhere",
    [{"epoch": LogEpoch(f"cluster/{uuid.UUID(int=2)}")}, {"partition": 3}, {"offset": 8}, {"topic": "ocr.requests"}],
    ids="-".join,
)
def test_a_missing_id_is_another_one_for_another_record(elsewhere: dict[str, Any]) -> None:
    assert dataclasses.replace(ORIGIN, **elsewhere).id != ORIGIN.id


@given(origins, origins)
def test_no_two_records_share_a_missing_id(one: Origin, other: Origin) -> None:
    assert (one.id == other.id) == (one == other)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"ce_id": b"\xff"}, "header 'ce_id' is not UTF-8 text"),
        ({"traceparent": b"\xc3"}, "header 'traceparent' is not UTF-8 text"),
        ({"ce_subject": b"a\nb"}, "header 'ce_subject' has control characters"),
        ({"ce_mine": b"\x00"}, "header 'ce_mine' has control characters"),
        ({"content_type": b"a\x7f"}, "header 'content-type' has control characters"),
        ({"ce_source": b"s" * 513}, "header 'ce_source' has 513 characters; at most 512"),
        ({"ce_id": b""}, "ce_id is empty"),
        ({"ce_source": b""}, "ce_source is empty"),
        ({"ce_type": b""}, "ce_type is empty"),
        ({"ce_specversion": b"0.3"}, "ce_specversion is '0.3'; this platform reads '1.0'"),
        ({"ce_time": b"2026-01-31T12:00:00"}, "ce_time is '2026-01-31T12:00:00', without a time zone"),
        ({"ce_time": b"yesterday"}, "ce_time is 'yesterday'; RFC 3339 is needed"),
        ({"ce_time": b""}, "ce_time is ''; RFC 3339 is needed"),
        ({"ce_type": b"hindsight.prediction.made.v1"}, f"this topic carries '{KIND}'"),
    ],
)
def test_headers_that_break_the_specification_are_refused_by_name(headers: dict[str, bytes], reason: str) -> None:
    assert reason in refusal(**headers)


@given(st.dictionaries(st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_time", "ce_x", "other"]), st.binary()))
def test_headers_are_read_or_refused(headers: dict[str, bytes]) -> None:
    try:
        event = complete(headers.items(), b"", ORIGIN, KIND)
    except Rejected as error:
        assert error.code == "bad_headers"
    else:
        assert complete(event.headers(), b"", ORIGIN, KIND) == event


@pytest.mark.parametrize("subject", ["Screenshot 9.41\u202fAM.png", "日本\u3000語", "👩\u200d🔬", "\ue000"])
def test_text_that_is_not_printable_is_text(subject: str) -> None:
    assert completed(ce_subject=subject.encode()).subject == subject


def test_what_is_not_ours_is_ignored() -> None:
    assert completed(x_mine=b"\xff\x00", ce_NotAnExtension=b"1", **{"ce_" + "x" * 21: b"1"}) == completed()


def test_an_application_may_name_types_of_its_own() -> None:
    assert completed(ce_type=b"com.example.scanned").type == "com.example.scanned"


def test_of_a_repeated_header_the_last_counts() -> None:
    assert complete([("ce_id", b"1"), ("ce_id", b"2")], b"", ORIGIN, KIND).id == "2"


def test_a_long_declaration_of_tensors_is_taken() -> None:
    assert len(completed(ce_tensors=b"t" * 10_000).extensions["tensors"]) == 10_000


@pytest.mark.parametrize(
    ("headers", "identity"),
    [
        ({"ce_id": b"1", "ce_source": b"app", "ce_time": b"never"}, ("app", "1")),
        ({"ce_id": b"\xff", "ce_source": b"app"}, ("app", ORIGIN.id)),
        ({"ce_id": b"1", "ce_source": b""}, ("kafka:letters.requests", "1")),
        ({"ce_subject": b"\x00"}, ("kafka:letters.requests", ORIGIN.id)),
    ],
)
def test_refused_headers_still_tell_the_identity_they_hold(
    headers: dict[str, bytes], identity: tuple[str, str]
) -> None:
    refusal(**headers)
    assert cloudevents.identity(headers.items(), ORIGIN) == identity


@given(names, names, names)
def test_clients_with_the_same_ids_never_collide(request: str, one: str, other: str) -> None:
    assume(one != other)
    assert events.prediction_id("letters", one, request) != events.prediction_id("letters", other, request)


@given(st.tuples(names, names), st.tuples(names, names))
def test_a_prediction_has_one_request(one: tuple[str, str], other: tuple[str, str]) -> None:
    ids = [events.prediction_id("letters", *request) for request in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)


@given(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), names, names)
def test_a_predictions_id_names_its_task(task: str, source: str, request: str) -> None:
    assert events.task_of(events.prediction_id(task, source, request)) == task


@pytest.mark.parametrize("id", ["", "letters", "letters:", "letters:1", f":{uuid.UUID(int=1)}", PREDICTION.upper()])
def test_what_is_no_prediction_id_names_no_task(id: str) -> None:
    with pytest.raises(ValueError, match="is no prediction id"):
        events.task_of(id)


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
    unique = events.prediction_id("letters", source, request)
    by_prediction = FeedbackGiven(prediction_id=unique, reward=1, actor="ada")
    by_request = FeedbackGiven(task="letters", request_id=request, request_source=source, reward=1, actor="ada")
    assert by_prediction.about == by_request.about == ("letters", unique)


def test_feedback_by_request_is_about_a_bare_payloads_default_source() -> None:
    feedback = FeedbackGiven(task="letters", request_id=ORIGIN.id, reward=1, actor="ada")
    event = complete((), b"data", ORIGIN, KIND)
    assert feedback.about == ("letters", events.prediction_id("letters", event.source, event.id))


def test_data_is_json_in_a_record() -> None:
    feedback = FeedbackGiven(prediction_id=PREDICTION, reward=0.5, actor="ada")
    record = feedback.record("letters.feedback", b"key", id="1", source="app", time="2026-01-31T12:00:00Z")
    assert FeedbackGiven.model_validate_json(record.value or b"") == feedback
    assert (record.topic, record.key) == ("letters.feedback", b"key")
    assert cloudevents.header(record.headers, "ce_type") == "hindsight.feedback.given.v1"
    assert cloudevents.header(record.headers, "content-type") == "application/json"


def letter(origin: Origin = ORIGIN, stage: str = "preprocess", reason: str = "it is bad") -> tuple[str, Record]:
    record = Record(origin.topic, b"key", b"\x00value", (("ce_id", b"1"), ("mine", b"\xff"), ("mine", b"2")))
    return dead_letter(record, origin, Failure(stage=stage, code="bad", reason=reason), ("app", "1"))


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
    _, dead = dead_letter(record, ORIGIN, Failure(stage="s", code="c", reason="r"), ("app", "1"))
    assert (dead.key, dead.value) == (None, None)


def test_a_record_rejected_again_at_its_stage_has_the_same_reference() -> None:
    assert letter()[0] == letter(reason="another")[0]
    assert letter()[0] != letter(stage="inference")[0]
    assert letter()[0] != letter(dataclasses.replace(ORIGIN, offset=8))[0]


def test_a_dead_letter_rejected_again_says_the_last_reason() -> None:
    _, once = letter()
    _, twice = dead_letter(once, ORIGIN, Failure(stage="s", code="c", reason="again"), ("app", "1"))
    assert cloudevents.header(twice.headers, "rejected_reason") == "again"


@given(st.text() | st.text(st.characters(categories=["Cs"])))
def test_any_reason_can_be_written(reason: str) -> None:
    said = Failure(stage="s", code="c", reason=reason)
    assert json.loads(said.model_dump_json())["reason"] == said.reason
    assert letter(reason=reason)[1].headers


def test_a_reason_that_quotes_a_whole_payload_still_fits_into_a_record() -> None:
    assert len(Failure(stage="s", code="c", reason="x" * 10_000_000).reason) == events.MAX_REASON


def test_a_header_is_looked_up_in_pairs_and_in_maps() -> None:
    assert cloudevents.header([("a", b"1"), ("a", b"2")], "a") == cloudevents.header({"a": b"2"}, "a") == "2"
    assert cloudevents.header([], "a") is None
    assert cloudevents.header({"a": b"\xff"}, "a") == "\ufffd"

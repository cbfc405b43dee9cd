import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import JSON, ConsumedRecord, Headers, Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.types import FeaturesExtracted, PredictionFailed
from app.inference.handler import read_features
from app.preprocess.preprocessor import MAX_KEY_BYTES, Preprocessor, PreprocessResult
from models.base import Features, Rejected
from tests.support.tasks import Letters

ORIGIN = Origin(TopicId("cluster/topic"), "letters.requests", 1, 7, 1_769_860_800_123)
BLOBS = {"blob://abc": b"abc", "blob://empty": b"", "blob://large": b"x" * 101}
MINE: Headers = (("ce_id", b"1"), ("ce_source", b"app"), ("ce_subject", b"page 7"))
AS_JSON: Headers = (("content-type", JSON.encode()),)
DEEP = b"[" * 100_000


class Small(Letters):
    """Takes a hundred bytes."""

    max_payload_bytes = 100


def fetch(uri: str, limit: int) -> bytes:
    if uri not in BLOBS:
        raise Rejected("blob_missing", f"there is no {uri}")
    return BLOBS[uri]


def preprocessed(
    value: bytes | None, headers: Headers = (), task: Letters | None = None, key: bytes | None = b"key", **more: Any
) -> PreprocessResult:
    return Preprocessor(task or Small(), fetch, 100_000)(ORIGIN, key, value, headers, **more)


def features_of(outputs: PreprocessResult) -> Features:
    """What the inference agent reads of the features record."""
    assert outputs.rejection is None
    [record] = outputs.records
    assert record.topic == "letters.features"
    return read_features(ConsumedRecord(ORIGIN, record.key, record.value, record.headers))[1]


def payload_of(outputs: PreprocessResult) -> bytes:
    return features_of(outputs)["letters"].tobytes()


def texts(record: Record) -> Mapping[str, str]:
    return {name: value.decode() for name, value in record.headers}


def refused(outputs: PreprocessResult) -> tuple[str, str]:
    """The code and reason of a rejection, which the dead letter and the answer agree on."""
    letter, record = outputs.records
    answer = PredictionFailed.model_validate_json(record.value or b"")
    said = texts(letter)
    assert (letter.topic, record.topic) == ("dead-letters", "letters.predictions")
    assert answer.error.stage == said["rejected_stage"] == "preprocess"
    assert answer.error.code == said["rejected_code"]
    assert answer.error.reason == said["rejected_reason"]
    assert answer.dead_letter == said["rejected_id"]
    source, request = said["rejected_event_source"], said["rejected_event_id"]
    assert answer.request_id == request
    assert answer.prediction_id == texts(record)["ce_id"] == prediction_id("letters", source, request)
    assert texts(record)["ce_requestsource"] == source
    assert outputs.rejection is not None
    assert outputs.rejection.code == answer.error.code
    return answer.error.code, answer.error.reason


@given(st.binary(min_size=1, max_size=100).filter(lambda payload: payload.isascii() and payload != b"die"))
def test_a_bare_payload_is_taken_as_it_is(payload: bytes) -> None:
    outputs = preprocessed(payload)
    if outputs.rejection is None:
        assert payload_of(outputs) == payload


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=50).map(str.encode))
def test_a_payload_in_json_is_the_same_as_the_bare_one(payload: bytes) -> None:
    if payload in (b"die", b"bug", b"refuse"):
        return
    envelope = json.dumps({"data_base64": base64.b64encode(payload).decode()}).encode()
    for headers in ((), AS_JSON, (("content-type", b"application/json; charset=utf-8"),)):
        assert payload_of(preprocessed(envelope, headers)) == payload


@pytest.mark.parametrize("headers", [(), AS_JSON])
def test_a_claim_is_fetched(headers: Headers) -> None:
    assert payload_of(preprocessed(b'{"uri": "blob://abc"}', headers)) == b"abc"


@pytest.mark.parametrize(
    "value",
    [b'{"context": {}}', b'{"uri": "blob://abc", "data_base64": "YQ=="}', b'{"uri": "blob://abc", "more": 1}', b"[1]"],
)
def test_json_that_is_no_envelope_is_a_payload(value: bytes) -> None:
    assert payload_of(preprocessed(value, AS_JSON)) == payload_of(preprocessed(value)) == value


@pytest.mark.parametrize("value", [b"{", b"{not json", b'{"uri"', b'{"a":' * 10_000])
def test_what_only_looks_like_json_is_a_payload(value: bytes) -> None:
    assert payload_of(preprocessed(value, task=Letters())) == value


def test_a_payload_declared_as_something_else_is_no_envelope() -> None:
    value = b'{"uri": "blob://abc"}'
    assert payload_of(preprocessed(value, (("content-type", b"text/plain"),))) == value


@pytest.mark.parametrize(
    ("value", "headers", "code", "reason"),
    [
        (None, (), "empty", "the value is empty"),
        (b"", (), "empty", "the value is empty"),
        (b'{"data_base64": ""}', (), "empty", "the value is empty"),
        (b'{"uri": "blob://empty"}', (), "empty", "the value is empty"),
        (b"", AS_JSON, "bad_envelope", "the value is no JSON"),
        (b"{", AS_JSON, "bad_envelope", "the value is no JSON"),
        (b"\xff{}", AS_JSON, "bad_envelope", "the value is no JSON"),
        (DEEP, AS_JSON, "bad_envelope", "the value is no JSON"),
        (b'{"data_base64": "YQ"}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": "Y Q="}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": "\\u00e9"}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": "\\ud800"}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": null}', (), "bad_envelope", "data_base64 is of NoneType; a string is needed"),
        (b'{"uri": ["blob://abc"]}', (), "bad_envelope", "uri is of list; a string is needed"),
        (b'{"uri": "blob://gone"}', (), "blob_missing", "there is no blob://gone"),
        (b"x" * 101, (), "too_large", "the payload has 101 bytes; at most 100 are taken"),
        (b'{"uri": "blob://large"}', (), "too_large", "the payload has 101 bytes"),
        ("é".encode(), (), "not_ascii", "the payload is not ASCII text"),
        (b"bug", (), "preprocess_error", "KeyError: 'bug'"),
        (b"abc", (("ce_time", b"noon"),), "bad_headers", "ce_time is 'noon'"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_and_an_answer(
    value: bytes | None, headers: Headers, code: str, reason: str
) -> None:
    outputs = preprocessed(value, headers)
    said = refused(outputs)
    assert said[0] == code
    assert reason in said[1]
    letter, answer = outputs.records
    assert (letter.key, letter.value, letter.headers[: len(headers)]) == (b"key", value, headers)
    assert answer.key == b"key"


@given(st.binary(max_size=60), st.sampled_from([(), AS_JSON, MINE, (("content-type", b"image/png"),)]))
def test_every_request_is_features_or_a_dead_letter_with_its_answer(value: bytes, headers: Headers) -> None:
    outputs = preprocessed(value, headers)
    if outputs.rejection is None:
        features_of(outputs)
    else:
        refused(outputs)


def test_features_carry_their_requests_identity_and_attributes() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    [record] = preprocessed(b"abc", (*MINE, ("traceparent", trace))).records
    event, features = read_features(ConsumedRecord(ORIGIN, record.key, record.value, record.headers))
    assert features["letters"].tolist() == [97, 98, 99]
    assert record.key == b"key"
    assert event.id == prediction_id("letters", "app", "1")
    assert (event.type, event.source, event.subject) == (FeaturesExtracted.type, "hindsight/preprocess", "page 7")
    assert event.traceparent == trace.decode()
    assert event.content_type == "application/vnd.hindsight.tensors"
    assert event.extensions["requestid"] == "1"
    assert event.extensions["requestsource"] == "app"
    assert event.extensions["requestlogtime"] == "1769860800123"
    assert event.extensions["preprocessversion"] == "1"
    assert float(event.extensions["preprocessms"]) >= 0


def test_a_redelivered_bare_payload_has_the_same_prediction() -> None:
    ids = {texts(preprocessed(b"abc").records[0])["ce_id"] for _ in range(2)}
    assert ids == {prediction_id("letters", "kafka:letters.requests", ORIGIN.id)}


def test_a_redelivered_bad_payload_has_the_same_dead_letter() -> None:
    assert len({texts(preprocessed(b"bug").records[0])["rejected_id"] for _ in range(2)}) == 1


def test_a_rejection_carries_its_requests_identity() -> None:
    letter, answer = preprocessed(b"bug", MINE).records
    assert (texts(letter)["rejected_event_source"], texts(letter)["rejected_event_id"]) == ("app", "1")
    assert texts(answer)["ce_subject"] == "page 7"
    assert texts(answer)["ce_source"] == "hindsight/letters"


def test_a_request_with_a_bad_header_is_answered_under_the_id_that_its_application_waits_for() -> None:
    outputs = preprocessed(b"abc", (*MINE, ("ce_time", b"noon")))
    assert refused(outputs)[0] == "bad_headers"
    assert texts(outputs.records[1])["ce_id"] == prediction_id("letters", "app", "1")


def test_a_batchs_requests_are_left_to_the_batch() -> None:
    assert preprocessed(b"abc", (("ce_batch", b"7"),)) == PreprocessResult(())
    assert preprocessed(b"bug", (("ce_batch", b"7"),)) == PreprocessResult(())


def test_a_refused_request_isnt_even_tried() -> None:
    class Untouchable(Small):
        def preprocess(self, payload: bytes) -> Features:
            raise AssertionError

    outputs = preprocessed(b"abc", MINE, Untouchable(), refusal=Rejected("kills_process", "it died three times"))
    assert refused(outputs) == ("kills_process", "it died three times")
    assert texts(outputs.records[1])["ce_id"] == prediction_id("letters", "app", "1")


@pytest.mark.parametrize("made", [None, {"x": [1, 2]}, {"x": np.zeros(1, complex)}, {"x": np.array(["a"])}])
def test_features_that_are_no_tensors_are_a_bug_of_the_task(made: Any) -> None:
    class Careless(Small):
        def preprocess(self, payload: bytes) -> Features:
            return made  # type: ignore[no-any-return]

    assert refused(preprocessed(b"abc", task=Careless()))[0] == "preprocess_error"


@pytest.mark.parametrize("message", ["\ud800", "payload: " + "x" * 10_000_000])
def test_whatever_a_task_says_of_a_payload_its_answer_fits_into_the_log(message: str) -> None:
    class Talkative(Small):
        def preprocess(self, payload: bytes) -> Features:
            raise Rejected("bad", message)

    outputs = preprocessed(b"abc", task=Talkative())
    refused(outputs)
    assert sum(len(value) for _, value in outputs.records[0].headers) < 10_000


def test_features_too_large_for_their_topic_are_rejected() -> None:
    class Inflating(Small):
        def preprocess(self, payload: bytes) -> Features:
            return {"x": np.zeros(int(payload), np.uint8)}

    assert features_of(preprocessed(b"80000", task=Inflating()))["x"].size == 80_000
    code, reason = refused(preprocessed(b"100000", task=Inflating()))
    assert code == "features_too_large"
    assert "at most 100,000 are taken" in reason


def test_a_key_that_is_too_large_for_an_answer_is_rejected_and_kept_in_the_dead_letter() -> None:
    outputs = preprocessed(b"abc", key=b"k" * (MAX_KEY_BYTES + 1))
    assert refused(outputs)[0] == "bad_key"
    assert [record.key for record in outputs.records] == [b"k" * (MAX_KEY_BYTES + 1), None]
    assert preprocessed(b"abc", key=b"k" * MAX_KEY_BYTES).rejection is None


def test_a_request_without_a_key_is_answered_without_one() -> None:
    assert preprocessed(b"abc", key=None).records[0].key is None
    assert preprocessed(b"bug", key=None).records[1].key is None


@pytest.mark.parametrize("payload", [b"abc", b""])
def test_history_that_is_published_again_stays_marked(payload: bytes) -> None:
    [*_, answer] = preprocessed(payload, (("ce_replay", b"17"),)).records
    assert texts(answer)["ce_replay"] == "17"
    [*_, fresh] = preprocessed(payload).records
    assert "ce_replay" not in texts(fresh)


def test_a_session_so_far_that_can_not_be_read_is_answered_and_is_no_dead_letter() -> None:
    outputs = preprocessed(b"x" * 101, (*MINE, ("ce_partial", b"true")))
    [answer] = outputs.records
    said = PredictionFailed.model_validate_json(answer.value or b"")
    assert (answer.topic, said.error.code, said.dead_letter) == ("letters.predictions", "too_large", None)
    assert texts(answer)["ce_partial"] == "true"
    assert outputs.rejection is None, "it counts as no error"


def test_a_session_so_far_that_kills_the_process_is_a_dead_letter() -> None:
    kills = Rejected("kills_process", "it died")
    outputs = preprocessed(b"abc", (*MINE, ("ce_partial", b"true")), refusal=kills)
    assert (refused(outputs)[0], outputs.rejection) == ("kills_process", kills)

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
EVENT_HEADERS: Headers = (("ce_id", b"1"), ("ce_source", b"app"), ("ce_subject", b"page 7"))
JSON_HEADERS: Headers = (("content-type", JSON.encode()),)
DEEP_JSON = b"[" * 100_000
ODD_PAYLOADS = (b"die", b"bug", b"refuse")
"""What the task does not take as text."""


class SmallLetters(Letters):
    """A task whose payloads have at most 100 bytes."""

    max_payload_bytes = 100


def fetch(uri: str, limit: int) -> bytes:
    if uri not in BLOBS:
        raise Rejected("blob_missing", f"there is no {uri}")
    return BLOBS[uri]


def test_a_claim_check_may_name_more_than_a_value_holds() -> None:
    claim, value = b'{"uri": "blob://large"}', b"x" * 101
    with_claims = Preprocessor(SmallLetters(), fetch, 100_000, max_claimed_bytes=101)
    assert payload_of(with_claims(ORIGIN, None, claim, ())) == value
    code, reason = rejection_of(with_claims(ORIGIN, None, value, ()))
    assert code == "too_large"
    assert "send its claim check" in reason
    files = Preprocessor(SmallLetters(), fetch, 100_000, max_claimed_bytes=101, takes_files=True)
    assert payload_of(files(ORIGIN, None, value, ())) == value


def preprocess(
    value: bytes | None, headers: Headers = (), task: Letters | None = None, key: bytes | None = b"key", **more: Any
) -> PreprocessResult:
    return Preprocessor(task or SmallLetters(), fetch, 100_000)(ORIGIN, key, value, headers, **more)


def features_of(result: PreprocessResult) -> Features:
    """Return the features as the inference agent reads them."""
    assert result.rejection is None
    [record] = result.records
    assert record.topic == "letters.features"
    return read_features(ConsumedRecord(ORIGIN, record.key, record.value, record.headers))[1]


def payload_of(result: PreprocessResult) -> bytes:
    return features_of(result)["letters"].tobytes()


def texts(record: Record) -> Mapping[str, str]:
    return {name: value.decode() for name, value in record.headers}


def rejection_of(result: PreprocessResult) -> tuple[str, str]:
    """Return the code and reason of a rejection, after a check that the dead letter and the answer agree."""
    letter, record = result.records
    answer = PredictionFailed.model_validate_json(record.value or b"")
    headers = texts(letter)
    assert (letter.topic, record.topic) == ("dead-letters", "letters.predictions")
    assert answer.error.stage == headers["rejected_stage"] == "preprocess"
    assert answer.error.code == headers["rejected_code"]
    assert answer.error.reason == headers["rejected_reason"]
    assert answer.dead_letter == headers["rejected_id"]
    source, request_id = headers["rejected_event_source"], headers["rejected_event_id"]
    assert answer.request_id == request_id
    assert answer.prediction_id == texts(record)["ce_id"] == prediction_id("letters", source, request_id)
    assert texts(record)["ce_requestsource"] == source
    assert result.rejection is not None
    assert result.rejection.code == answer.error.code
    return answer.error.code, answer.error.reason


@given(st.binary(min_size=1, max_size=100).filter(lambda payload: payload.isascii() and payload not in ODD_PAYLOADS))
def test_a_bare_payload_is_taken_as_it_is(payload: bytes) -> None:
    result = preprocess(payload)
    if result.rejection is None:
        assert payload_of(result) == payload


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=50).map(str.encode))
def test_a_payload_in_json_is_the_same_as_the_bare_one(payload: bytes) -> None:
    if payload in ODD_PAYLOADS:
        return
    envelope = json.dumps({"data_base64": base64.b64encode(payload).decode()}).encode()
    for headers in ((), JSON_HEADERS, (("content-type", b"application/json; charset=utf-8"),)):
        assert payload_of(preprocess(envelope, headers)) == payload


@pytest.mark.parametrize("headers", [(), JSON_HEADERS])
def test_a_claim_is_fetched(headers: Headers) -> None:
    assert payload_of(preprocess(b'{"uri": "blob://abc"}', headers)) == b"abc"


@pytest.mark.parametrize(
    "value",
    [b'{"context": {}}', b'{"uri": "blob://abc", "data_base64": "YQ=="}', b'{"uri": "blob://abc", "more": 1}', b"[1]"],
)
def test_json_that_is_not_an_envelope_is_a_payload(value: bytes) -> None:
    assert payload_of(preprocess(value, JSON_HEADERS)) == payload_of(preprocess(value)) == value


@pytest.mark.parametrize("value", [b"{", b"{not json", b'{"uri"', b'{"a":' * 10_000])
def test_a_value_that_only_looks_like_json_is_a_payload(value: bytes) -> None:
    assert payload_of(preprocess(value, task=Letters())) == value


def test_a_value_declared_as_another_type_is_not_an_envelope() -> None:
    value = b'{"uri": "blob://abc"}'
    assert payload_of(preprocess(value, (("content-type", b"text/plain"),))) == value


@pytest.mark.parametrize(
    ("value", "headers", "code", "reason"),
    [
        (None, (), "empty", "the value is empty"),
        (b"", (), "empty", "the value is empty"),
        (b'{"data_base64": ""}', (), "empty", "the value is empty"),
        (b'{"uri": "blob://empty"}', (), "empty", "the value is empty"),
        (b"", JSON_HEADERS, "bad_envelope", "the value is not JSON"),
        (b"{", JSON_HEADERS, "bad_envelope", "the value is not JSON"),
        (b"\xff{}", JSON_HEADERS, "bad_envelope", "the value is not JSON"),
        (DEEP_JSON, JSON_HEADERS, "bad_envelope", "the value is not JSON"),
        (b'{"data_base64": "YQ"}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": "Y Q="}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": "\\u00e9"}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": "\\ud800"}', (), "bad_envelope", "data_base64 can't be decoded"),
        (b'{"data_base64": null}', (), "bad_envelope", "data_base64 is not a string but NoneType"),
        (b'{"uri": ["blob://abc"]}', (), "bad_envelope", "uri is not a string but list"),
        (b'{"uri": "blob://gone"}', (), "blob_missing", "there is no blob://gone"),
        (b"x" * 101, (), "too_large", "the payload has 101 bytes; at most 100 are taken"),
        (b'{"uri": "blob://large"}', (), "too_large", "the payload has 101 bytes"),
        ("é".encode(), (), "not_ascii", "the payload is not ASCII text"),
        (b"bug", (), "preprocess_error", "KeyError: 'bug'"),
        (b"abc", (("ce_time", b"noon"),), "bad_headers", "ce_time is 'noon'"),
    ],
)
def test_an_unreadable_request_becomes_a_dead_letter_and_an_answer(
    value: bytes | None, headers: Headers, code: str, reason: str
) -> None:
    result = preprocess(value, headers)
    rejected_code, rejected_reason = rejection_of(result)
    assert rejected_code == code
    assert reason in rejected_reason
    letter, answer = result.records
    assert (letter.key, letter.value, letter.headers[: len(headers)]) == (b"key", value, headers)
    assert answer.key == b"key"


@given(st.binary(max_size=60), st.sampled_from([(), JSON_HEADERS, EVENT_HEADERS, (("content-type", b"image/png"),)]))
def test_every_request_becomes_features_or_a_dead_letter_with_its_answer(value: bytes, headers: Headers) -> None:
    result = preprocess(value, headers)
    if result.rejection is None:
        features_of(result)
    else:
        rejection_of(result)


def test_features_carry_their_requests_identity_and_attributes() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    [record] = preprocess(b"abc", (*EVENT_HEADERS, ("traceparent", trace))).records
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
    ids = {texts(preprocess(b"abc").records[0])["ce_id"] for _ in range(2)}
    assert ids == {prediction_id("letters", "kafka:letters.requests", ORIGIN.id)}


def test_a_redelivered_bad_payload_has_the_same_dead_letter() -> None:
    assert len({texts(preprocess(b"bug").records[0])["rejected_id"] for _ in range(2)}) == 1


def test_a_rejection_carries_its_requests_identity() -> None:
    letter, answer = preprocess(b"bug", EVENT_HEADERS).records
    assert (texts(letter)["rejected_event_source"], texts(letter)["rejected_event_id"]) == ("app", "1")
    assert texts(answer)["ce_subject"] == "page 7"
    assert texts(answer)["ce_source"] == "hindsight/letters"


def test_a_request_with_a_bad_header_is_answered_under_the_id_that_its_application_expects() -> None:
    result = preprocess(b"abc", (*EVENT_HEADERS, ("ce_time", b"noon")))
    assert rejection_of(result)[0] == "bad_headers"
    assert texts(result.records[1])["ce_id"] == prediction_id("letters", "app", "1")


def test_the_requests_of_a_batch_are_left_to_the_batch() -> None:
    assert preprocess(b"abc", (("ce_batch", b"7"),)) == PreprocessResult(())
    assert preprocess(b"bug", (("ce_batch", b"7"),)) == PreprocessResult(())


def test_a_refused_request_is_not_read() -> None:
    class Untouchable(SmallLetters):
        def preprocess(self, payload: bytes) -> Features:
            raise AssertionError

    result = preprocess(b"abc", EVENT_HEADERS, Untouchable(), refusal=Rejected("kills_process", "it died three times"))
    assert rejection_of(result) == ("kills_process", "it died three times")
    assert texts(result.records[1])["ce_id"] == prediction_id("letters", "app", "1")


@pytest.mark.parametrize("features", [None, {"x": [1, 2]}, {"x": np.zeros(1, complex)}, {"x": np.array(["a"])}])
def test_features_that_are_not_tensors_are_an_error_of_the_task(features: Any) -> None:
    class Careless(SmallLetters):
        def preprocess(self, payload: bytes) -> Features:
            return features  # type: ignore[no-any-return]

    assert rejection_of(preprocess(b"abc", task=Careless()))[0] == "preprocess_error"


@pytest.mark.parametrize("message", ["\ud800", "payload: " + "x" * 10_000_000])
def test_an_answer_fits_into_the_log_whatever_reason_the_task_gives(message: str) -> None:
    class Talkative(SmallLetters):
        def preprocess(self, payload: bytes) -> Features:
            raise Rejected("bad", message)

    result = preprocess(b"abc", task=Talkative())
    rejection_of(result)
    assert sum(len(value) for _, value in result.records[0].headers) < 10_000


def test_features_too_large_for_their_topic_are_rejected() -> None:
    class Inflating(SmallLetters):
        def preprocess(self, payload: bytes) -> Features:
            return {"x": np.zeros(int(payload), np.uint8)}

    assert features_of(preprocess(b"80000", task=Inflating()))["x"].size == 80_000
    code, reason = rejection_of(preprocess(b"100000", task=Inflating()))
    assert code == "features_too_large"
    assert "at most 100,000 are taken" in reason


def test_a_request_whose_key_is_too_large_for_an_answer_is_rejected_and_its_dead_letter_keeps_the_key() -> None:
    result = preprocess(b"abc", key=b"k" * (MAX_KEY_BYTES + 1))
    assert rejection_of(result)[0] == "bad_key"
    assert [record.key for record in result.records] == [b"k" * (MAX_KEY_BYTES + 1), None]
    assert preprocess(b"abc", key=b"k" * MAX_KEY_BYTES).rejection is None


def test_a_request_without_a_key_is_answered_without_one() -> None:
    assert preprocess(b"abc", key=None).records[0].key is None
    assert preprocess(b"bug", key=None).records[1].key is None


@pytest.mark.parametrize("payload", [b"abc", b""])
def test_history_that_is_published_again_stays_marked(payload: bytes) -> None:
    [*_, answer] = preprocess(payload, (("ce_replay", b"17"),)).records
    assert texts(answer)["ce_replay"] == "17"
    [*_, fresh] = preprocess(payload).records
    assert "ce_replay" not in texts(fresh)


def test_a_partial_session_that_cannot_be_read_is_answered_without_a_dead_letter() -> None:
    result = preprocess(b"x" * 101, (*EVENT_HEADERS, ("ce_partial", b"true")))
    [answer] = result.records
    failure = PredictionFailed.model_validate_json(answer.value or b"")
    assert (answer.topic, failure.error.code, failure.dead_letter) == ("letters.predictions", "too_large", None)
    assert texts(answer)["ce_partial"] == "true"
    assert result.rejection is None, "it counts as no error"


def test_a_partial_session_that_kills_the_process_is_a_dead_letter() -> None:
    kills = Rejected("kills_process", "it died")
    result = preprocess(b"abc", (*EVENT_HEADERS, ("ce_partial", b"true")), refusal=kills)
    assert (rejection_of(result)[0], result.rejection) == ("kills_process", kills)

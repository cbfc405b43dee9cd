"""A search finds a person's data in the log, and nobody else's."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.dataset as ds

from app.erasure.search import DataSubject, PersonalData, find_unclaimed_blobs, search
from app.eventlog.schema import MAX_INLINE_BYTES, to_table
from app.events import topics
from app.events.answers import build_dead_letter
from app.events.base import EventData
from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.types import Failure, FeaturesExtracted, FeedbackGiven, FeedbackRetracted, OutcomeRecorded
from tests.support.fake_inference import make_failure, make_prediction

TASK, TIME = "letters", "2026-01-31T12:00:00Z"
ARCHIVED = topics.archived_topics([TASK])
ADA, BOB = "ada's", "bob's"
BLOB, SHARED = "ab" * 32, "cd" * 32


class Log:
    """Topics of one partition, as in the archive."""

    def __init__(self) -> None:
        self._records: dict[str, list[ConsumedRecord]] = defaultdict(list)
        self._names: dict[tuple[str, int], str] = {}

    def append(self, name: str, record: Record) -> ConsumedRecord:
        """Append a record, and store its position under a name."""
        topic_records = self._records[record.topic]
        origin = Origin(TopicId("c/t"), record.topic, 0, len(topic_records), 1_700_000_000_000)
        topic_records.append(ConsumedRecord(origin, record.key, record.value, record.headers))
        self._names[record.topic, origin.offset] = name
        return topic_records[-1]

    def rows(self, topic: str, columns: Sequence[str], condition: ds.Expression | None) -> Iterator[Mapping[str, Any]]:
        table = to_table(self._records[topic], lambda data: f"blob://sha256/{SHARED}")
        yield from ds.dataset(table).to_table(columns=list(columns), filter=condition).to_pylist()

    def names(self, personal_data: PersonalData) -> set[str]:
        """Return the names of the records that were found."""
        return {
            self._names[topic, offset]
            for topic, positions in personal_data.positions.items()
            for offsets in positions.values()
            for offset in offsets
        }


def request(value: bytes, key: bytes | None, **attributes: str) -> Record:
    headers: Headers = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
    return Record(topics.requests(TASK), key, value, headers)


def answer(data: EventData, topic: str, event_id: str, source: str, subject: str | None = None) -> Record:
    return data.to_record(
        topic, b"key", id=event_id, source="hindsight", time=TIME, subject=subject, extensions={"requestsource": source}
    )


def fill(log: Log, owner: str, key: bytes | None, subject: str | None, value: bytes, actor: str = "cleo") -> str:
    """Append a request with all records derived from it; return the id of its prediction."""
    attributes = {"id": "1", "source": owner} | ({"subject": subject} if subject else {})
    request_record = log.append(f"{owner} request", request(value, key, **attributes))
    unique_id = prediction_id(TASK, owner, "1")
    features = (("ce_id", unique_id.encode()), ("ce_type", FeaturesExtracted.type.encode()), ("ce_source", b"p"))
    log.append(f"{owner} features", Record(topics.features(TASK), b"key", b"\0\1", features))
    failure = make_failure(unique_id, "1", "no")
    log.append(f"{owner} failure", answer(failure, topics.predictions(TASK), unique_id, owner))
    prediction = make_prediction(unique_id, "1", {"sum": 1.0})
    log.append(f"{owner} prediction", answer(prediction, topics.predictions(TASK), unique_id, owner))
    shadow = prediction.model_copy(update={"prediction_id": f"{unique_id}:2", "role": "shadow"})
    log.append(f"{owner} shadow", answer(shadow, topics.shadow_predictions(TASK), f"{unique_id}:2", owner))
    feedback_events = [
        FeedbackGiven(prediction_id=unique_id, reward=1.0, actor=actor),
        FeedbackGiven(task=TASK, request_id="1", request_source=owner, accepted=True, actor="cleo"),
    ]
    for number, event in enumerate(feedback_events):
        feedback = event.to_record(topics.feedback(TASK), None, id=f"{owner}{number}", source="app", time=TIME)
        log.append(f"{owner} feedback {number}", feedback)
    retraction = FeedbackRetracted(prediction_id=unique_id, retracts=f"{owner}0", actor=actor)
    log.append(f"{owner} retraction", Record(topics.feedback(TASK), None, retraction.model_dump_json().encode(), ()))
    outcome = OutcomeRecorded(
        **prediction.model_dump(exclude={"timings_ms", "inputs"}),
        request_source=owner,
        selection="volunteer",
        actors=(actor, "cleo"),
    ).to_record(topics.outcomes(TASK), unique_id.encode(), id="o", source="h", time=TIME)
    log.append(f"{owner} outcome", outcome)
    failure_reason = Failure(stage="preprocess", code="bad", reason="it is bad")
    rejected_request = request(value, None, **attributes | {"subject": "-"})
    _, letter = build_dead_letter(rejected_request, request_record.origin, failure_reason, (owner, "1"))
    log.append(f"{owner} letter", letter)
    invalid_data = json.dumps({"prediction_id": unique_id, "actor": actor}).encode()
    invalid_feedback = Record(topics.feedback(TASK), None, invalid_data, ())
    origin = log.append(f"{owner} broken feedback", invalid_feedback).origin
    failure_reason = Failure(stage="feedback", code="bad_data", reason="it says nothing")
    _, feedback_letter = build_dead_letter(invalid_feedback, origin, failure_reason, ("app", "x"))
    log.append(f"{owner} feedback letter", feedback_letter)
    return unique_id


ALL = {
    *("request", "features", "failure", "prediction", "shadow", "outcome", "letter"),
    *("feedback 0", "feedback 1", "retraction", "broken feedback", "feedback letter"),
}


def test_all_events_derived_from_a_subjects_requests_are_found_by_subject_or_key() -> None:
    for key, subject in ((b"ada", None), (None, "ada")):
        log = Log()
        prediction = fill(log, ADA, key, subject, b"abc")
        fill(log, BOB, b"bob", "bob", b"abc")
        personal_data = search(log.rows, [TASK], DataSubject(subject="ada"))
        assert log.names(personal_data) == {f"{ADA} {kind}" for kind in ALL}
        assert personal_data.predictions == {prediction}
        assert personal_data.catalog_predictions == {prediction, f"{prediction}:2"}
        assert {("app", f"{ADA}0"), ("app", f"{ADA}1")} <= personal_data.feedback
        assert len(personal_data.retractions) == 1
        assert len(personal_data.dead_letters) == 2


def test_a_subject_is_found_although_other_headers_break_cloudevents() -> None:
    log = Log()
    log.append("broken", request(b"abc", None, subject="ada", time="never"))
    assert log.names(search(log.rows, [TASK], DataSubject(subject="ada"))) == {"broken"}


def test_an_actors_feedback_is_found_with_its_outcomes() -> None:
    log = Log()
    prediction = fill(log, ADA, b"ada", "ada", b"abc", actor="dora")
    fill(log, BOB, b"bob", "bob", b"abc")
    personal_data = search(log.rows, [TASK], DataSubject(actor="dora"))
    assert log.names(personal_data) == {
        f"{ADA} {kind}" for kind in ("feedback 0", "retraction", "broken feedback", "outcome", "feedback letter")
    }
    assert (personal_data.predictions, personal_data.catalog_predictions) == ({prediction}, set())


def test_a_blob_that_other_events_claim_is_kept() -> None:
    log = Log()
    escaped = json.dumps({"uri": f"blob://sha256/{SHARED}"}).replace("/", r"\/")
    fill(log, ADA, b"ada", None, json.dumps({"uri": f"blob://sha256/{BLOB}"}).encode())
    log.append("ada's second", request(escaped.encode(), b"ada"))
    personal_data = search(log.rows, [TASK], DataSubject(subject="ada"))
    assert personal_data.blob_digests == {BLOB, SHARED}
    assert find_unclaimed_blobs(log.rows, ARCHIVED, personal_data) == {BLOB, SHARED}
    log.append("bob's large payload", request(bytes(MAX_INLINE_BYTES + 1), b"bob"))
    assert find_unclaimed_blobs(log.rows, ARCHIVED, personal_data) == {BLOB}


def test_nothing_is_found_of_an_unknown_person() -> None:
    log = Log()
    fill(log, BOB, b"bob", "bob", b"abc")
    for data_subject in (DataSubject(subject="ada"), DataSubject(actor="dora")):
        assert search(log.rows, [TASK], data_subject) == PersonalData()

"""What the log holds of a person is found, and nothing of anyone else's."""

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
from app.events.types import Failure, FeaturesExtracted, FeedbackGiven, OutcomeRecorded
from tests.support.fake_inference import make_failure, make_prediction

TASK, TIME = "letters", "2026-01-31T12:00:00Z"
ARCHIVED = topics.archived_topics([TASK])
ADA, BOB = "ada's", "bob's"
BLOB, SHARED = "ab" * 32, "cd" * 32


class Log:
    """Topics of one partition, as the archive has them."""

    def __init__(self) -> None:
        self._records: dict[str, list[ConsumedRecord]] = defaultdict(list)
        self._names: dict[tuple[str, int], str] = {}

    def say(self, name: str, record: Record) -> ConsumedRecord:
        """Append a record, and remember it by a name."""
        of_topic = self._records[record.topic]
        origin = Origin(TopicId("c/t"), record.topic, 0, len(of_topic), 1_700_000_000_000)
        of_topic.append(ConsumedRecord(origin, record.key, record.value, record.headers))
        self._names[record.topic, origin.offset] = name
        return of_topic[-1]

    def rows(self, topic: str, columns: Sequence[str], wanted: ds.Expression | None) -> Iterator[Mapping[str, Any]]:
        table = to_table(self._records[topic], lambda data: f"blob://sha256/{SHARED}")
        yield from ds.dataset(table).to_table(columns=list(columns), filter=wanted).to_pylist()

    def names(self, found: PersonalData) -> set[str]:
        """The names of what was found."""
        return {
            self._names[topic, offset]
            for topic, places in found.positions.items()
            for offsets in places.values()
            for offset in offsets
        }


def request(value: bytes, key: bytes | None, **attributes: str) -> Record:
    headers: Headers = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
    return Record(topics.requests(TASK), key, value, headers)


def answer(data: EventData, topic: str, unique: str, source: str, subject: str | None = None) -> Record:
    return data.to_record(
        topic, b"key", id=unique, source="hindsight", time=TIME, subject=subject, extensions={"requestsource": source}
    )


def fill(log: Log, whose: str, key: bytes | None, subject: str | None, value: bytes, actor: str = "cleo") -> str:
    """All that comes of a request; the id of its prediction."""
    attributes = {"id": "1", "source": whose} | ({"subject": subject} if subject else {})
    asked = log.say(f"{whose} request", request(value, key, **attributes))
    unique = prediction_id(TASK, whose, "1")
    features = (("ce_id", unique.encode()), ("ce_type", FeaturesExtracted.type.encode()), ("ce_source", b"p"))
    log.say(f"{whose} features", Record(topics.features(TASK), b"key", b"\0\1", features))
    log.say(f"{whose} failure", answer(make_failure(unique, "1", "no"), topics.predictions(TASK), unique, whose))
    prediction = make_prediction(unique, "1", {"sum": 1.0})
    log.say(f"{whose} prediction", answer(prediction, topics.predictions(TASK), unique, whose))
    tried = prediction.model_copy(update={"prediction_id": f"{unique}:2", "role": "shadow"})
    log.say(f"{whose} shadow", answer(tried, topics.shadow_predictions(TASK), f"{unique}:2", whose))
    said = [
        FeedbackGiven(prediction_id=unique, reward=1.0, actor=actor),
        FeedbackGiven(task=TASK, request_id="1", request_source=whose, accepted=True, actor="cleo"),
    ]
    for number, given in enumerate(said):
        feedback = given.to_record(topics.feedback(TASK), None, id=f"{whose}{number}", source="app", time=TIME)
        log.say(f"{whose} feedback {number}", feedback)
    outcome = OutcomeRecorded(
        **prediction.model_dump(exclude={"timings_ms", "inputs"}),
        request_source=whose,
        selection="volunteer",
        actors=(actor, "cleo"),
    )
    log.say(
        f"{whose} outcome", outcome.to_record(topics.outcomes(TASK), unique.encode(), id="o", source="h", time=TIME)
    )
    refused = Failure(stage="preprocess", code="bad", reason="it is bad")
    log.say(
        f"{whose} letter",
        build_dead_letter(request(value, None, **attributes | {"subject": "-"}), asked.origin, refused, (whose, "1"))[
            1
        ],
    )
    broken = Record(topics.feedback(TASK), None, json.dumps({"prediction_id": unique, "actor": actor}).encode(), ())
    place = log.say(f"{whose} broken feedback", broken)
    rejected = Failure(stage="feedback", code="bad_data", reason="it says nothing")
    log.say(f"{whose} feedback letter", build_dead_letter(broken, place.origin, rejected, ("app", "x"))[1])
    return unique


ALL = {
    *("request", "features", "failure", "prediction", "shadow", "outcome", "letter"),
    *("feedback 0", "feedback 1", "broken feedback", "feedback letter"),
}


def test_all_that_came_of_a_subjects_requests_is_found_by_subject_or_key() -> None:
    for key, subject in ((b"ada", None), (None, "ada")):
        log = Log()
        unique = fill(log, ADA, key, subject, b"abc")
        fill(log, BOB, b"bob", "bob", b"abc")
        found = search(log.rows, [TASK], DataSubject(subject="ada"))
        assert log.names(found) == {f"{ADA} {what}" for what in ALL}
        assert found.predictions == {unique}
        assert found.catalog_predictions == {unique, f"{unique}:2"}
        assert {("app", f"{ADA}0"), ("app", f"{ADA}1")} <= found.feedback
        assert len(found.dead_letters) == 2


def test_a_subject_is_found_though_the_other_headers_break_cloudevents() -> None:
    log = Log()
    log.say("broken", request(b"abc", None, subject="ada", time="never"))
    assert log.names(search(log.rows, [TASK], DataSubject(subject="ada"))) == {"broken"}


def test_of_an_actor_the_feedback_is_found_and_the_outcomes_of_what_was_judged() -> None:
    log = Log()
    unique = fill(log, ADA, b"ada", "ada", b"abc", actor="dora")
    fill(log, BOB, b"bob", "bob", b"abc")
    found = search(log.rows, [TASK], DataSubject(actor="dora"))
    assert log.names(found) == {
        f"{ADA} {what}" for what in ("feedback 0", "broken feedback", "outcome", "feedback letter")
    }
    assert (found.predictions, found.catalog_predictions) == ({unique}, set())


def test_a_blob_that_others_claim_as_well_is_kept() -> None:
    log = Log()
    escaped = json.dumps({"uri": f"blob://sha256/{SHARED}"}).replace("/", r"\/")
    fill(log, ADA, b"ada", None, json.dumps({"uri": f"blob://sha256/{BLOB}"}).encode())
    log.say("ada's second", request(escaped.encode(), b"ada"))
    found = search(log.rows, [TASK], DataSubject(subject="ada"))
    assert found.blob_digests == {BLOB, SHARED}
    assert find_unclaimed_blobs(log.rows, ARCHIVED, found) == {BLOB, SHARED}
    log.say("bob's large payload", request(bytes(MAX_INLINE_BYTES + 1), b"bob"))
    assert find_unclaimed_blobs(log.rows, ARCHIVED, found) == {BLOB}


def test_nothing_is_found_of_a_stranger() -> None:
    log = Log()
    fill(log, BOB, b"bob", "bob", b"abc")
    for whose in (DataSubject(subject="ada"), DataSubject(actor="dora")):
        assert search(log.rows, [TASK], whose) == PersonalData()

"""Search for a person's data in the log: events about a subject or by an actor, and all events derived from them."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from app.events import topics
from app.events.decoding import feedback_type
from app.events.ids import prediction_id
from app.events.types import FeedbackRetracted

RowReader = Callable[[str, Sequence[str], ds.Expression | None], Iterable[Mapping[str, Any]]]
"""Streams these columns of a topic's rows that meet a condition."""

_POSITION_COLUMNS = ("epoch", "partition", "offset")
_COLUMNS = (*_POSITION_COLUMNS, "id", "source", "type", "subject", "key", "headers", "extensions", "data", "data_uri")
_BLOB_SCHEME = "blob:"
_DIGEST = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True)
class DataSubject:
    """The subject of events (`ce_subject` or the key), or the actor who gave feedback."""

    subject: str | None = None
    actor: str | None = None


@dataclass
class PersonalData:
    """The positions of a person's events, and the ids by which other stores know them.

    `predictions` are the person's own, or those on which they gave feedback; `blob_digests` are claimed by the events.
    """

    positions: dict[str, dict[tuple[str, int], set[int]]] = field(default_factory=dict)
    predictions: set[str] = field(default_factory=set)
    catalog_predictions: set[str] = field(default_factory=set)
    feedback: set[tuple[str, str]] = field(default_factory=set)
    retractions: set[tuple[str, str]] = field(default_factory=set)
    dead_letters: set[str] = field(default_factory=set)
    blob_digests: set[str] = field(default_factory=set)

    def add(self, topic: str, row: Mapping[str, Any]) -> None:
        """Add an event and the blobs that it claims."""
        offsets = self.positions.setdefault(topic, {}).setdefault((row["epoch"], row["partition"]), set())
        offsets.add(row["offset"])
        self.blob_digests |= _claimed_digests(row)

    def add_feedback(self, topic: str, row: Mapping[str, Any]) -> None:
        """Add feedback or a retraction."""
        self.add(topic, row)
        is_retraction = feedback_type(row["type"], row["data"]) is FeedbackRetracted
        (self.retractions if is_retraction else self.feedback).add((row["source"], row["id"]))

    def contains(self, topic: str, row: Mapping[str, Any]) -> bool:
        """Return whether the event is the person's."""
        return row["offset"] in self.positions.get(topic, {}).get((row["epoch"], row["partition"]), ())

    def count(self, topic: str) -> int:
        """Return the number of events of a topic."""
        return sum(map(len, self.positions.get(topic, {}).values()))


def search(rows: RowReader, tasks: Iterable[str], data_subject: DataSubject) -> PersonalData:
    """Return all of a person's data in the log."""
    personal_data = PersonalData()
    for task in tasks:
        if data_subject.subject is not None:
            _search_subject(rows, task, data_subject.subject, personal_data)
        if data_subject.actor is not None:
            _search_actor(rows, task, data_subject.actor, personal_data)
    _search_dead_letters(rows, data_subject, personal_data)
    return personal_data


def find_unclaimed_blobs(rows: RowReader, archived: Iterable[str], personal_data: PersonalData) -> set[str]:
    """Return the digests of blobs that no other event claims."""
    unclaimed = set(personal_data.blob_digests)
    claims = ds.field("data_uri").is_valid() | pc.match_substring(ds.field("data"), _BLOB_SCHEME)
    for topic in archived if unclaimed else ():
        for row in rows(topic, (*_POSITION_COLUMNS, "data", "data_uri"), claims):
            if not personal_data.contains(topic, row):
                unclaimed -= _claimed_digests(row)
    return unclaimed


def _search_subject(rows: RowReader, task: str, subject: str, personal_data: PersonalData) -> None:
    condition = (ds.field("subject") == subject) | (ds.field("key") == pa.scalar(subject.encode(), pa.binary()))
    # If headers break CloudEvents there are no attributes: then the headers themselves are searched.
    condition |= ds.field("type").is_null()
    for row in rows(topics.requests(task), _COLUMNS, condition):
        if _is_about(row, subject):
            personal_data.add(topics.requests(task), row)
            personal_data.predictions.add(prediction_id(task, row["source"], row["id"]))
    for topic in (topics.features(task), topics.predictions(task)):
        ids = pa.array(sorted(personal_data.predictions), pa.string())
        for row in rows(topic, _COLUMNS, condition | ds.field("id").isin(ids)):
            if _is_about(row, subject) or row["id"] in personal_data.predictions:
                personal_data.add(topic, row)
                personal_data.predictions.add(row["id"])
    personal_data.catalog_predictions |= personal_data.predictions
    for row in rows(topics.shadow_predictions(task), _COLUMNS, None):
        if _is_about(row, subject) or _served_prediction_id(task, row) in personal_data.predictions:
            personal_data.add(topics.shadow_predictions(task), row)
            personal_data.catalog_predictions.add(str(_parse_json(row["data"]).get("prediction_id")))
    for row in rows(topics.feedback(task), _COLUMNS, None):
        if _is_about(row, subject) or _feedback_prediction_id(task, row["data"]) in personal_data.predictions:
            personal_data.add_feedback(topics.feedback(task), row)
    for row in rows(topics.outcomes(task), _COLUMNS, condition | _key_in(personal_data.predictions)):
        if _is_about(row, subject) or _decode_text(row["key"]) in personal_data.predictions:
            personal_data.add(topics.outcomes(task), row)


def _search_actor(rows: RowReader, task: str, actor: str, personal_data: PersonalData) -> None:
    for row in rows(topics.feedback(task), _COLUMNS, None):
        if _parse_json(row["data"]).get("actor") == actor:
            personal_data.add_feedback(topics.feedback(task), row)
            if (prediction := _feedback_prediction_id(task, row["data"])) is not None:
                personal_data.predictions.add(prediction)
    for row in rows(topics.outcomes(task), _COLUMNS, None):
        prediction = _decode_text(row["key"])
        if prediction in personal_data.predictions or actor in (_parse_json(row["data"]).get("actors") or ()):
            personal_data.add(topics.outcomes(task), row)
            personal_data.predictions.add(prediction)


def _search_dead_letters(rows: RowReader, data_subject: DataSubject, personal_data: PersonalData) -> None:
    for row in rows(topics.DEAD_LETTERS, _COLUMNS, None):
        rejection = dict(row["extensions"] or ())
        task = topics.task_of(rejection.get("topic", ""))
        is_about_subject = data_subject.subject is not None and (
            _is_about(row, data_subject.subject)
            or not personal_data.predictions.isdisjoint(_candidate_predictions(task, rejection, row))
        )
        if is_about_subject or (
            data_subject.actor is not None and _parse_json(row["data"]).get("actor") == data_subject.actor
        ):
            personal_data.add(topics.DEAD_LETTERS, row)
            personal_data.dead_letters.add(row["id"])


def _candidate_predictions(task: str, rejection: Mapping[str, str], row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the predictions that a dead letter may belong to, whatever topic it comes from."""
    source, event_id = rejection.get("event_source", ""), rejection.get("event_id", "")
    yield from (
        prediction_id(task, source, event_id),
        event_id,
        _decode_text(row["key"]),
        _feedback_prediction_id(task, row["data"]) or "",
    )


def _is_about(row: Mapping[str, Any], subject: str) -> bool:
    return (
        row["subject"] == subject
        or row["key"] == subject.encode()
        or any(
            header["name"] == "ce_subject" and header["value"] == subject.encode() for header in row["headers"] or ()
        )
    )


def _key_in(ids: Collection[str]) -> ds.Expression:
    return ds.field("key").isin(pa.array([prediction.encode() for prediction in sorted(ids)], pa.binary()))


def _served_prediction_id(task: str, row: Mapping[str, Any]) -> str:
    """Return the id of the served prediction for a shadow's request."""
    source, request_id = (
        dict(row["extensions"] or ()).get("requestsource", ""),
        _parse_json(row["data"]).get("request_id"),
    )
    return prediction_id(task, source, str(request_id))


def _feedback_prediction_id(task: str, data: bytes | None) -> str | None:
    """Return the prediction of feedback or of a retraction, even if other fields are invalid."""
    feedback = _parse_json(data)
    prediction, request_id = feedback.get("prediction_id"), feedback.get("request_id")
    if isinstance(prediction, str):
        return prediction
    if not isinstance(request_id, str):
        return None
    task = str(feedback.get("task") or task)
    return prediction_id(task, str(feedback.get("request_source") or f"kafka:{topics.requests(task)}"), request_id)


def _parse_json(data: bytes | None) -> dict[str, Any]:
    try:
        value = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _decode_text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _claimed_digests(row: Mapping[str, Any]) -> set[str]:
    """Return the digests of blobs that a row claims. They are searched alone, because JSON may escape slashes."""
    data = row["data"] or b""
    claimed = _DIGEST.findall(data) if _BLOB_SCHEME.encode() in data else []
    claimed += _DIGEST.findall((row["data_uri"] or "").encode())
    return {digest.decode() for digest in claimed}

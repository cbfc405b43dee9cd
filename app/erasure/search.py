"""What the log holds of a person: found by who an event is about, or who said it, and all that was made from these."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from app.events import topics
from app.events.ids import prediction_id

RowReader = Callable[[str, Sequence[str], ds.Expression | None], Iterable[Mapping[str, Any]]]
"""The rows of a topic that meet a condition, with these columns, streamed."""

_POSITION_COLUMNS = ("epoch", "partition", "offset")
_COLUMNS = (*_POSITION_COLUMNS, "id", "source", "type", "subject", "key", "headers", "extensions", "data", "data_uri")
_BLOB_SCHEME = "blob:"
_DIGEST = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True)
class DataSubject:
    """Either the subject that events are about (`ce_subject` or the key), or the actor who gave feedback."""

    subject: str | None = None
    actor: str | None = None


@dataclass
class PersonalData:
    """Where a person's events stand, and by which ids other stores know them.

    `predictions` are those that are theirs, or on which they gave feedback. `digests` are of blobs that events claim.
    """

    positions: dict[str, dict[tuple[str, int], set[int]]] = field(default_factory=dict)
    predictions: set[str] = field(default_factory=set)
    catalog_predictions: set[str] = field(default_factory=set)
    feedback: set[tuple[str, str]] = field(default_factory=set)
    dead_letters: set[str] = field(default_factory=set)
    blob_digests: set[str] = field(default_factory=set)

    def add(self, topic: str, row: Mapping[str, Any]) -> None:
        """Note an event and the blobs that it claims."""
        at = self.positions.setdefault(topic, {}).setdefault((row["epoch"], row["partition"]), set())
        at.add(row["offset"])
        self.blob_digests |= _claimed_digests(row)

    def contains(self, topic: str, row: Mapping[str, Any]) -> bool:
        """Whether this event is one of them."""
        return row["offset"] in self.positions.get(topic, {}).get((row["epoch"], row["partition"]), ())

    def count(self, topic: str) -> int:
        """How many events of a topic there are."""
        return sum(map(len, self.positions.get(topic, {}).values()))


def search(rows: RowReader, tasks: Iterable[str], data_subject: DataSubject) -> PersonalData:
    """All that the log holds of a person."""
    found = PersonalData()
    for task in tasks:
        if data_subject.subject is not None:
            _search_subject(rows, task, data_subject.subject, found)
        if data_subject.actor is not None:
            _search_actor(rows, task, data_subject.actor, found)
    _search_dead_letters(rows, data_subject, found)
    return found


def find_unclaimed_blobs(rows: RowReader, archived: Iterable[str], personal_data: PersonalData) -> set[str]:
    """The digests of the blobs that only these traces claim."""
    left = set(personal_data.blob_digests)
    claims = ds.field("data_uri").is_valid() | pc.match_substring(ds.field("data"), _BLOB_SCHEME)
    for topic in archived if left else ():
        for row in rows(topic, (*_POSITION_COLUMNS, "data", "data_uri"), claims):
            if not personal_data.contains(topic, row):
                left -= _claimed_digests(row)
    return left


def _search_subject(rows: RowReader, task: str, subject: str, personal_data: PersonalData) -> None:
    theirs = (ds.field("subject") == subject) | (ds.field("key") == pa.scalar(subject.encode(), pa.binary()))
    # Where headers break CloudEvents there are no attributes: then the headers themselves are looked at.
    theirs |= ds.field("type").is_null()
    for row in rows(topics.requests(task), _COLUMNS, theirs):
        if _is_theirs(row, subject):
            personal_data.add(topics.requests(task), row)
            personal_data.predictions.add(prediction_id(task, row["source"], row["id"]))
    for topic in (topics.features(task), topics.predictions(task)):
        ids = pa.array(sorted(personal_data.predictions), pa.string())
        for row in rows(topic, _COLUMNS, theirs | ds.field("id").isin(ids)):
            if _is_theirs(row, subject) or row["id"] in personal_data.predictions:
                personal_data.add(topic, row)
                personal_data.predictions.add(row["id"])
    personal_data.catalog_predictions |= personal_data.predictions
    for row in rows(topics.shadow_predictions(task), _COLUMNS, None):
        if _is_theirs(row, subject) or _served_prediction_id(task, row) in personal_data.predictions:
            personal_data.add(topics.shadow_predictions(task), row)
            personal_data.catalog_predictions.add(str(_parse_json(row["data"]).get("prediction_id")))
    for row in rows(topics.feedback(task), _COLUMNS, None):
        if _is_theirs(row, subject) or _feedback_prediction_id(task, row["data"]) in personal_data.predictions:
            personal_data.add(topics.feedback(task), row)
            personal_data.feedback.add((row["source"], row["id"]))
    for row in rows(topics.outcomes(task), _COLUMNS, theirs | _key_in(personal_data.predictions)):
        if _is_theirs(row, subject) or _decode_text(row["key"]) in personal_data.predictions:
            personal_data.add(topics.outcomes(task), row)


def _search_actor(rows: RowReader, task: str, actor: str, personal_data: PersonalData) -> None:
    for row in rows(topics.feedback(task), _COLUMNS, None):
        if _parse_json(row["data"]).get("actor") == actor:
            personal_data.add(topics.feedback(task), row)
            personal_data.feedback.add((row["source"], row["id"]))
            if (about := _feedback_prediction_id(task, row["data"])) is not None:
                personal_data.predictions.add(about)
    for row in rows(topics.outcomes(task), _COLUMNS, None):
        about = _decode_text(row["key"])
        if about in personal_data.predictions or actor in (_parse_json(row["data"]).get("actors") or ()):
            personal_data.add(topics.outcomes(task), row)
            personal_data.predictions.add(about)


def _search_dead_letters(rows: RowReader, data_subject: DataSubject, personal_data: PersonalData) -> None:
    for row in rows(topics.DEAD_LETTERS, _COLUMNS, None):
        said = dict(row["extensions"] or ())
        task = said.get("topic", "").rpartition(".")[0]
        theirs = data_subject.subject is not None and (
            _is_theirs(row, data_subject.subject)
            or not personal_data.predictions.isdisjoint(_candidate_predictions(task, said, row))
        )
        if theirs or (data_subject.actor is not None and _parse_json(row["data"]).get("actor") == data_subject.actor):
            personal_data.add(topics.DEAD_LETTERS, row)
            personal_data.dead_letters.add(row["id"])


def _candidate_predictions(task: str, said: Mapping[str, str], row: Mapping[str, Any]) -> Iterator[str]:
    """The predictions that a dead letter may be about, whichever topic it comes from."""
    source, event_id = said.get("event_source", ""), said.get("event_id", "")
    yield from (
        prediction_id(task, source, event_id),
        event_id,
        _decode_text(row["key"]),
        _feedback_prediction_id(task, row["data"]) or "",
    )


def _is_theirs(row: Mapping[str, Any], subject: str) -> bool:
    return (
        row["subject"] == subject
        or row["key"] == subject.encode()
        or any(one["name"] == "ce_subject" and one["value"] == subject.encode() for one in row["headers"] or ())
    )


def _key_in(ids: Collection[str]) -> ds.Expression:
    return ds.field("key").isin(pa.array([one.encode() for one in sorted(ids)], pa.binary()))


def _served_prediction_id(task: str, row: Mapping[str, Any]) -> str:
    """The served prediction of a shadow's request."""
    source, request_id = (
        dict(row["extensions"] or ()).get("requestsource", ""),
        _parse_json(row["data"]).get("request_id"),
    )
    return prediction_id(task, source, str(request_id))


def _feedback_prediction_id(task: str, data: bytes | None) -> str | None:
    """The prediction that feedback names, however much is wrong with the rest of it."""
    said = _parse_json(data)
    named, request_id = said.get("prediction_id"), said.get("request_id")
    if isinstance(named, str):
        return named
    if not isinstance(request_id, str):
        return None
    task = str(said.get("task") or task)
    return prediction_id(task, str(said.get("request_source") or f"kafka:{topics.requests(task)}"), request_id)


def _parse_json(data: bytes | None) -> dict[str, Any]:
    try:
        said = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _decode_text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _claimed_digests(row: Mapping[str, Any]) -> set[str]:
    """The blobs that a row claims. JSON may have its slashes escaped, so only the digests are looked for."""
    data = row["data"] or b""
    claimed = _DIGEST.findall(data) if _BLOB_SCHEME.encode() in data else []
    claimed += _DIGEST.findall((row["data_uri"] or "").encode())
    return {digest.decode() for digest in claimed}

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

Rows = Callable[[str, Sequence[str], ds.Expression | None], Iterable[Mapping[str, Any]]]
"""The rows of a topic that meet a condition, with these columns, streamed."""

_PLACE = ("epoch", "partition", "offset")
_COLUMNS = (*_PLACE, "id", "source", "type", "subject", "key", "headers", "extensions", "data", "data_uri")
_CLAIM = "blob:"
_DIGEST = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True)
class Whose:
    """Either the subject that events are about (`ce_subject` or the key), or the actor who gave feedback."""

    subject: str | None = None
    actor: str | None = None


@dataclass
class Traces:
    """Where a person's events stand, and by which ids other stores know them.

    `predictions` are those that are theirs, or on which they gave feedback. `digests` are of blobs that events claim.
    """

    places: dict[str, dict[tuple[str, int], set[int]]] = field(default_factory=dict)
    predictions: set[str] = field(default_factory=set)
    rows: set[str] = field(default_factory=set)
    feedback: set[tuple[str, str]] = field(default_factory=set)
    dead_letters: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)

    def add(self, topic: str, row: Mapping[str, Any]) -> None:
        """Note an event and the blobs that it claims."""
        at = self.places.setdefault(topic, {}).setdefault((row["epoch"], row["partition"]), set())
        at.add(row["offset"])
        self.digests |= _digests(row)

    def has(self, topic: str, row: Mapping[str, Any]) -> bool:
        """Whether this event is one of them."""
        return row["offset"] in self.places.get(topic, {}).get((row["epoch"], row["partition"]), ())

    def count(self, topic: str) -> int:
        """How many events of a topic there are."""
        return sum(map(len, self.places.get(topic, {}).values()))


def search(rows: Rows, tasks: Iterable[str], whose: Whose) -> Traces:
    """All that the log holds of a person."""
    found = Traces()
    for task in tasks:
        if whose.subject is not None:
            _of_subject(rows, task, whose.subject, found)
        if whose.actor is not None:
            _of_actor(rows, task, whose.actor, found)
    _dead_letters(rows, whose, found)
    return found


def unclaimed(rows: Rows, archived: Iterable[str], found: Traces) -> set[str]:
    """The digests of the blobs that only these traces claim."""
    left = set(found.digests)
    claims = ds.field("data_uri").is_valid() | pc.match_substring(ds.field("data"), _CLAIM)
    for topic in archived if left else ():
        for row in rows(topic, (*_PLACE, "data", "data_uri"), claims):
            if not found.has(topic, row):
                left -= _digests(row)
    return left


def _of_subject(rows: Rows, task: str, subject: str, found: Traces) -> None:
    theirs = (ds.field("subject") == subject) | (ds.field("key") == pa.scalar(subject.encode(), pa.binary()))
    # Where headers break CloudEvents there are no attributes: then the headers themselves are looked at.
    theirs |= ds.field("type").is_null()
    for row in rows(topics.requests(task), _COLUMNS, theirs):
        if _is_theirs(row, subject):
            found.add(topics.requests(task), row)
            found.predictions.add(prediction_id(task, row["source"], row["id"]))
    for topic in (topics.features(task), topics.predictions(task)):
        ids = pa.array(sorted(found.predictions), pa.string())
        for row in rows(topic, _COLUMNS, theirs | ds.field("id").isin(ids)):
            if _is_theirs(row, subject) or row["id"] in found.predictions:
                found.add(topic, row)
                found.predictions.add(row["id"])
    found.rows |= found.predictions
    for row in rows(topics.shadow_predictions(task), _COLUMNS, None):
        if _is_theirs(row, subject) or _served(task, row) in found.predictions:
            found.add(topics.shadow_predictions(task), row)
            found.rows.add(str(_said(row["data"]).get("prediction_id")))
    for row in rows(topics.feedback(task), _COLUMNS, None):
        if _is_theirs(row, subject) or _about(task, row["data"]) in found.predictions:
            found.add(topics.feedback(task), row)
            found.feedback.add((row["source"], row["id"]))
    for row in rows(topics.outcomes(task), _COLUMNS, theirs | _keyed(found.predictions)):
        if _is_theirs(row, subject) or _text(row["key"]) in found.predictions:
            found.add(topics.outcomes(task), row)


def _of_actor(rows: Rows, task: str, actor: str, found: Traces) -> None:
    for row in rows(topics.feedback(task), _COLUMNS, None):
        if _said(row["data"]).get("actor") == actor:
            found.add(topics.feedback(task), row)
            found.feedback.add((row["source"], row["id"]))
            if (about := _about(task, row["data"])) is not None:
                found.predictions.add(about)
    for row in rows(topics.outcomes(task), _COLUMNS, None):
        about = _text(row["key"])
        if about in found.predictions or actor in (_said(row["data"]).get("actors") or ()):
            found.add(topics.outcomes(task), row)
            found.predictions.add(about)


def _dead_letters(rows: Rows, whose: Whose, found: Traces) -> None:
    for row in rows(topics.DEAD_LETTERS, _COLUMNS, None):
        said = dict(row["extensions"] or ())
        task = said.get("topic", "").rpartition(".")[0]
        theirs = whose.subject is not None and (
            _is_theirs(row, whose.subject) or not found.predictions.isdisjoint(_names(task, said, row))
        )
        if theirs or (whose.actor is not None and _said(row["data"]).get("actor") == whose.actor):
            found.add(topics.DEAD_LETTERS, row)
            found.dead_letters.add(row["id"])


def _names(task: str, said: Mapping[str, str], row: Mapping[str, Any]) -> Iterator[str]:
    """The predictions that a dead letter may be about, whichever topic it comes from."""
    source, event_id = said.get("event_source", ""), said.get("event_id", "")
    yield from (prediction_id(task, source, event_id), event_id, _text(row["key"]), _about(task, row["data"]) or "")


def _is_theirs(row: Mapping[str, Any], subject: str) -> bool:
    return (
        row["subject"] == subject
        or row["key"] == subject.encode()
        or any(one["name"] == "ce_subject" and one["value"] == subject.encode() for one in row["headers"] or ())
    )


def _keyed(ids: Collection[str]) -> ds.Expression:
    return ds.field("key").isin(pa.array([one.encode() for one in sorted(ids)], pa.binary()))


def _served(task: str, row: Mapping[str, Any]) -> str:
    """The served prediction of a shadow's request."""
    source, request_id = dict(row["extensions"] or ()).get("requestsource", ""), _said(row["data"]).get("request_id")
    return prediction_id(task, source, str(request_id))


def _about(task: str, data: bytes | None) -> str | None:
    """The prediction that feedback names, however much is wrong with the rest of it."""
    said = _said(data)
    named, request_id = said.get("prediction_id"), said.get("request_id")
    if isinstance(named, str):
        return named
    if not isinstance(request_id, str):
        return None
    task = str(said.get("task") or task)
    return prediction_id(task, str(said.get("request_source") or f"kafka:{topics.requests(task)}"), request_id)


def _said(data: bytes | None) -> dict[str, Any]:
    try:
        said = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _digests(row: Mapping[str, Any]) -> set[str]:
    """The blobs that a row claims. JSON may have its slashes escaped, so only the digests are looked for."""
    data = row["data"] or b""
    claimed = _DIGEST.findall(data) if _CLAIM.encode() in data else []
    claimed += _DIGEST.findall((row["data_uri"] or "").encode())
    return {digest.decode() for digest in claimed}

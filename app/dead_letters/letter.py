"""A dead letter in the log, filters of dead letters, and their description as JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from app.events import topics
from app.events.cloudevents import ConsumedRecord

COLUMNS = ["epoch", "partition", "offset", "logged", "id", "key", "extensions"]
"""The columns of the archive that `entry_of` reads."""

UNKNOWN = "unknown"
_MAX_PREVIEW_BYTES = 500
_MAX_UNPRINTABLE_RATIO = 0.1

LogPosition = tuple[str, int, int]
"""Topic id, partition and offset in the topic `dead-letters`."""


@dataclass(frozen=True)
class DeadLetterEntry:
    """A dead letter without its payload. `event_identity` is the (source, id) that the original had or was given.

    `redeliveries` is None if unknown, because the topic is not archived.
    """

    id: str
    logged: datetime
    stage: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    event_identity: tuple[str, str]
    key: bytes | None
    position: LogPosition
    redeliveries: int | None = 0

    @property
    def task(self) -> str:
        """Return the task of the original's topic."""
        return topics.task_of(self.topic)

    @property
    def sort_key(self) -> tuple[datetime, LogPosition]:
        """Return the key of the order in the log."""
        return self.logged, self.position


@dataclass(frozen=True)
class DeadLetterFilter:
    """Conditions on dead letters, all of which must hold. `before` is the `sort_key` of a letter."""

    ids: frozenset[str] = frozenset()
    stage: str | None = None
    code: str | None = None
    task: str | None = None
    since: datetime | None = None
    before: tuple[datetime, LogPosition] | None = None

    @property
    def expression(self) -> ds.Expression:
        """Return the filter on rows of the archive."""
        condition = pc.scalar(True)
        if self.ids:
            condition &= ds.field("id").isin(sorted(self.ids))
        if self.stage is not None:
            condition &= extension("stage", UNKNOWN) == self.stage
        if self.code is not None:
            condition &= extension("code", UNKNOWN) == self.code
        if self.task is not None:
            condition &= pc.match_substring_regex(extension("topic", ""), rf"^{re.escape(self.task)}\.[^.]*$")
        if self.since is not None:
            condition &= ds.field("logged") >= pa.scalar(self.since)
        if self.before is not None:
            condition &= _logged_before(*self.before)
        return condition


def extension(name: str, default: str) -> ds.Expression:
    """Return an attribute of the rejection, such as its code, of a row of the archive."""
    return pc.coalesce(pc.map_lookup(ds.field("extensions"), pa.scalar(name), "first"), pa.scalar(default))


def _logged_before(logged: datetime, position: LogPosition) -> ds.Expression:
    epoch, partition, offset = position
    condition = ds.field("offset") < offset
    for name, value in (("partition", partition), ("epoch", epoch), ("logged", pa.scalar(logged))):
        condition = (ds.field(name) < value) | ((ds.field(name) == value) & condition)
    return condition


def entry_of(row: Mapping[str, Any]) -> DeadLetterEntry:
    """Return the dead letter of an archive row."""
    rejection = dict(row["extensions"] or ())
    return DeadLetterEntry(
        id=row["id"],
        logged=row["logged"],
        stage=rejection.get("stage", UNKNOWN),
        code=rejection.get("code", UNKNOWN),
        reason=rejection.get("reason", ""),
        topic=rejection.get("topic", ""),
        partition=_number(rejection.get("partition", "")),
        offset=_number(rejection.get("offset", "")),
        event_identity=(rejection.get("event_source", ""), rejection.get("event_id", "")),
        key=row["key"],
        position=(row["epoch"], row["partition"], row["offset"]),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def format_redeliveries(letter: DeadLetterEntry) -> str:
    """Return how often a letter was replayed as text; an empty string if it was not, or if that is unknown."""
    count = letter.redeliveries or 0
    return f"replayed {'once' if count == 1 else f'{count} times'}" if count else ""


def to_json(letter: DeadLetterEntry) -> dict[str, Any]:
    """Return a dead letter as JSON."""
    return {
        "id": letter.id,
        "logged": letter.logged.isoformat(),
        "stage": letter.stage,
        "code": letter.code,
        "reason": letter.reason,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "source": letter.event_identity[0],
        "event_id": letter.event_identity[1],
        "replayed": letter.redeliveries,
    }


def to_detailed_json(letter: DeadLetterEntry, original: ConsumedRecord) -> dict[str, Any]:
    """Return a dead letter with its record as JSON; long payloads are cut."""
    value = original.value or b""
    return to_json(letter) | {
        "key": _preview(original.key),
        "headers": [[name, _preview(value)] for name, value in original.headers if not name.startswith("rejected_")],
        "bytes": len(value),
        "payload": _preview(value[:_MAX_PREVIEW_BYTES]),
    }


def _preview(value: bytes | None) -> str | None:
    """Return printable text as it is, and other bytes in hexadecimal."""
    if value is None:
        return None
    text = "".join(
        char if char.isprintable() or char.isspace() else "\ufffd" for char in value.decode(errors="replace")
    )
    return text if text.count("\ufffd") <= len(text) * _MAX_UNPRINTABLE_RATIO else f"0x{value.hex()}"

"""A dead letter as the log has it, which of them are asked for, and how they are described."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from app.events.cloudevents import ConsumedRecord

COLUMNS = ["epoch", "partition", "offset", "logged", "id", "key", "extensions"]
"""What `letter_of` needs of a row of the archive."""

UNKNOWN = "unknown"
_MAX_PREVIEW_BYTES = 500
_MAX_UNPRINTABLE_RATIO = 0.1

LogPosition = tuple[str, int, int]
"""An epoch, a partition and an offset of the topic `dead-letters`."""


@dataclass(frozen=True)
class DeadLetterEntry:
    """One dead letter, without its payload. `event` is the (source, id) that the original had or was given.

    `replayed` is how often it went back; None where that is not known, as the topic is not kept.
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
        """The task whose topic it came from."""
        return self.topic.rpartition(".")[0]

    @property
    def sort_key(self) -> tuple[datetime, LogPosition]:
        """Where it stands among the others in the log."""
        return self.logged, self.position


@dataclass(frozen=True)
class DeadLetterFilter:
    """Which dead letters are asked for: those of which all of this is true. `before` is the `order` of a letter."""

    ids: frozenset[str] = frozenset()
    stage: str | None = None
    code: str | None = None
    task: str | None = None
    since: datetime | None = None
    before: tuple[datetime, LogPosition] | None = None

    @property
    def expression(self) -> ds.Expression:
        """Which rows of the archive these are."""
        rows = pc.scalar(True)
        if self.ids:
            rows &= ds.field("id").isin(sorted(self.ids))
        if self.stage is not None:
            rows &= _extension("stage", UNKNOWN) == self.stage
        if self.code is not None:
            rows &= _extension("code", UNKNOWN) == self.code
        if self.task is not None:
            rows &= pc.match_substring_regex(_extension("topic", ""), rf"^{re.escape(self.task)}\.[^.]*$")
        if self.since is not None:
            rows &= ds.field("logged") >= pa.scalar(self.since)
        if self.before is not None:
            rows &= _logged_before(*self.before)
        return rows


def _extension(name: str, otherwise: str) -> ds.Expression:
    return pc.coalesce(pc.map_lookup(ds.field("extensions"), pa.scalar(name), "first"), pa.scalar(otherwise))


def _logged_before(logged: datetime, place: LogPosition) -> ds.Expression:
    epoch, partition, offset = place
    rows = ds.field("offset") < offset
    for name, value in (("partition", partition), ("epoch", epoch), ("logged", pa.scalar(logged))):
        rows = (ds.field(name) < value) | ((ds.field(name) == value) & rows)
    return rows


def entry_of(row: Mapping[str, Any]) -> DeadLetterEntry:
    """The dead letter in a row of the archive."""
    said = dict(row["extensions"] or ())
    return DeadLetterEntry(
        id=row["id"],
        logged=row["logged"],
        stage=said.get("stage", UNKNOWN),
        code=said.get("code", UNKNOWN),
        reason=said.get("reason", ""),
        topic=said.get("topic", ""),
        partition=_number(said.get("partition", "")),
        offset=_number(said.get("offset", "")),
        event_identity=(said.get("event_source", ""), said.get("event_id", "")),
        key=row["key"],
        position=(row["epoch"], row["partition"], row["offset"]),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def to_json(letter: DeadLetterEntry) -> dict[str, Any]:
    """A letter as JSON has it."""
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
    """A letter with its record, as JSON has it: of the payload only the beginning."""
    value = original.value or b""
    return to_json(letter) | {
        "key": _preview(original.key),
        "headers": [[name, _preview(value)] for name, value in original.headers if not name.startswith("rejected_")],
        "bytes": len(value),
        "payload": _preview(value[:_MAX_PREVIEW_BYTES]),
    }


def _preview(value: bytes | None) -> str | None:
    """Text as it is; of other bytes their hexadecimal digits."""
    if value is None:
        return None
    shown = "".join(one if one.isprintable() or one.isspace() else "\ufffd" for one in value.decode(errors="replace"))
    return shown if shown.count("\ufffd") <= len(shown) * _MAX_UNPRINTABLE_RATIO else f"0x{value.hex()}"

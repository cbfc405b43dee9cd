"""Live streams: a session's chunks become one request. Pure: the Flink job keeps the session as its state.

An application publishes the chunks of a stream (a microphone's, say) to `<task>.requests` as they come:

- `ce_session` names the session; with `ce_source` it is the session's identity. All chunks should have one key, so
  that the log keeps their order.
- `ce_sequence` counts the chunks: 0, 1, 2, ... A chunk that comes twice counts once.
- `ce_final: true` marks the last chunk, which may be empty.

The chunks become an ordinary request on `<task>.requests`: its id is the session's name, its payload the result of
`Task.assemble`. So preprocessing, prediction, feedback and replay need nothing special. While the session is open, the
chunks so far are requested as well, marked `ce_partial`, under the id `<session>/<sequence of the last chunk>`. Such a
prediction is answered, but it is neither counted nor used for training.

- Out of order: a chunk waits for those before it. After `session_gap_seconds` the session continues without them;
  `ce_missing` on its request and prediction is the number of chunks missing at its end. The task decides whether it can
  read the rest: the preprocessing rejects a WAV without its first chunk.
- Silence: a session ends after `session_idle_seconds` without a new chunk.
- Late: a chunk that was given up, or that comes after the end, is a dead letter (`late_chunk`) without an answer.
- Bounds: bytes and chunks of one session, and seconds from its first chunk to its last by the log's times. A session
  that exceeds one has failed: it is answered, the chunk that exceeds the bound is a dead letter, and later chunks are
  ignored. A session also fails if its chunk exceeds the bytes of all open sessions of the task (`too_many_sessions`).

No chunk that is in the log is given up: a session's time is the time up to which the log has been read (`.log_clock`).
So a job that was down, or is behind, loses no chunk. A chunk is given up only after the job has committed its offsets,
which takes some seconds longer than the setting.

A session that has ended is kept for `RETENTION_MS`, so that a chunk that is read again starts no new session.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import Self

from models.base import Rejected

RETENTION_MS = 600_000
"""Longer than the stretch of the log that is read again after a crash."""
_PARTIAL_AGE_RATIO = 0.1
"""The next partial waits for this share of the session's age: so the total length of all partials grows linearly with
the session, not with its square."""


@dataclass(frozen=True)
class SessionLimits:
    """Bounds of one session, `total_bytes` of all open ones, and waiting times. If `partial_ms` is 0, no partials."""

    bytes: int
    total_bytes: int
    chunks: int
    ms: int
    gap_ms: int
    idle_ms: int
    partial_ms: int


@dataclass(frozen=True)
class Chunk:
    """A chunk's place in its session, its size, and its time in the log (milliseconds since 1970)."""

    sequence: int
    final: bool
    size: int
    logged_ms: int


class ChunkStatus(Enum):
    """The result of adding a chunk to a session."""

    KEPT = auto()
    DUPLICATE = auto()
    LATE = auto()


@dataclass
class LiveSession:
    """The state of a session, without its chunks' bytes. Times are in milliseconds since 1970.

    The names of the fields are part of Flink's checkpoints.
    """

    began_ms: int
    """Time of its first chunk in the log."""
    heard_ms: int
    """When its last chunk was read."""
    said: dict[str, str] = field(default_factory=dict)
    """Attributes that its request takes from the chunk that came first, and the `origin` of the last chunk."""
    next: int = 0
    """All chunks before this one have come or were given up."""
    ahead: list[int] = field(default_factory=list)
    """Chunks that wait for `next`."""
    missing: list[int] = field(default_factory=list)
    """Chunks that were given up."""
    last: int | None = None
    """The final chunk's sequence."""
    size: int = 0
    """Bytes of all chunks."""
    hole_ms: int | None = None
    """Since when the session waits for `next`."""
    partial_ms: int | None = None
    """Time of the last partial, by the log's time."""
    partial_next: int = 0
    """`next` at the last partial."""
    closed_ms: int | None = None
    failed: bool = False

    def add(self, chunk: Chunk, limits: SessionLimits, now: int) -> ChunkStatus:
        """Add a chunk. Raises `Rejected` if the chunk exceeds a bound: then the session has failed."""
        if self.closed_ms is not None:
            is_new = chunk.sequence >= self.next or chunk.sequence in self.missing
            return ChunkStatus.LATE if is_new and not self.failed else ChunkStatus.DUPLICATE
        if chunk.sequence < self.next:
            return ChunkStatus.LATE if chunk.sequence in self.missing else ChunkStatus.DUPLICATE
        if chunk.sequence in self.ahead:
            return ChunkStatus.DUPLICATE
        self._check_limits(chunk, limits)
        self.ahead = sorted([*self.ahead, chunk.sequence])
        self.size += chunk.size
        self.heard_ms = now
        if chunk.final:
            self.last = chunk.sequence
        self._advance(now)
        return ChunkStatus.KEPT

    def expire(self, limits: SessionLimits, read_until: int) -> None:
        """Give up chunks that are overdue, now that the log has been read up to `read_until`."""
        if self.hole_ms is not None and read_until >= self.hole_ms + limits.gap_ms:
            self._skip_gap(read_until)
        if read_until >= self.heard_ms + limits.idle_ms:
            while self.ahead:
                self._skip_gap(read_until)
            self.last = self.next - 1

    def deadline(self, limits: SessionLimits) -> int:
        """Return when `expire` has something to do, or `is_forgotten` becomes true, if no chunk comes before."""
        if self.closed_ms is not None:
            return self.closed_ms + RETENTION_MS
        idle = self.heard_ms + limits.idle_ms
        return idle if self.hole_ms is None else min(idle, self.hole_ms + limits.gap_ms)

    def is_forgotten(self, read_until: int) -> bool:
        """Return whether the session ended so long ago that its state can be removed."""
        return self.closed_ms is not None and read_until >= self.closed_ms + RETENTION_MS

    @property
    def is_complete(self) -> bool:
        """Whether every chunk up to the last one has come or was given up."""
        return self.closed_ms is None and self.last is not None and self.next > self.last

    def partial_due(self, logged_ms: int, limits: SessionLimits) -> bool:
        """Return whether a partial is due at `logged_ms`; if so, record it as made."""
        previous_ms = self.began_ms if self.partial_ms is None else self.partial_ms
        wait = max(limits.partial_ms, _PARTIAL_AGE_RATIO * (previous_ms - self.began_ms))
        if not limits.partial_ms or self.next == self.partial_next or logged_ms < previous_ms + wait:
            return False
        self.partial_ms, self.partial_next = logged_ms, self.next
        return True

    def close(self, now: int, failed: bool = False) -> None:
        """Close the session, which has its answer."""
        self.closed_ms, self.failed, self.ahead, self.said = now, failed, [], {}

    def _check_limits(self, chunk: Chunk, limits: SessionLimits) -> None:
        finals = [final for final in (self.last, chunk.sequence if chunk.final else None) if final is not None]
        highest = max([*finals, *self.ahead, chunk.sequence])
        if finals and highest > min(finals):
            raise Rejected("bad_final", f"chunk {min(finals)} is marked as final, but there is chunk {highest}")
        if chunk.sequence >= limits.chunks:
            raise Rejected("session_too_many_chunks", f"chunk {chunk.sequence}; a session has at most {limits.chunks}")
        if self.size + chunk.size > limits.bytes:
            raise Rejected(
                "session_too_large",
                f"the session has {self.size + chunk.size:,} bytes with chunk {chunk.sequence}; "
                f"at most {limits.bytes:,} are taken",
            )
        if chunk.logged_ms - self.began_ms > limits.ms:
            raise Rejected("session_too_long", f"the session takes longer than {limits.ms / 1000:g} s")

    def _advance(self, now: int) -> None:
        previous_next = self.next
        while self.ahead and self.ahead[0] == self.next:
            self.ahead.pop(0)
            self.next += 1
        if not self.ahead:
            self.hole_ms = None
        elif self.hole_ms is None or self.next > previous_next:
            self.hole_ms = now

    def _skip_gap(self, now: int) -> None:
        self.missing += range(self.next, self.ahead[0])
        self.next = self.ahead[0]
        self._advance(now)

    def to_json(self) -> str:
        """Return the session as Flink's state keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the session that was kept. Fields that another version added are ignored."""
        fields: Mapping[str, object] = json.loads(text)
        return cls(**{name: value for name, value in fields.items() if name in cls.__dataclass_fields__})  # type: ignore[arg-type]

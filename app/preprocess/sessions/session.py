"""Live streams: a session's chunks become one request. Pure: the Flink job keeps what is here as its state.

An application publishes the chunks of a stream (a microphone's, say) to `<task>.requests` as they come:

- `ce_session` names the session; with `ce_source` it is the session's identity. All chunks should have one key, so
  that the log keeps their order.
- `ce_sequence` counts the chunks: 0, 1, 2, ... A chunk that comes twice counts once.
- `ce_final: true` marks the last chunk, which may be empty.

What they become is a request like any other, published to `<task>.requests` too: its id is the session's, its payload
what `Task.assemble` makes of the chunks. So everything behind (preprocessing, prediction, feedback, replay) is the
ordinary way. While the session runs, what has come so far is requested as well, marked `ce_partial`, under the id
`<session>/<sequence of its last chunk>`: such a prediction is answered, and nobody counts it or learns from it.

- Out of order: a chunk waits for those before it. After `session_gap_seconds` the session goes on without them; how
  many are missing at its end is said by `ce_missing` on its request and prediction. Whether that can be read is for
  the task to say: a WAV without its first chunk is rejected by its preprocessing.
- Silence: a session without a new chunk for `session_idle_seconds` is at its end.
- Late: a chunk that was given up, or comes after the end, is a dead letter (`late_chunk`) without an answer.
- Bounds: bytes and chunks of one session, and seconds from its first chunk to its last by the log's times. A session
  that exceeds one has failed: it is answered, the chunk that was too much is a dead letter, and the rest is ignored.
  So has the session whose chunk is too much for all open sessions of the task together (`too_many_sessions`).

Nothing is given up that is in the log: time passes for a session as the log is read (`.log_clock`). So a
job that was away, or is behind, loses no chunk; and giving up takes until the job has committed its offsets, some
seconds longer than is set.

A session that has ended is remembered for `REMEMBERED_MS`, so that a chunk that is read again begins no new one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import Self

from models.base import Rejected

RETENTION_MS = 600_000
"""Longer than any time for which the log is read again after a crash."""
_PARTIAL_AGE_RATIO = 0.1
"""The next partial waits for this share of the session's age: their whole length grows as the session's, not as its
square."""


@dataclass(frozen=True)
class SessionLimits:
    """What one session may take, and all together, and how long it is waited for. Zero `partial_ms`: no partials."""

    bytes: int
    total_bytes: int
    chunks: int
    ms: int
    gap_ms: int
    idle_ms: int
    partial_ms: int


@dataclass(frozen=True)
class Chunk:
    """Where a chunk stands in its session, its size, and when it came into the log (milliseconds since 1970)."""

    sequence: int
    final: bool
    size: int
    logged_ms: int


class ChunkStatus(Enum):
    """What became of a chunk."""

    KEPT = auto()
    DUPLICATE = auto()
    LATE = auto()


@dataclass
class LiveSession:
    """What is known of a session, beside its chunks' bytes. Times are in milliseconds since 1970."""

    began_ms: int
    """When its first chunk came into the log."""
    heard_ms: int
    """When its last chunk was read."""
    said: dict[str, str] = field(default_factory=dict)
    """What its request takes over from the chunk that came first."""
    next: int = 0
    """All chunks before this one are there, or given up."""
    ahead: list[int] = field(default_factory=list)
    """Chunks that wait for `next`."""
    missing: list[int] = field(default_factory=list)
    """Chunks that were given up."""
    last: int | None = None
    """The final chunk's sequence."""
    size: int = 0
    """Bytes of all chunks."""
    hole_ms: int | None = None
    """Since when `next` is waited for."""
    partial_ms: int | None = None
    """When the last partial was made, by the log's time."""
    partial_next: int = 0
    """`next` when the last partial was made."""
    closed_ms: int | None = None
    failed: bool = False

    def add(self, chunk: Chunk, limits: SessionLimits, now: int) -> ChunkStatus:
        """A chunk has come. Raises `Rejected` for what ends the session."""
        if self.closed_ms is not None:
            new = chunk.sequence >= self.next or chunk.sequence in self.missing
            return ChunkStatus.LATE if new and not self.failed else ChunkStatus.DUPLICATE
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
        """All that had come by then has been read: give up what was waited for."""
        if self.hole_ms is not None and read_until >= self.hole_ms + limits.gap_ms:
            self._skip_gap(read_until)
        if read_until >= self.heard_ms + limits.idle_ms:
            while self.ahead:
                self._skip_gap(read_until)
            self.last = self.next - 1

    def deadline(self, limits: SessionLimits) -> int:
        """When `wait` has something to do, or `forgotten` is true, if nothing happens before."""
        if self.closed_ms is not None:
            return self.closed_ms + RETENTION_MS
        idle = self.heard_ms + limits.idle_ms
        return idle if self.hole_ms is None else min(idle, self.hole_ms + limits.gap_ms)

    def is_forgotten(self, read_until: int) -> bool:
        """Whether the session ended so long ago that nothing of it need be known."""
        return self.closed_ms is not None and read_until >= self.closed_ms + RETENTION_MS

    @property
    def is_complete(self) -> bool:
        """Whether all is there that will be."""
        return self.closed_ms is None and self.last is not None and self.next > self.last

    def partial_due(self, logged_ms: int, limits: SessionLimits) -> bool:
        """Whether what has come by then is to be predicted; asked once, for then it is."""
        before = self.began_ms if self.partial_ms is None else self.partial_ms
        wait = max(limits.partial_ms, _PARTIAL_AGE_RATIO * (before - self.began_ms))
        if not limits.partial_ms or self.next == self.partial_next or logged_ms < before + wait:
            return False
        self.partial_ms, self.partial_next = logged_ms, self.next
        return True

    def close(self, now: int, failed: bool = False) -> None:
        """The session has its answer."""
        self.closed_ms, self.failed, self.ahead, self.said = now, failed, [], {}

    def _check_limits(self, chunk: Chunk, limits: SessionLimits) -> None:
        finals = [final for final in (self.last, chunk.sequence if chunk.final else None) if final is not None]
        beyond = max([*finals, *self.ahead, chunk.sequence])
        if finals and beyond > min(finals):
            raise Rejected("bad_final", f"chunk {min(finals)} is said to be the final one, but there is chunk {beyond}")
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
        before = self.next
        while self.ahead and self.ahead[0] == self.next:
            self.ahead.pop(0)
            self.next += 1
        if not self.ahead:
            self.hole_ms = None
        elif self.hole_ms is None or self.next > before:
            self.hole_ms = now

    def _skip_gap(self, now: int) -> None:
        self.missing += range(self.next, self.ahead[0])
        self.next = self.ahead[0]
        self._advance(now)

    def to_json(self) -> str:
        """The session as it is kept."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What was kept. What another version kept besides is left out."""
        said: Mapping[str, object] = json.loads(text)
        return cls(**{name: value for name, value in said.items() if name in cls.__dataclass_fields__})  # type: ignore[arg-type]

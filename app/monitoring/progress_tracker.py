"""Positions of consumer groups in their topics, and how long they have not changed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

GroupTopic = tuple[str, str]
"""A group and a topic."""


@dataclass(frozen=True)
class GroupPosition:
    """Position of a group in a topic, summed over all partitions."""

    committed: int
    """Sum of the committed offsets."""
    waiting: int = 0
    """Records that wait for the group."""
    overdue: int = 0
    """Records that have waited for at least `unanswered_seconds`."""
    end: int = 0
    """Sum of the ends of the topic's partitions."""


@dataclass(frozen=True)
class GroupProgress:
    """A position, and how long it has not changed."""

    position: GroupPosition
    stalled_seconds: float = 0.0
    """How long the group has not committed although records wait."""
    idle_seconds: float | None = None
    """How long the topic has not grown; None if it has not grown since the start of the tracking."""


ProgressByGroup = Mapping[GroupTopic, GroupProgress]


class ProgressTracker:
    """Tracker of the last change of each position. Pure: the caller passes the time."""

    def __init__(self, unanswered_seconds: float) -> None:
        """A group with overdue records at its first update counts as stalled for so long."""
        self._unanswered_seconds = unanswered_seconds
        self._moved_at: dict[GroupTopic, float] = {}
        self._grew_at: dict[GroupTopic, float] = {}
        self._positions: dict[GroupTopic, GroupPosition] = {}

    def update(self, now: float, positions: Mapping[GroupTopic, GroupPosition]) -> dict[GroupTopic, GroupProgress]:
        """Record the positions, and return the progress of each."""
        for key, position in positions.items():
            previous = self._positions.get(key)
            if previous is None:  # the next update shows whether it changes
                self._moved_at[key] = now - (self._unanswered_seconds if position.overdue else 0.0)
            elif previous.committed != position.committed or not position.waiting:
                self._moved_at[key] = now
            if previous is not None and previous.end != position.end:
                self._grew_at[key] = now
        self._positions = dict(positions)
        return {
            key: GroupProgress(
                position,
                round(now - self._moved_at[key], 3),
                now - self._grew_at[key] if key in self._grew_at else None,
            )
            for key, position in positions.items()
        }

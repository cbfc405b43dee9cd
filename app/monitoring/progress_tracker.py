"""Where consumer groups stand in their topics, and since when. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

GroupTopic = tuple[str, str]
"""A group and a topic."""


@dataclass(frozen=True)
class GroupPosition:
    """Where a group stands in a topic, all partitions together."""

    committed: int
    """The sum of its offsets."""
    waiting: int = 0
    """Records that wait for it."""
    overdue: int = 0
    """Those of them that have waited for `unanswered_seconds`."""
    end: int = 0
    """The sum of the topic's ends."""


@dataclass(frozen=True)
class GroupProgress:
    """A place, and how long it has been the same."""

    position: GroupPosition
    stalled_seconds: float = 0.0
    """How long the group has committed nothing although records wait."""
    idle_seconds: float | None = None
    """How long the topic has not grown; None where it was never seen to."""


ProgressByGroup = Mapping[GroupTopic, GroupProgress]


class ProgressTracker:
    """Remembers when each group moved. Pure: it is told the time."""

    def __init__(self, unanswered_seconds: float) -> None:
        """What is overdue when it is seen for the first time has stood still for so long."""
        self._unanswered_seconds = unanswered_seconds
        self._moved_at: dict[GroupTopic, float] = {}
        self._grew_at: dict[GroupTopic, float] = {}
        self._positions: dict[GroupTopic, GroupPosition] = {}

    def update(self, now: float, places: Mapping[GroupTopic, GroupPosition]) -> dict[GroupTopic, GroupProgress]:
        """How things stand now."""
        for key, place in places.items():
            before = self._positions.get(key)
            if before is None:  # whether it moves is seen at the next look
                self._moved_at[key] = now - (self._unanswered_seconds if place.overdue else 0.0)
            elif before.committed != place.committed or not place.waiting:
                self._moved_at[key] = now
            if before is not None and before.end != place.end:
                self._grew_at[key] = now
        self._positions = dict(places)
        return {
            key: GroupProgress(
                place, round(now - self._moved_at[key], 3), now - self._grew_at[key] if key in self._grew_at else None
            )
            for key, place in places.items()
        }

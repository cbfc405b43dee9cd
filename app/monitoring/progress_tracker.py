"""Where consumer groups stand in their topics, and since when. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

Key = tuple[str, str]
"""A group and a topic."""


@dataclass(frozen=True)
class Place:
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
class Standing:
    """A place, and how long it has been the same."""

    place: Place
    still_seconds: float = 0.0
    """How long the group has committed nothing although records wait."""
    quiet_seconds: float | None = None
    """How long the topic has not grown; None where it was never seen to."""


Standings = Mapping[Key, Standing]


class Tracker:
    """Remembers when each group moved. Pure: it is told the time."""

    def __init__(self, unanswered_seconds: float) -> None:
        """What is overdue when it is seen for the first time has stood still for so long."""
        self._unanswered_seconds = unanswered_seconds
        self._moved: dict[Key, float] = {}
        self._grew: dict[Key, float] = {}
        self._places: dict[Key, Place] = {}

    def hear(self, now: float, places: Mapping[Key, Place]) -> dict[Key, Standing]:
        """How things stand now."""
        for key, place in places.items():
            before = self._places.get(key)
            if before is None:  # whether it moves is seen at the next look
                self._moved[key] = now - (self._unanswered_seconds if place.overdue else 0.0)
            elif before.committed != place.committed or not place.waiting:
                self._moved[key] = now
            if before is not None and before.end != place.end:
                self._grew[key] = now
        self._places = dict(places)
        return {
            key: Standing(place, round(now - self._moved[key], 3), now - self._grew[key] if key in self._grew else None)
            for key, place in places.items()
        }

"""How many predictions were made lately: counted by an index, a few seconds at a time, and kept."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from app.catalog.models import Prediction

SECONDS = 5
"""The length of a bucket."""
BUCKETS = 60
LATE = 6
"""The last so many are counted again: the recorder gives way to others, and may be a while behind."""


class Traffic:
    """Of one task."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._counts: dict[int, int] = {}

    def look(self, connection: Connection, versions: Sequence[str], now: datetime) -> tuple[int, ...]:
        """What these versions predicted in each bucket (BUCKETS,), the oldest first; the last has just begun."""
        last = int(now.timestamp()) // SECONDS
        wanted = range(last - BUCKETS + 1, last + 1)
        self._counts = {
            bucket: self._count(connection, versions, bucket)
            if bucket > last - LATE or bucket not in self._counts
            else self._counts[bucket]
            for bucket in wanted
        }
        return tuple(self._counts.values())

    def _count(self, connection: Connection, versions: Sequence[str], bucket: int) -> int:
        start, end = (datetime.fromtimestamp(at * SECONDS, UTC) for at in (bucket, bucket + 1))
        within = (Prediction.time >= start, Prediction.time < end)
        of_task = (Prediction.task == self._task, Prediction.version.in_(versions))
        return connection.scalar(select(func.count()).where(*of_task, *within)) or 0


def per_second(counts: Sequence[int]) -> float:
    """The rate of the last whole buckets, which are counted to their end."""
    whole = counts[-LATE - 1 : -1]
    return sum(whole) / (len(whole) * SECONDS) if whole else 0.0

"""What the overview shows, found once for all who look: nobody looking costs nothing.

Traffic, health and what waits are found again every two seconds, by Kafka's offsets and what each process says of
itself; latency by bounded queries over indexes; what costs more, scores and what triggers see, of one task at a time,
more rarely. Latency and scores are from the catalog, which may be behind.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from app.catalog.orm import DeadLetter, Outcome, Prediction
from app.embedded import status
from app.errors import SetupError
from app.events import topics
from app.kafka.lag import RECORDER_GROUP
from app.kafka.transient_errors import AWAY
from app.monitoring.drift import Finding
from app.monitoring.performance_estimation import Expected
from app.monitoring.quality import Judged, Quality, quality
from app.monitoring.task_status import TaskStatus, task_status
from app.pages.overview.throughput import Counts, Traffic, per_second
from app.registry.registry import Models
from app.retraining.triggers.conditions import Explained
from app.services.readiness import Health, Readiness
from app.services.services import Parts

FAST_SECONDS = 2.0
PATIENCE_SECONDS = 1.0
"""How long a page waits for a look: it is shown without, rather than late."""
SLOW_SECONDS = 10.0
NEWEST = 300
"""Answers whose latency is looked at, at most."""
RECENT = timedelta(minutes=5)
"""An older answer says nothing of the latency of now."""
SCORED = 20_000
"""Predictions whose outcomes are looked at."""
DAY = timedelta(days=1)


@dataclass
class Seen:
    """A task as it was last seen."""

    task: str
    models: Models | None = None
    counts: Counts = ()
    standing: TaskStatus | None = None
    """What waits, and who holds it up; None while that isn't known."""
    behind: int = 0
    """Answers that are not in the catalog yet."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    quality: Quality | None = None
    triggers: Sequence[Explained] = ()
    drift: Sequence[Finding] | None = None
    """Of the champion's last window; None without one."""
    expected: Expected | None = None
    """What the last window is expected to score while its labels are late."""
    dead_letters: int = 0
    """In the last day; counted up to 1,000."""

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return per_second(self.counts)

    @property
    def answers(self) -> int:
        """Answers of the last minutes."""
        return sum(self.counts)


@dataclass
class Overview:
    """Everything, as it was last seen. `trouble` says why it can't be seen now."""

    tasks: Mapping[str, Seen]
    health: Readiness | None = None
    restarts: Sequence[str] = ()
    """What the supervisor has started again of late, and why; or can't."""
    trouble: str = ""
    looked: float = field(default=float("-inf"))


class Watch:
    """Looks when it is asked, and not more often than it should."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._traffic = Traffic(parts.settings)
        self._health = Health(parts.settings, parts.watching)
        self._overview = Overview({name: Seen(name) for name in parts.tasks})
        self._looking: asyncio.Task[None] | None = None
        self._turn = 0
        self._slow = float("-inf")

    async def overview(self) -> Overview:
        """As it was at most two seconds ago; where looking takes long, for a part hangs, as it was seen last."""
        if self._looking is None and time.monotonic() - self._overview.looked >= FAST_SECONDS:
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=PATIENCE_SECONDS)
            if self._looking is not None and self._looking.done():
                looked, self._looking = self._looking, None
                self._overview.looked = time.monotonic()
                looked.result()
        return self._overview

    async def _look(self) -> None:
        found, settings = self._overview, self._parts.settings
        found.health = await self._health.readiness()
        found.restarts = status.notes(await asyncio.to_thread(status.read, settings.home), time.time())
        standings = self._parts.watching.progress.standings
        for name, seen in found.tasks.items():
            seen.standing = task_status(settings, standings, name) if standings else None
        try:
            models, counts = self._parts.controller.models, await self._traffic.look(time.time())
            lags = self._parts.watching.lags.get(RECORDER_GROUP, {})
            for name, seen in found.tasks.items():
                seen.models, seen.counts = models[name], counts[name]
                seen.behind = lags.get(topics.predictions(name), 0)
            await asyncio.to_thread(self._parts.catalog.ask, self._fast)
            if time.monotonic() - self._slow >= SLOW_SECONDS / max(1, len(found.tasks)):
                self._slow = time.monotonic()
                await self._look_slowly()
            found.trouble = ""
        except AWAY as error:
            found.trouble = str(error)

    async def _look_slowly(self) -> None:
        """At one task."""
        names = list(self._overview.tasks)
        self._turn = (self._turn + 1) % len(names)
        seen = self._overview.tasks[names[self._turn]]
        await asyncio.to_thread(self._parts.catalog.ask, lambda connection: _slow(connection, seen))
        try:
            if seen.models is not None and seen.models.versions:
                triggering = self._parts.controller.triggering
                seen.triggers = await triggering.explain(self._parts.tasks[seen.task], seen.models)
                _, looked = triggering.seen[seen.task]
                seen.drift = None if looked.drift is None else looked.drift.found
                seen.expected = None if looked.expected is None else looked.expected.found
        except SetupError:
            seen.triggers = ()

    def _fast(self, connection: Connection) -> None:
        for name, seen in self._overview.tasks.items():
            if seen.models is None or not seen.models.versions:
                continue
            times = _latencies(connection, name, seen.models.route.answering)
            seen.p50_ms, seen.p99_ms = np.percentile(times, [50, 99]).tolist() if times else (None, None)


def _latencies(connection: Connection, task: str, versions: Sequence[str]) -> list[float]:
    found: list[float | None] = []
    for version in versions:
        total = Prediction.data["timings_ms"]["total"].as_float()
        newest = select(total).where(
            Prediction.task == task, Prediction.version == version, Prediction.time >= datetime.now(UTC) - RECENT
        )
        found += connection.scalars(newest.order_by(Prediction.time.desc()).limit(NEWEST)).all()
    return [one for one in found if one is not None]


def _slow(connection: Connection, seen: Seen) -> None:
    since = datetime.now(UTC) - DAY
    letters = select(1).where(DeadLetter.source_topic.like(f"{seen.task}.%"), DeadLetter.logged >= since).limit(1000)
    seen.dead_letters = connection.scalar(select(func.count()).select_from(letters.subquery())) or 0
    if seen.models is not None and seen.models.versions:
        seen.quality = scored(connection, seen.task, seen.models.route.champion, since)


def scored(connection: Connection, task: str, version: str, since: datetime) -> Quality:
    """What a version's last predictions are worth, of those made since then: 20,000 at most."""
    of_version = (Prediction.task == task, Prediction.version == version, Prediction.time >= since)
    newest = (
        select(Prediction.prediction_id, Prediction.time)
        .where(*of_version)
        .order_by(Prediction.time.desc())
        .limit(SCORED)
        .subquery()
    )
    said = Outcome.data
    rows: Any = connection.execute(
        select(
            newest.c.time,
            Outcome.score,
            Outcome.reward,
            said["selection"].as_string().label("selection"),
            said["selection_probability"].as_float().label("probability"),
            said["accepted"].as_boolean().label("accepted"),
        ).join(Outcome, Outcome.prediction_id == newest.c.prediction_id)
    )
    judged = [
        Judged(row.time, row.reward if row.score is None else row.score, row.selection, row.probability, row.accepted)
        for row in rows
    ]
    count = connection.scalar(select(func.count()).select_from(newest)) or 0
    return quality(judged, count)

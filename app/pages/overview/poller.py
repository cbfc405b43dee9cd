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

from app.catalog.orm import DeadLetterRow, OutcomeRow, PredictionRow
from app.embedded import status
from app.errors import SetupError
from app.events import topics
from app.kafka.lag import RECORDER_GROUP
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality
from app.monitoring.task_status import TaskStatus, task_status
from app.pages.overview.throughput import BucketCounts, ThroughputReader, answers_per_second
from app.registry.registry import TaskModels
from app.retraining.triggers.conditions import TriggerExplanation
from app.services.readiness import HealthChecker, Readiness
from app.services.services import Services

FAST_INTERVAL_SECONDS = 2.0
MAX_WAIT_SECONDS = 1.0
"""How long a page waits for a look: it is shown without, rather than late."""
SLOW_INTERVAL_SECONDS = 10.0
MAX_LATENCIES = 300
"""Answers whose latency is looked at, at most."""
LATENCY_WINDOW = timedelta(minutes=5)
"""An older answer says nothing of the latency of now."""
MAX_SCORED = 20_000
"""Predictions whose outcomes are looked at."""
SCORE_WINDOW = timedelta(days=1)


@dataclass
class TaskOverview:
    """A task as it was last seen."""

    task: str
    models: TaskModels | None = None
    counts: BucketCounts = ()
    task_status: TaskStatus | None = None
    """What waits, and who holds it up; None while that isn't known."""
    unrecorded: int = 0
    """Answers that are not in the catalog yet."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    quality: QualityEstimate | None = None
    triggers: Sequence[TriggerExplanation] = ()
    drift: Sequence[DriftFinding] | None = None
    """Of the champion's last window; None without one."""
    expected: PerformanceEstimate | None = None
    """What the last window is expected to score while its labels are late."""
    dead_letters: int = 0
    """In the last day; counted up to 1,000."""

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return answers_per_second(self.counts)

    @property
    def answers(self) -> int:
        """Answers of the last minutes."""
        return sum(self.counts)


@dataclass
class Overview:
    """Everything, as it was last seen. `trouble` says why it can't be seen now."""

    tasks: Mapping[str, TaskOverview]
    health: Readiness | None = None
    restarts: Sequence[str] = ()
    """What the supervisor has started again of late, and why; or can't."""
    error: str = ""
    updated_at: float = field(default=float("-inf"))


class OverviewPoller:
    """Looks when it is asked, and not more often than it should."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._throughput = ThroughputReader(services.settings)
        self._health_checker = HealthChecker(services.settings, services.state_metrics)
        self._overview = Overview({name: TaskOverview(name) for name in services.tasks})
        self._refresh_task: asyncio.Task[None] | None = None
        self._task_index = 0
        self._slow_updated_at = float("-inf")

    async def overview(self) -> Overview:
        """As it was at most two seconds ago; where looking takes long, for a part hangs, as it was seen last."""
        if self._refresh_task is None and time.monotonic() - self._overview.updated_at >= FAST_INTERVAL_SECONDS:
            self._refresh_task = asyncio.create_task(self._refresh())
        if self._refresh_task is not None:
            await asyncio.wait({self._refresh_task}, timeout=MAX_WAIT_SECONDS)
            if self._refresh_task is not None and self._refresh_task.done():
                looked, self._refresh_task = self._refresh_task, None
                self._overview.updated_at = time.monotonic()
                looked.result()
        return self._overview

    async def _refresh(self) -> None:
        found, settings = self._overview, self._services.settings
        found.health = await self._health_checker.readiness()
        found.restarts = status.process_problems(
            await asyncio.to_thread(status.read_status, settings.home), time.time()
        )
        standings = self._services.state_metrics.progress.group_progress
        for name, seen in found.tasks.items():
            seen.task_status = task_status(settings, standings, name) if standings else None
        try:
            models, counts = self._services.controller.models, await self._throughput.read(time.time())
            lags = self._services.state_metrics.lags.get(RECORDER_GROUP, {})
            for name, seen in found.tasks.items():
                seen.models, seen.counts = models[name], counts[name]
                seen.unrecorded = lags.get(topics.predictions(name), 0)
            await asyncio.to_thread(self._services.catalog.query, self._update_latencies)
            if time.monotonic() - self._slow_updated_at >= SLOW_INTERVAL_SECONDS / max(1, len(found.tasks)):
                self._slow_updated_at = time.monotonic()
                await self._refresh_one_task()
            found.error = ""
        except TRANSIENT_ERRORS as error:
            found.error = str(error)

    async def _refresh_one_task(self) -> None:
        """At one task."""
        names = list(self._overview.tasks)
        self._task_index = (self._task_index + 1) % len(names)
        seen = self._overview.tasks[names[self._task_index]]
        await asyncio.to_thread(self._services.catalog.query, lambda connection: _update_scores(connection, seen))
        try:
            if seen.models is not None and seen.models.versions:
                triggering = self._services.controller.trigger_service
                seen.triggers = await triggering.explain(self._services.tasks[seen.task], seen.models)
                _, looked = triggering.observations[seen.task]
                seen.drift = None if looked.drift is None else looked.drift.value
                seen.expected = None if looked.expected is None else looked.expected.value
        except SetupError:
            seen.triggers = ()

    def _update_latencies(self, connection: Connection) -> None:
        for name, seen in self._overview.tasks.items():
            if seen.models is None or not seen.models.versions:
                continue
            times = _recent_latencies(connection, name, seen.models.route.serving_versions)
            seen.p50_ms, seen.p99_ms = np.percentile(times, [50, 99]).tolist() if times else (None, None)


def _recent_latencies(connection: Connection, task: str, versions: Sequence[str]) -> list[float]:
    found: list[float | None] = []
    for version in versions:
        total = PredictionRow.data["timings_ms"]["total"].as_float()
        newest = select(total).where(
            PredictionRow.task == task,
            PredictionRow.version == version,
            PredictionRow.time >= datetime.now(UTC) - LATENCY_WINDOW,
        )
        found += connection.scalars(newest.order_by(PredictionRow.time.desc()).limit(MAX_LATENCIES)).all()
    return [one for one in found if one is not None]


def _update_scores(connection: Connection, seen: TaskOverview) -> None:
    since = datetime.now(UTC) - SCORE_WINDOW
    letters = (
        select(1).where(DeadLetterRow.source_topic.like(f"{seen.task}.%"), DeadLetterRow.logged >= since).limit(1000)
    )
    seen.dead_letters = connection.scalar(select(func.count()).select_from(letters.subquery())) or 0
    if seen.models is not None and seen.models.versions:
        seen.quality = recent_quality(connection, seen.task, seen.models.route.champion, since)


def recent_quality(connection: Connection, task: str, version: str, since: datetime) -> QualityEstimate:
    """What a version's last predictions are worth, of those made since then: 20,000 at most."""
    of_version = (PredictionRow.task == task, PredictionRow.version == version, PredictionRow.time >= since)
    newest = (
        select(PredictionRow.prediction_id, PredictionRow.time)
        .where(*of_version)
        .order_by(PredictionRow.time.desc())
        .limit(MAX_SCORED)
        .subquery()
    )
    said = OutcomeRow.data
    rows: Any = connection.execute(
        select(
            newest.c.time,
            OutcomeRow.score,
            OutcomeRow.reward,
            said["selection"].as_string().label("selection"),
            said["selection_probability"].as_float().label("probability"),
            said["accepted"].as_boolean().label("accepted"),
        ).join(OutcomeRow, OutcomeRow.prediction_id == newest.c.prediction_id)
    )
    judged = [
        ScoredOutcome(
            row.time, row.reward if row.score is None else row.score, row.selection, row.probability, row.accepted
        )
        for row in rows
    ]
    count = connection.scalar(select(func.count()).select_from(newest)) or 0
    return estimate_quality(judged, count)

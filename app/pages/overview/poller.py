"""The data of the overview, shared by all viewers. Nothing is polled without a viewer.

Throughput, health and lag are refreshed every two seconds, from Kafka's offsets and the state of each process, and
latencies by bounded queries over indexes. Scores and triggers cost more, so they are refreshed for one task at a time,
and less often. Latencies and scores come from the catalog, which may lag behind.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Connection

from app.embedded import status
from app.errors import SetupError
from app.events import topics
from app.kafka.lag import RECORDER_GROUP
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate
from app.monitoring.task_status import TaskStatus, task_status
from app.pages.overview.catalog_queries import count_dead_letters, recent_latencies, recent_quality
from app.pages.overview.throughput import BucketCounts, ThroughputReader, answers_per_second
from app.registry.registry import TaskModels
from app.retraining.triggers.conditions import TriggerExplanation
from app.services.readiness import HealthChecker, Readiness
from app.services.services import Services

FAST_INTERVAL_SECONDS = 2.0
MAX_WAIT_SECONDS = 1.0
"""How long a page waits for new data before it shows the last data."""
SLOW_INTERVAL_SECONDS = 10.0
SCORE_WINDOW = timedelta(days=1)


@dataclass
class TaskOverview:
    """The last known state of a task."""

    task: str
    models: TaskModels | None = None
    counts: BucketCounts = ()
    task_status: TaskStatus | None = None
    """The waiting requests and the stage that blocks them; None while not known."""
    unrecorded: int = 0
    """Number of answers that are not in the catalog yet."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    quality: QualityEstimate | None = None
    triggers: Sequence[TriggerExplanation] = ()
    drift: Sequence[DriftFinding] | None = None
    """The findings in the champion's last window; None without a window."""
    expected: PerformanceEstimate | None = None
    """The score expected of the last window while its labels are late."""
    dead_letters: int = 0
    """Dead letters of the last day, counted up to MAX_DEAD_LETTERS."""

    @property
    def per_second(self) -> float:
        """The current rate of answers per second."""
        return answers_per_second(self.counts)

    @property
    def answers(self) -> int:
        """The number of answers in all buckets."""
        return sum(self.counts)


@dataclass
class Overview:
    """The last known state of all tasks. `error` is the reason if it can't be refreshed now."""

    tasks: Mapping[str, TaskOverview]
    health: Readiness | None = None
    restarts: Sequence[str] = ()
    """Processes that the supervisor restarted recently or can't restart, with reasons."""
    error: str = ""
    updated_at: float = field(default=float("-inf"))


class OverviewPoller:
    """Refreshes the overview on demand, at most every FAST_INTERVAL_SECONDS."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._throughput = ThroughputReader(services.settings)
        self._health_checker = HealthChecker(services.settings, services.state_metrics)
        self._overview = Overview({name: TaskOverview(name) for name in services.tasks})
        self._refresh_task: asyncio.Task[None] | None = None
        self._task_index = 0
        self._slow_updated_at = float("-inf")

    async def overview(self) -> Overview:
        """Return the overview, at most two seconds old; older if a refresh takes long because a part hangs."""
        if self._refresh_task is None and time.monotonic() - self._overview.updated_at >= FAST_INTERVAL_SECONDS:
            self._refresh_task = asyncio.create_task(self._refresh())
        if self._refresh_task is not None:
            await asyncio.wait({self._refresh_task}, timeout=MAX_WAIT_SECONDS)
            if self._refresh_task is not None and self._refresh_task.done():
                finished, self._refresh_task = self._refresh_task, None
                self._overview.updated_at = time.monotonic()
                finished.result()
        return self._overview

    async def _refresh(self) -> None:
        overview, settings = self._overview, self._services.settings
        overview.health = await self._health_checker.readiness()
        overview.restarts = status.process_problems(
            await asyncio.to_thread(status.read_status, settings.home), time.time()
        )
        group_progress = self._services.state_metrics.progress.group_progress
        for name, task in overview.tasks.items():
            task.task_status = task_status(settings, group_progress, name) if group_progress else None
        try:
            models, counts = self._services.controller.models, await self._throughput.read(time.time())
            lags = self._services.state_metrics.lags.get(RECORDER_GROUP, {})
            for name, task in overview.tasks.items():
                task.models, task.counts = models[name], counts[name]
                task.unrecorded = lags.get(topics.predictions(name), 0)
            await asyncio.to_thread(self._services.catalog.query, self._update_latencies)
            if time.monotonic() - self._slow_updated_at >= SLOW_INTERVAL_SECONDS / max(1, len(overview.tasks)):
                self._slow_updated_at = time.monotonic()
                await self._refresh_next_task()
            overview.error = ""
        except TRANSIENT_ERRORS as error:
            overview.error = str(error)

    async def _refresh_next_task(self) -> None:
        """Refresh the scores and triggers of the next task."""
        names = list(self._overview.tasks)
        self._task_index = (self._task_index + 1) % len(names)
        task = self._overview.tasks[names[self._task_index]]
        await asyncio.to_thread(self._services.catalog.query, lambda connection: _update_scores(connection, task))
        try:
            if task.models is not None and task.models.versions:
                trigger_service = self._services.controller.trigger_service
                task.triggers = await trigger_service.explain(self._services.tasks[task.task], task.models)
                _, observation = trigger_service.observations[task.task]
                task.drift = None if observation.drift is None else observation.drift.value
                task.expected = None if observation.expected is None else observation.expected.value
        except SetupError:
            task.triggers = ()

    def _update_latencies(self, connection: Connection) -> None:
        for name, task in self._overview.tasks.items():
            if task.models is None or not task.models.versions:
                continue
            latencies = recent_latencies(connection, name, task.models.route.serving_versions)
            task.p50_ms, task.p99_ms = np.percentile(latencies, [50, 99]).tolist() if latencies else (None, None)


def _update_scores(connection: Connection, task: TaskOverview) -> None:
    since = datetime.now(UTC) - SCORE_WINDOW
    task.dead_letters = count_dead_letters(connection, task.task, since)
    if task.models is not None and task.models.versions:
        task.quality = recent_quality(connection, task.task, task.models.route.champion, since)

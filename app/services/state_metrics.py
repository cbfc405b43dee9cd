"""The metrics of what the API knows: routes, runs, windows, lag. Made at each scrape from the state of now.

What is no longer so is no longer there: no series outlives the version, the feature or the topic that it is of.
"""

import asyncio
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.errors import SetupError, Unavailable
from app.events.base import ModelRef
from app.events.lifecycle import RetrainingEnded
from app.kafka.lag import Lags, fetch_deployment_lags
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.progress import ProgressMonitor
from app.monitoring.quality import QualityEstimate
from app.monitoring.task_status import TaskStatus, task_status
from app.registry.registry import TaskModels
from app.retraining.controller import Controller
from app.retraining.triggers.observation import Observation
from app.settings import Settings

log = logging.getLogger(__name__)

LAG_INTERVAL_SECONDS = 10.0
"""How often the lag is asked for, and how long it may take."""
PROGRESS_INTERVAL_SECONDS = 5.0
OUTCOMES = get_args(RetrainingEnded.model_fields["outcome"].annotation)
_VERSION = ("task", "version")
_FEATURE = (*_VERSION, "feature", "detector")


class StateMetrics(Collector):
    """What one replica of the API knows of all tasks."""

    def __init__(self, settings: Settings, controller: Controller) -> None:
        self._settings = settings
        self._controller = controller
        self.progress = ProgressMonitor(settings)
        self.lags: Lags = {}
        """Empty while it isn't known."""
        self.registry = CollectorRegistry()
        self.registry.register(self)

    async def run(self) -> None:
        """Follow the lag and the progress, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_progress())
            group.create_task(self._follow_lag())

    def required_versions(self) -> list[ModelRef]:
        """The versions that a route has answer. Raises `Unavailable` while the routes aren't known."""
        return [
            ModelRef(name=task, version=version)
            for task, models in self._controller.models.items()
            if models.versions
            for version in models.route.serving_versions
        ]

    async def _follow_progress(self) -> None:
        try:
            while True:
                await self.progress.refresh()
                await asyncio.sleep(PROGRESS_INTERVAL_SECONDS)
        finally:
            await self.progress.close()

    async def _follow_lag(self) -> None:
        while True:
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            found = await fetch_deployment_lags(self._settings, LAG_INTERVAL_SECONDS)
            self.lags = {} if isinstance(found, str) else found
            if isinstance(found, str):
                log.warning("the lag is not known: %s", found)

    def describe(self) -> Iterator[Metric]:
        """Each metric, without a value."""
        return iter(_MetricFamilies().all)

    def collect(self) -> Iterator[Metric]:
        """Each metric, with a value for whatever is known."""
        families = _MetricFamilies()
        families.add_lags(self.lags)
        if standings := self.progress.group_progress:
            families.add_unanswered(task_status(self._settings, standings, task) for task in self._settings.tasks)
        try:
            known: Mapping[str, TaskModels] = self._controller.models
        except Unavailable:
            known = {}
        for models in known.values():
            try:
                families.add_models(models)
            except SetupError:  # a task without any version
                continue
        for task, (version, seen) in self._controller.trigger_service.observations.items():
            families.add_observation(task, version, seen)
        return iter(families.all)


def _gauge(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hindsight_{name}", text, labels=labels)


class _MetricFamilies:
    """The metrics of one scrape."""

    def __init__(self) -> None:
        self.lag = _gauge("consumer_lag_events", "Events that a group has still to commit.", ("group", "topic", "task"))
        self.unanswered = _gauge(
            "unanswered_seconds", "How long none of a task's waiting requests has moved; 0 where they do.", ("task",)
        )
        self.share = _gauge(
            "route_share", "The share of the task's requests that a version answers.", (*_VERSION, "role")
        )
        self.frozen = _gauge("task_frozen", "1 while retraining and promotion are paused, else 0.", ("task",))
        self.active = _gauge("retraining_active", "1 while a run is under way, else 0.", ("task",))
        self.runs = CounterMetricFamily("hindsight_retraining_runs", "Runs that ended.", labels=("task", "outcome"))
        self.labelled = _gauge("labelled_events", "Events with a label or a reward since the last dataset.", ("task",))
        self.score = _gauge("quality_score", "The score of the last window, by inverse selection.", _VERSION)
        self.lower = _gauge("quality_score_lower", "The lower end of its 95 % interval.", _VERSION)
        self.upper = _gauge("quality_score_upper", "The upper end of its 95 % interval.", _VERSION)
        self.reference = _gauge("quality_reference", "The champion's score when it was judged.", _VERSION)
        self.expected = _gauge(
            "quality_expected", "What the last window is expected to score, without labels.", _VERSION
        )
        self.expected_lower = _gauge("quality_expected_lower", "The lower end of its 95 % interval.", _VERSION)
        self.expected_upper = _gauge("quality_expected_upper", "The upper end of its 95 % interval.", _VERSION)
        self.expected_error = _gauge("quality_expected_error", "Its mean absolute error in past windows.", _VERSION)
        self.coverage = _gauge("quality_coverage_ratio", "The share of the window that has a score.", _VERSION)
        self.answered = _gauge("quality_answered_ratio", "The share of its selected that has a score.", _VERSION)
        self.end = _gauge("quality_window_end_timestamp_seconds", "When the last judged window ended.", _VERSION)
        self.statistic = _gauge("drift_statistic", "What a detector found of a feature of the last window.", _FEATURE)
        self.threshold = _gauge("drift_threshold", "What it may find at most.", _FEATURE)
        self.drifted = _gauge("drift_detected", "1 where the feature has moved, else 0.", _FEATURE)
        self.p99 = _gauge("window_latency_p99_seconds", "The 99th percentile of the last window.", _VERSION)

    @property
    def all(self) -> list[Metric]:
        return list(vars(self).values())

    def add_lags(self, lags: Lags) -> None:
        for group, topics in lags.items():
            for topic, lag in topics.items():
                self.lag.add_metric((group, topic, topic.rpartition(".")[0]), lag)

    def add_unanswered(self, tasks: Iterable[TaskStatus]) -> None:
        for task in tasks:
            self.unanswered.add_metric((task.name,), task.held_seconds)

    def add_models(self, models: TaskModels) -> None:
        task, route = models.task, models.route
        for version in route.versions:
            role = route.role(version) or ""
            share = {"champion": 1 - route.canary_share, "canary": route.canary_share}.get(role, 0.0)
            self.share.add_metric((task, version, role), share)
        self.frozen.add_metric((task,), models.frozen is not None)
        self.active.add_metric((task,), models.active_run is not None)
        ended = [run.ended.outcome for run in models.runs.values() if run.ended]
        for outcome in OUTCOMES:
            self.runs.add_metric((task, outcome), ended.count(outcome))

    def add_observation(self, task: str, version: str, seen: Observation) -> None:
        of = (task, version)
        self.labelled.add_metric((task,), seen.labelled)
        if seen.reference is not None:
            self.reference.add_metric(of, seen.reference)
        if seen.quality is not None and seen.quality.value.predictions:
            self._add_quality(of, seen.quality.value, seen.quality.end)
        if seen.expected is not None:
            self._add_expected(of, seen.expected.value)
        for finding in seen.drift.value if seen.drift else ():
            labels = (*of, finding.feature, finding.detector)
            self.statistic.add_metric(labels, finding.statistic)
            self.threshold.add_metric(labels, finding.threshold)
            self.drifted.add_metric(labels, finding.drifted)
        if seen.latency is not None:
            self.p99.add_metric(of, seen.latency.value.p99_ms / 1000)

    def _add_quality(self, of: tuple[str, str], found: QualityEstimate, end: datetime) -> None:
        self.coverage.add_metric(of, found.coverage)
        self.answered.add_metric(of, found.answered)
        self.end.add_metric(of, end.timestamp())
        if found.score is not None:
            self.score.add_metric(of, found.score)
            lower, upper = found.interval()
            if math.isfinite(lower) and math.isfinite(upper):
                self.lower.add_metric(of, lower)
                self.upper.add_metric(of, upper)

    def _add_expected(self, of: tuple[str, str], found: PerformanceEstimate) -> None:
        self.expected.add_metric(of, found.score)
        self.expected_lower.add_metric(of, found.lower)
        self.expected_upper.add_metric(of, found.upper)
        if found.error is not None:
            self.expected_error.add_metric(of, found.error)

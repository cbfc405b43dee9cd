"""Metrics of the platform's state (routes, runs, windows, lag), built from the current state at each scrape.

So no series outlives its version, feature or topic.
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
from app.events.topics import task_of
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
"""Interval between two reads of the lag, and the timeout of each."""
PROGRESS_INTERVAL_SECONDS = 5.0
OUTCOMES = get_args(RetrainingEnded.model_fields["outcome"].annotation)
_VERSION = ("task", "version")
_FEATURE = (*_VERSION, "feature", "detector")


class StateMetrics(Collector):
    """A Prometheus collector of the state of all tasks, as this replica of the API knows it."""

    def __init__(self, settings: Settings, controller: Controller, progress: ProgressMonitor) -> None:
        self._settings = settings
        self._controller = controller
        self.progress = progress
        self.lags: Lags = {}
        """Empty while the lag is not known."""
        self.registry = CollectorRegistry()
        self.registry.register(self)

    async def run(self) -> None:
        """Refresh the lag and the progress until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_progress())
            group.create_task(self._follow_lag())

    def required_versions(self) -> list[ModelRef]:
        """Return the versions that routes send requests to. Raises `Unavailable` while the routes are not known."""
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
            lags = await fetch_deployment_lags(self._settings, LAG_INTERVAL_SECONDS)
            self.lags = {} if isinstance(lags, str) else lags
            if isinstance(lags, str):
                log.warning("the lag is not known: %s", lags)

    def describe(self) -> Iterator[Metric]:
        """Return all metrics without values."""
        return iter(_MetricFamilies().all)

    def collect(self) -> Iterator[Metric]:
        """Return all metrics, with the values that are known."""
        families = _MetricFamilies()
        families.add_lags(self.lags)
        if group_progress := self.progress.group_progress:
            families.add_unanswered(task_status(self._settings, group_progress, task) for task in self._settings.tasks)
        try:
            models_by_task: Mapping[str, TaskModels] = self._controller.models
        except Unavailable:
            models_by_task = {}
        for models in models_by_task.values():
            try:
                families.add_models(models)
            except SetupError:  # a task without any version
                continue
        for task, (version, observation) in self._controller.trigger_service.observations.items():
            families.add_observation(task, version, observation)
        return iter(families.all)


def _gauge(name: str, documentation: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hindsight_{name}", documentation, labels=labels)


class _MetricFamilies:
    """The metrics of one scrape."""

    def __init__(self) -> None:
        self.lag = _gauge("consumer_lag_events", "Events that a group has not committed.", ("group", "topic", "task"))
        self.unanswered = _gauge(
            "unanswered_seconds", "Time without progress of a task's waiting requests; 0 if there is some.", ("task",)
        )
        self.share = _gauge("route_share", "Share of the task's requests that a version answers.", (*_VERSION, "role"))
        self.frozen = _gauge("task_frozen", "1 while retraining and promotion are paused, else 0.", ("task",))
        self.active = _gauge("retraining_active", "1 while a run is active, else 0.", ("task",))
        self.runs = CounterMetricFamily("hindsight_retraining_runs", "Runs that ended.", labels=("task", "outcome"))
        self.labelled = _gauge("labelled_events", "Events with a label or a reward since the last dataset.", ("task",))
        self.score = _gauge("quality_score", "Score of the last window, by inverse selection probability.", _VERSION)
        self.lower = _gauge("quality_score_lower", "Lower end of the score's 95 % interval.", _VERSION)
        self.upper = _gauge("quality_score_upper", "Upper end of the score's 95 % interval.", _VERSION)
        self.reference = _gauge("quality_reference", "The champion's score when the gate evaluated it.", _VERSION)
        self.expected = _gauge("quality_expected", "Score of the last window, estimated without labels.", _VERSION)
        self.expected_lower = _gauge("quality_expected_lower", "Lower end of the estimate's 95 % interval.", _VERSION)
        self.expected_upper = _gauge("quality_expected_upper", "Upper end of the estimate's 95 % interval.", _VERSION)
        self.expected_error = _gauge(
            "quality_expected_error", "Mean absolute error of the estimate in past windows.", _VERSION
        )
        self.coverage = _gauge("quality_coverage_ratio", "Share of the window's predictions with a score.", _VERSION)
        self.answered = _gauge("quality_answered_ratio", "Share of the selected predictions with a score.", _VERSION)
        self.end = _gauge("quality_window_end_timestamp_seconds", "End of the last window with a score.", _VERSION)
        self.statistic = _gauge("drift_statistic", "A detector's statistic of a feature in the last window.", _FEATURE)
        self.threshold = _gauge("drift_threshold", "The statistic's threshold.", _FEATURE)
        self.drifted = _gauge("drift_detected", "1 if the feature has drifted, else 0.", _FEATURE)
        self.p99 = _gauge("window_latency_p99_seconds", "99th percentile of the last window's latency.", _VERSION)

    @property
    def all(self) -> list[Metric]:
        return list(vars(self).values())

    def add_lags(self, lags: Lags) -> None:
        for group, topics in lags.items():
            for topic, lag in topics.items():
                self.lag.add_metric((group, topic, task_of(topic)), lag)

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

    def add_observation(self, task: str, version: str, observation: Observation) -> None:
        labels = (task, version)
        self.labelled.add_metric((task,), observation.labelled)
        if observation.reference is not None:
            self.reference.add_metric(labels, observation.reference.score)
        if observation.quality is not None and observation.quality.value.predictions:
            self._add_quality(labels, observation.quality.value, observation.quality.end)
        if observation.expected is not None:
            self._add_expected(labels, observation.expected.value)
        for finding in observation.drift.value if observation.drift else ():
            feature_labels = (*labels, finding.feature, finding.detector)
            self.statistic.add_metric(feature_labels, finding.statistic)
            self.threshold.add_metric(feature_labels, finding.threshold)
            self.drifted.add_metric(feature_labels, finding.drifted)
        if observation.latency is not None:
            self.p99.add_metric(labels, observation.latency.value.p99_ms / 1000)

    def _add_quality(self, labels: tuple[str, str], estimate: QualityEstimate, end: datetime) -> None:
        self.coverage.add_metric(labels, estimate.coverage)
        self.answered.add_metric(labels, estimate.answered)
        self.end.add_metric(labels, end.timestamp())
        if estimate.score is not None:
            self.score.add_metric(labels, estimate.score)
            lower, upper = estimate.interval()
            if math.isfinite(lower) and math.isfinite(upper):
                self.lower.add_metric(labels, lower)
                self.upper.add_metric(labels, upper)

    def _add_expected(self, labels: tuple[str, str], estimate: PerformanceEstimate) -> None:
        self.expected.add_metric(labels, estimate.score)
        self.expected_lower.add_metric(labels, estimate.lower)
        self.expected_upper.add_metric(labels, estimate.upper)
        if estimate.error is not None:
            self.expected_error.add_metric(labels, estimate.error)

"""Observations of a task for the triggers, from the catalog and the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, or_, select

from app.catalog.catalog import decode_row
from app.catalog.orm import OutcomeRow, PredictionRow
from app.events.types import OutcomeRecorded, PredictionMade
from app.monitoring.drift import DriftFinding, Samples
from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality
from app.outcomes.audit import is_answered
from app.registry.registry import TaskModels
from app.retraining.triggers import drift_window
from app.retraining.triggers.observation import Alert, LatencyStats, Observation, TimeWindow, WindowValue
from app.settings.retraining import RetrainingSettings
from models.base import Task

WindowOutcomes = Sequence[tuple[OutcomeRecorded, datetime]]
"""Outcomes, each with the time of its prediction."""


@dataclass(frozen=True)
class CachedLatency:
    """The latency of the predictions in a window."""

    count: int
    """The number of predictions when this was computed."""
    latency: LatencyStats | None
    """None without predictions."""


@dataclass(frozen=True)
class CachedSamples:
    """Samples of the newest predictions in a window."""

    count: int
    """The number of predictions in the window when this was computed."""
    samples: Samples


WindowCache = dict[tuple[str, TimeWindow, type[Any]], Any]
"""Computed latencies and samples, by version, window and type."""


class Observer:
    """Observes one task. The cache has results of earlier observations of the same windows."""

    def __init__(
        self, task: Task, models: TaskModels, plan: RetrainingSettings, cache: WindowCache | None = None
    ) -> None:
        self._task = task
        self._models = models
        self._plan = plan
        self._version = models.route.champion
        self._cache = {} if cache is None else cache

    def observe(self, connection: Connection, now: datetime, alerts: Sequence[Alert] = ()) -> Observation:
        """Return the observation for now."""
        length = timedelta(minutes=self._plan.window_minutes)
        settled = TimeWindow.last_complete(length, now - timedelta(minutes=self._plan.feedback_wait_minutes))
        last = TimeWindow.last_complete(length, now)
        first = self._first_window(connection, length)
        running = TimeWindow(last.end, last.end + length)
        latency = self._cached_latency(connection, last).latency
        outcomes = self._outcomes(connection, settled)
        for key in list(self._cache):
            if key[:2] not in {(self._version, window) for window in (first, last, running)}:
                del self._cache[key]
        return Observation(
            labelled=self._labelled_count(connection),
            quality=settled.with_value(self._window_quality(connection, settled, outcomes)),
            reference=self._reference_score(connection, first if first and first.end <= settled.start else None),
            drift=self._drift(connection, first, (last, running), outcomes, now),
            latency=last.with_value(latency) if latency else None,
            alerts=alerts,
            running=self._models.active_run is not None,
            frozen=self._models.frozen is not None,
        )

    def _first_window(self, connection: Connection, length: timedelta) -> TimeWindow | None:
        """Return the first complete window in which the champion served, its reference."""
        since = self._models.champion_since
        served = select(func.min(PredictionRow.time)).where(*self._champion_predictions(), PredictionRow.time >= since)
        start = connection.scalar(served)
        if start is None:
            return None
        window = TimeWindow.last_complete(length, start + length)
        return window if window.start >= start else TimeWindow(window.end, window.end + length)

    def _reference_score(self, connection: Connection, first: TimeWindow | None) -> float | None:
        """Return the score at the gate, or the reward; without either, the score of the version's first window."""
        for run in self._models.runs.values():
            if run.registered and run.evaluated and run.registered.model.version == self._version:
                metrics = run.evaluated.metrics
                if (score := metrics.get("score_candidate", metrics.get("reward_candidate"))) is not None:
                    return score
        return self._window_quality(connection, first, self._outcomes(connection, first)).score if first else None

    def _champion_predictions(self) -> tuple[Any, ...]:
        return (
            PredictionRow.task == self._models.task,
            PredictionRow.version == self._version,
            PredictionRow.role == "champion",
        )

    def _in_window(self, window: TimeWindow) -> tuple[Any, ...]:
        return *self._champion_predictions(), PredictionRow.time >= window.start, PredictionRow.time < window.end

    def _count(self, connection: Connection, window: TimeWindow) -> int:
        return connection.scalar(select(func.count()).where(*self._in_window(window))) or 0

    def _outcomes(self, connection: Connection, window: TimeWindow) -> WindowOutcomes:
        query = (
            select(OutcomeRow.type, OutcomeRow.data, PredictionRow.time)
            .join(PredictionRow, PredictionRow.prediction_id == OutcomeRow.prediction_id)
            .where(*self._in_window(window))
            .order_by(PredictionRow.time)
        )
        return [(decode_row(row, OutcomeRecorded), row.time) for row in connection.execute(query)]

    def _window_quality(self, connection: Connection, window: TimeWindow, outcomes: WindowOutcomes) -> QualityEstimate:
        return estimate_quality([_scored_outcome(*outcome) for outcome in outcomes], self._count(connection, window))

    def _cached_latency(self, connection: Connection, window: TimeWindow) -> CachedLatency:
        """Compute the latency again only if predictions were added: a window may have hundreds of thousands."""
        cached: CachedLatency | None = self._cache.get((self._version, window, CachedLatency))
        if cached is not None and cached.count == self._count(connection, window):
            return cached
        rows = connection.execute(select(PredictionRow.type, PredictionRow.data).where(*self._in_window(window)))
        predictions = [decode_row(row, PredictionMade) for row in rows]
        summary = CachedLatency(len(predictions), _latency_of(predictions) if predictions else None)
        self._cache[self._version, window, CachedLatency] = summary
        return summary

    def _cached_samples(self, connection: Connection, window: TimeWindow) -> Samples:
        """Read the samples again only if enough predictions were added."""
        cached: CachedSamples | None = self._cache.get((self._version, window, CachedSamples))
        count = self._count(connection, window)
        if cached is None or drift_window.is_stale(cached.count, count):
            samples = drift_window.prediction_samples(connection, self._task, self._in_window(window))
            cached = CachedSamples(count, samples)
            self._cache[self._version, window, CachedSamples] = cached
        return cached.samples

    def _drift(
        self,
        connection: Connection,
        first: TimeWindow | None,
        windows: tuple[TimeWindow, TimeWindow],
        outcomes: WindowOutcomes,
        now: datetime,
    ) -> WindowValue[Sequence[DriftFinding]] | None:
        """Return the drift of the current window if it has drifted already, else of the last complete one.

        The reference is in the version's card; without one it is the first complete window.
        """
        last, running = windows
        reference = drift_window.read_reference(self._models.version(self._version).card)
        if reference is None:
            if first is None or first.end > last.start:
                return None
            labels = drift_window.label_samples(
                self._task, [outcome for outcome, _ in self._outcomes(connection, first)]
            )
            reference = {**self._cached_samples(connection, first), **labels}
        labels = drift_window.label_samples(self._task, [outcome for outcome, _ in outcomes])
        findings = drift_window.detect_drift(reference, {**self._cached_samples(connection, running), **labels})
        if any(finding.drifted for finding in findings):
            return WindowValue(running.start, now, findings)
        findings = drift_window.detect_drift(reference, {**self._cached_samples(connection, last), **labels})
        return last.with_value(findings)

    def _labelled_count(self, connection: Connection) -> int:
        """Return the number of events with a label or a reward since the last run started."""
        runs = list(self._models.runs.values())
        recent = [OutcomeRow.task == self._models.task]
        if runs:
            recent.append(OutcomeRow.time > runs[-1].time)
        # A score implies a label. A default reward does not count.
        labelled = or_(OutcomeRow.score.is_not(None), OutcomeRow.reward.is_not(None) & ~_reward_defaulted())
        return connection.scalar(select(func.count()).where(*recent, labelled)) or 0


def _reward_defaulted() -> Any:
    return OutcomeRow.data["reward_defaulted"].as_boolean()


def _scored_outcome(outcome: OutcomeRecorded, time: datetime) -> ScoredOutcome:
    score = outcome.reward if outcome.score is None else outcome.score
    probability, counts = outcome.selection_probability, is_answered(outcome)
    return ScoredOutcome(time, score, outcome.selection, probability, outcome.accepted, counts)


def _latency_of(predictions: Sequence[PredictionMade]) -> LatencyStats:
    latencies = [prediction.timings_ms["total"] for prediction in predictions]
    return LatencyStats(float(np.percentile(latencies, 99)), len(latencies))

"""Observations of a task for the triggers, from the catalog and the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, or_, select

from app.catalog.catalog import decode_row
from app.catalog.histograms import count_latencies
from app.catalog.orm import OutcomeRow, PredictionRow
from app.events.types import OutcomeRecorded
from app.monitoring.drift import DriftFinding
from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality
from app.monitoring.quality_detector import QualityReference
from app.outcomes.audit import is_answered
from app.registry.registry import TaskModels
from app.retraining.triggers.drift_observer import DriftObserver, WindowOutcomes
from app.retraining.triggers.observation import (
    Alert,
    LatencyStats,
    MemoryStats,
    Observation,
    TimeWindow,
    WindowCache,
    WindowValue,
)
from app.retraining.triggers.quality_windows import QualityWindows, gate_reference, runs_after_falls
from app.settings.retraining import RetrainingSettings
from app.statistics.histogram import Histogram
from models.base import Task


@dataclass(frozen=True)
class CachedLatency:
    """The latency of the predictions in a window."""

    count: int
    """The number of predictions when this was computed."""
    latency: LatencyStats | None
    """None without predictions."""


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
            is_current = key[1] in (first, last, running) or key[2] is QualityEstimate
            if key[0] != self._version or not is_current:
                del self._cache[key]
        history, reference = self._quality_history(connection, first, settled)
        return Observation(
            labelled=self._labelled_count(connection),
            quality=settled.with_value(self._window_quality(connection, settled, outcomes)),
            quality_history=history,
            fall_runs=len(runs_after_falls(self._models)),
            reference=reference,
            drift=self._drift(connection, first, last, outcomes, now),
            latency=last.with_value(latency) if latency else None,
            memory=settled.with_value(_memory_stats([outcome for outcome, *_ in outcomes])),
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

    def _quality_history(
        self, connection: Connection, first: TimeWindow | None, settled: TimeWindow
    ) -> tuple[list[QualityEstimate], QualityReference | None]:
        """Return the windows that are evidence beside the settled one, and the reference.

        The reference is the score of the first windows; until these have enough labels it is that at the gate, where
        there is one.
        """
        at_gate = gate_reference(self._models)
        if first is None:
            return [], at_gate
        read = partial(self._cached_quality, connection)
        triggers = self._plan.triggers
        runs = runs_after_falls(self._models)
        windows = QualityWindows(read, first, settled, runs, triggers.quality_min_answered_share)
        live = windows.reference()
        is_enough = live is not None and live.labelled >= triggers.quality_min_labelled
        return windows.evidence(), live if is_enough else at_gate or live

    def _cached_quality(self, connection: Connection, window: TimeWindow, may_be_cached: bool) -> QualityEstimate:
        key = self._version, window, QualityEstimate
        if not may_be_cached or key not in self._cache:
            self._cache[key] = self._window_quality(connection, window, self._outcomes(connection, window))
        quality: QualityEstimate = self._cache[key]
        return quality

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
            select(OutcomeRow.type, OutcomeRow.data, PredictionRow.time, PredictionRow.subject)
            .join(PredictionRow, PredictionRow.prediction_id == OutcomeRow.prediction_id)
            .where(*self._in_window(window))
            .order_by(PredictionRow.time)
        )
        return [(decode_row(row, OutcomeRecorded), row.time, row.subject) for row in connection.execute(query)]

    def _window_quality(self, connection: Connection, window: TimeWindow, outcomes: WindowOutcomes) -> QualityEstimate:
        return estimate_quality([_scored_outcome(*outcome) for outcome in outcomes], self._count(connection, window))

    def _cached_latency(self, connection: Connection, window: TimeWindow) -> CachedLatency:
        """Compute the latency again only if predictions were added: a window may have millions."""
        cached: CachedLatency | None = self._cache.get((self._version, window, CachedLatency))
        if cached is not None and cached.count == self._count(connection, window):
            return cached
        latencies = count_latencies(connection, self._in_window(window))
        summary = CachedLatency(latencies.total, _latency_of(latencies) if latencies.total else None)
        self._cache[self._version, window, CachedLatency] = summary
        return summary

    def _drift(
        self,
        connection: Connection,
        first: TimeWindow | None,
        last: TimeWindow,
        outcomes: WindowOutcomes,
        now: datetime,
    ) -> WindowValue[Sequence[DriftFinding]] | None:
        """Return the drift since the first window; None before it is over."""
        if first is None or first.end > last.start:
            return None
        read = partial(self._outcomes, connection)
        card = self._models.version(self._version).card
        observer = DriftObserver(connection, self._task, (self._version, card), self._in_window, read, self._cache)
        return observer.observe(first, last, outcomes, now)

    def _labelled_count(self, connection: Connection) -> int:
        """Return the number of events with a label or a reward since the last run started."""
        runs = list(self._models.runs.values())
        recent = [OutcomeRow.task == self._models.task]
        if runs:
            recent.append(OutcomeRow.time > runs[-1].time)
        # A score implies a label. A default reward does not count.
        labelled = or_(OutcomeRow.score.is_not(None), OutcomeRow.reward.is_not(None) & ~_reward_defaulted())
        return connection.scalar(select(func.count()).where(*recent, labelled)) or 0


def newest_prediction_time(connection: Connection, models: TaskModels) -> datetime | None:
    """Return the time of the champion's newest prediction in the catalog: how far a recorder that is behind has come.

    Windows after it are not complete, whatever the clock says.
    """
    of_champion = PredictionRow.task == models.task, PredictionRow.version == models.route.champion
    return connection.scalar(select(func.max(PredictionRow.time)).where(*of_champion))


def _reward_defaulted() -> Any:
    return OutcomeRow.data["reward_defaulted"].as_boolean()


def _scored_outcome(outcome: OutcomeRecorded, time: datetime, subject: str | None) -> ScoredOutcome:
    score = outcome.reward if outcome.score is None else outcome.score
    probability, counts = outcome.selection_probability, is_answered(outcome)
    return ScoredOutcome(time, score, outcome.selection, probability, outcome.accepted, counts, subject)


def _memory_stats(outcomes: Sequence[OutcomeRecorded]) -> MemoryStats:
    verdicts = [outcome.memory.right for outcome in outcomes if outcome.memory is not None]
    return MemoryStats(right=verdicts.count(True), wrong=verdicts.count(False))


def _latency_of(latencies: Histogram) -> LatencyStats:
    [p99] = latencies.quantiles(np.array([0.99]))
    return LatencyStats(float(p99), latencies.total)

"""What the triggers look at, from the catalog and the registry."""

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
from app.registry.registry import TaskModels
from app.retraining.triggers import drift_window
from app.retraining.triggers.observation import Alert, LatencyStats, Observation, TimeWindow, WindowValue
from app.settings.retraining import RetrainingSettings
from models.base import Task

WindowOutcomes = Sequence[tuple[OutcomeRecorded, datetime]]
"""What is known of predictions, and when each was made."""


@dataclass(frozen=True)
class CachedLatency:
    """What the predictions of a span come to."""

    count: int
    """How many there were when this was made."""
    latency: LatencyStats | None
    """None without any."""


@dataclass(frozen=True)
class CachedSamples:
    """What the newest predictions of a span are like."""

    count: int
    """How many the span had when this was made."""
    samples: Samples


WindowCache = dict[tuple[str, TimeWindow, type[Any]], Any]
"""Summaries and samples that were made already, by the version, the span and what they are."""


class Observer:
    """Looks at one task. Spans are asked for again and again: `kept` has what was found of them by earlier looks."""

    def __init__(
        self, task: Task, models: TaskModels, plan: RetrainingSettings, kept: WindowCache | None = None
    ) -> None:
        self._task = task
        self._models = models
        self._plan = plan
        self._version = models.route.champion
        self._cache = {} if kept is None else kept

    def observe(self, connection: Connection, now: datetime, alerts: Sequence[Alert] = ()) -> Observation:
        """All that there is to be seen now."""
        length = timedelta(minutes=self._plan.window_minutes)
        judged = TimeWindow.last_complete(length, now - timedelta(minutes=self._plan.feedback_wait_minutes))
        span = TimeWindow.last_complete(length, now)
        first = self._first_window(connection, length)
        running = TimeWindow(span.end, span.end + length)
        made = self._cached_latency(connection, span)
        known = self._outcomes(connection, judged)
        for old in list(self._cache):
            if old[:2] not in {(self._version, one) for one in (first, span, running)}:
                del self._cache[old]
        return Observation(
            labelled=self._labelled_count(connection),
            quality=judged.with_value(self._window_quality(connection, judged, known)),
            reference=self._reference_score(connection, first if first and first.end <= judged.start else None),
            drift=self._drift(connection, first, (span, running), known, now),
            latency=span.with_value(made.latency) if made.latency else None,
            alerts=alerts,
            running=self._models.active_run is not None,
            frozen=self._models.frozen is not None,
        )

    def _first_window(self, connection: Connection, length: timedelta) -> TimeWindow | None:
        """The first whole span in which the champion served: what is usual for it."""
        since = self._models.champion_since
        served = select(func.min(PredictionRow.time)).where(*self._champion_predictions(), PredictionRow.time >= since)
        began = connection.scalar(served)
        if began is None:
            return None
        before = TimeWindow.last_complete(length, began + length)
        return before if before.start >= began else TimeWindow(before.end, before.end + length)

    def _reference_score(self, connection: Connection, first: TimeWindow | None) -> float | None:
        """What the gate has found; of a version that never passed it, what its first span has."""
        for run in self._models.runs.values():
            if run.registered and run.evaluated and run.registered.model.version == self._version:
                return run.evaluated.metrics.get("score_candidate")
        return self._window_quality(connection, first, self._outcomes(connection, first)).score if first else None

    def _champion_predictions(self) -> tuple[Any, ...]:
        return (
            PredictionRow.task == self._models.task,
            PredictionRow.version == self._version,
            PredictionRow.role == "champion",
        )

    def _in_window(self, span: TimeWindow) -> tuple[Any, ...]:
        return *self._champion_predictions(), PredictionRow.time >= span.start, PredictionRow.time < span.end

    def _count(self, connection: Connection, span: TimeWindow) -> int:
        return connection.scalar(select(func.count()).where(*self._in_window(span))) or 0

    def _outcomes(self, connection: Connection, span: TimeWindow) -> WindowOutcomes:
        found = (
            select(OutcomeRow.type, OutcomeRow.data, PredictionRow.time)
            .join(PredictionRow, PredictionRow.prediction_id == OutcomeRow.prediction_id)
            .where(*self._in_window(span))
            .order_by(PredictionRow.time)
        )
        return [(decode_row(row, OutcomeRecorded), row.time) for row in connection.execute(found)]

    def _window_quality(self, connection: Connection, span: TimeWindow, known: WindowOutcomes) -> QualityEstimate:
        return estimate_quality([_scored_outcome(*one) for one in known], self._count(connection, span))

    def _cached_latency(self, connection: Connection, span: TimeWindow) -> CachedLatency:
        """Made again only where predictions have come meanwhile: a span may have hundreds of thousands."""
        kept: CachedLatency | None = self._cache.get((self._version, span, CachedLatency))
        if kept is not None and kept.count == self._count(connection, span):
            return kept
        found = connection.execute(select(PredictionRow.type, PredictionRow.data).where(*self._in_window(span)))
        made = [decode_row(row, PredictionMade) for row in found]
        summary = CachedLatency(len(made), _latency_of(made) if made else None)
        self._cache[self._version, span, CachedLatency] = summary
        return summary

    def _cached_samples(self, connection: Connection, span: TimeWindow) -> Samples:
        """Read again only where enough predictions have come meanwhile."""
        kept: CachedSamples | None = self._cache.get((self._version, span, CachedSamples))
        count = self._count(connection, span)
        if kept is None or drift_window.is_stale(kept.count, count):
            kept = CachedSamples(count, drift_window.prediction_samples(connection, self._task, self._in_window(span)))
            self._cache[self._version, span, CachedSamples] = kept
        return kept.samples

    def _drift(
        self,
        connection: Connection,
        first: TimeWindow | None,
        spans: tuple[TimeWindow, TimeWindow],
        known: WindowOutcomes,
        now: datetime,
    ) -> WindowValue[Sequence[DriftFinding]] | None:
        """Of the span that isn't over yet, if that has drifted already; else of the last whole one.

        Against the reference that the card has; of a version without, against its first whole span.
        """
        last, running = spans
        usual = drift_window.read_reference(self._models.version(self._version).card)
        if usual is None:
            if first is None or first.end > last.start:
                return None
            labels = drift_window.label_samples(self._task, [one for one, _ in self._outcomes(connection, first)])
            usual = {**self._cached_samples(connection, first), **labels}
        labels = drift_window.label_samples(self._task, [one for one, _ in known])
        found = drift_window.detect_drift(usual, {**self._cached_samples(connection, running), **labels})
        if any(one.drifted for one in found):
            return WindowValue(running.start, now, found)
        return last.with_value(drift_window.detect_drift(usual, {**self._cached_samples(connection, last), **labels}))

    def _labelled_count(self, connection: Connection) -> int:
        """Events with a label or a reward since the last run began."""
        runs = list(self._models.runs.values())
        said = [OutcomeRow.task == self._models.task]
        if runs:
            said.append(OutcomeRow.time > runs[-1].time)
        # A score is of a label. A reward that nobody gave is none.
        given = or_(OutcomeRow.score.is_not(None), OutcomeRow.reward.is_not(None) & ~_reward_defaulted())
        return connection.scalar(select(func.count()).where(*said, given)) or 0


def _reward_defaulted() -> Any:
    return OutcomeRow.data["reward_defaulted"].as_boolean()


def _scored_outcome(said: OutcomeRecorded, time: datetime) -> ScoredOutcome:
    score = said.reward if said.score is None else said.score
    return ScoredOutcome(time, score, said.selection, said.selection_probability, said.accepted)


def _latency_of(made: Sequence[PredictionMade]) -> LatencyStats:
    return LatencyStats(float(np.percentile([one.timings_ms["total"] for one in made], 99)), len(made))

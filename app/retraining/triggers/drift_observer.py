"""Observations of a champion's drift, from the catalog."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from app.events.types import OutcomeRecorded
from app.monitoring.drift import DriftBaseline, DriftFinding, Samples
from app.retraining.triggers import drift_window
from app.retraining.triggers.drift_baseline import PastWindows, build_baseline, past_windows
from app.retraining.triggers.observation import TimeWindow, WindowCache, WindowValue
from models.base import Task

WindowOutcomes = Sequence[tuple[OutcomeRecorded, datetime, str | None]]
"""Outcomes, each with the time and the subject of its prediction."""


@dataclass(frozen=True)
class CachedSamples:
    """Samples of the newest predictions in a window."""

    count: int
    """The number of predictions in the window when this was computed."""
    samples: Samples


@dataclass(frozen=True)
class CachedBaseline:
    """The baseline of a champion's drift, and the past that it is made of."""

    past: PastWindows
    baseline: DriftBaseline | None


@dataclass(frozen=True)
class DriftObserver:
    """Compares a champion's windows with its past and the reference in its card."""

    connection: Connection
    task: Task
    champion: tuple[str, Mapping[str, Any]]
    """Its version and card."""
    in_window: Callable[[TimeWindow], Sequence[Any]]
    """Returns the conditions of its predictions in a window."""
    read_outcomes: Callable[[TimeWindow], WindowOutcomes]
    cache: WindowCache

    def observe(
        self, first: TimeWindow, last: TimeWindow, outcomes: WindowOutcomes, now: datetime
    ) -> WindowValue[Sequence[DriftFinding]] | None:
        """Return the drift of the current window if it has drifted already, else of the last complete one.

        `first` is the champion's first complete window; `outcomes` are those of the last window with feedback.
        """
        baseline = self._baseline(first, last)
        if baseline is None:
            return None
        labels = self._label_samples(outcomes)
        running = last.next()
        findings = drift_window.detect_drift(baseline, {**self._cached_samples(running), **labels})
        if any(finding.drifted for finding in findings):
            return WindowValue(running.start, now, findings)
        return last.with_value(drift_window.detect_drift(baseline, {**self._cached_samples(last), **labels}))

    def _baseline(self, first: TimeWindow, last: TimeWindow) -> DriftBaseline | None:
        """Return the baseline, which changes only with the past."""
        version, card = self.champion
        windows = past_windows(first, last)
        cached: CachedBaseline | None = self.cache.get((version, first, CachedBaseline))
        if cached is None or len(cached.past.windows) < len(windows):
            past = (PastWindows() if cached is None else cached.past).extended(windows, self._prediction_samples)
            labels = self._label_samples(self.read_outcomes(first))
            cached = CachedBaseline(past, build_baseline(past, drift_window.read_reference(card), labels))
            self.cache[version, first, CachedBaseline] = cached
        return cached.baseline

    def _cached_samples(self, window: TimeWindow) -> Samples:
        """Read the samples again only if enough predictions were added."""
        version, _ = self.champion
        cached: CachedSamples | None = self.cache.get((version, window, CachedSamples))
        count = self.connection.scalar(select(func.count()).where(*self.in_window(window))) or 0
        if cached is None or drift_window.is_stale(cached.count, count):
            cached = CachedSamples(count, self._prediction_samples(window))
            self.cache[version, window, CachedSamples] = cached
        return cached.samples

    def _prediction_samples(self, window: TimeWindow) -> Samples:
        return drift_window.prediction_samples(self.connection, self.task, self.in_window(window))

    def _label_samples(self, outcomes: WindowOutcomes) -> Samples:
        return drift_window.label_samples(self.task, [outcome for outcome, *_ in outcomes])

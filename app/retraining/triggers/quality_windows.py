"""The quality of the champion's past windows: the evidence for a fall, and the reference of a champion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from app.monitoring.quality import QualityEstimate
from app.monitoring.quality_detector import QualityReference, pool_reference
from app.registry.registry import TaskModels
from app.registry.runs import Run
from app.retraining.triggers.observation import TimeWindow

MAX_WINDOWS = 400
MAX_LABELS = 20_000
"""Limits of the evidence: 16 days of hourly windows, or this many labels. More would only detect negligible falls."""
REFERENCE_LABELS = 1000
"""The first windows with this many labels are the reference: a standard error of 0.01 at a score of 0.9."""
LATE_WINDOWS = 24
"""The newest windows, which are read again until enough of their audit is answered."""


@dataclass(frozen=True)
class QualityWindows:
    """The windows in which a champion served, from its `first` complete one up to `last`.

    Everything follows from the catalog and the log. Windows without enough answers are left out: they are biased.
    """

    read: Callable[[TimeWindow, bool], QualityEstimate]
    """Returns the quality of a window; the second argument says whether an earlier result may be returned."""
    first: TimeWindow
    last: TimeWindow
    runs: Sequence[datetime]
    """When the runs were triggered that a fall of this champion started."""
    min_answered_share: float

    def evidence(self) -> list[QualityEstimate]:
        """Return the windows before the last one that no run has answered yet, in order of time."""
        start = max([self.first.start, *self.runs])
        windows, labelled, window = list[QualityEstimate](), 0, self.last.previous()
        for number in range(MAX_WINDOWS):
            if window.start < start or labelled >= MAX_LABELS:
                break
            quality = self._read(window, is_late=number < LATE_WINDOWS)
            labelled += quality.labelled
            windows.append(quality)
            window = window.previous()
        return [quality for quality in reversed(windows) if self._is_answered(quality)]

    def reference(self) -> QualityReference | None:
        """Return the score of the first windows, before the last one and before any run answered a fall."""
        windows, labelled, window = list[QualityEstimate](), 0, self.first
        for _ in range(MAX_WINDOWS):
            if window.end > min([self.last.start, *self.runs]) or labelled >= REFERENCE_LABELS:
                break
            quality = self._read(window, is_late=window.end > self.last.start - LATE_WINDOWS * window.length)
            if self._is_answered(quality):
                labelled += quality.labelled
                windows.append(quality)
            window = window.next()
        return pool_reference(windows)

    def _read(self, window: TimeWindow, is_late: bool) -> QualityEstimate:
        quality = self.read(window, True)
        return self.read(window, False) if is_late and not self._is_answered(quality) else quality

    def _is_answered(self, quality: QualityEstimate) -> bool:
        return quality.labelled > 0 and quality.answered >= self.min_answered_share


def runs_after_falls(models: TaskModels) -> list[datetime]:
    """Return when the runs were triggered that a fall of this champion's quality started, alone or with others."""
    return [run.time for run in models.runs.values() if run.time >= models.champion_since and _answers_fall(run)]


def gate_reference(models: TaskModels) -> QualityReference | None:
    """Return the champion's score at the gate, or its reward if it was promoted on rewards; None without a gate."""
    for run in models.runs.values():
        candidate = run.candidate_of(models.route.champion)
        if candidate is not None and candidate.evaluated is not None:
            metrics = candidate.evaluated.metrics
            if (score := metrics.get("score_candidate")) is not None:
                variance = max(score * (1 - score), 0.0)  # the largest variance of scores in [0, 1] with this mean
                outcomes = metrics.get("outcomes")
                return QualityReference(score, sqrt(variance / outcomes) if outcomes else 0.0)
            if (reward := metrics.get("reward_candidate")) is not None:
                # The interval of the gain, about four standard errors wide, is the only one that is known.
                return QualityReference(reward, (metrics["off_policy_high"] - metrics["off_policy_low"]) / 4)
    return None


def _answers_fall(run: Run) -> bool:
    return "quality" in {run.triggered.trigger, *run.triggered.evidence.get("also", ())}

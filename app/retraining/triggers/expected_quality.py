"""The expected score of the champion's last window while its labels are missing, and the error of past estimates."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from app.catalog.catalog import decode_row
from app.catalog.histograms import count_confidences
from app.catalog.orm import OutcomeRow, PredictionRow
from app.evaluation.scoring import outcome_score
from app.events.types import OutcomeRecorded
from app.monitoring.performance_estimation import LabelledScores, PerformanceEstimate, estimate_performance
from app.outcomes.audit import AnsweredShare, is_answered
from app.registry.registry import TaskModels
from app.retraining.triggers.observation import TimeWindow, WindowValue
from app.settings.gate import MIN_ANSWERED_SHARE
from app.settings.retraining import RetrainingSettings
from app.statistics.histogram import Histogram

LEARNING_WINDOWS = 4
"""The number of windows, the last with complete feedback, whose labels are learned from."""
ERROR_WINDOWS = 8
"""The number of past windows in which the estimate is compared with the labels."""

SelectedPrediction = tuple[datetime, float, float | None, float]
"""Time, confidence, score and selection probability of a prediction; the score is None if no answer counts."""


class ExpectedQualityEstimator:
    """Estimates the quality of one task. An estimate is kept until a window ends or has more predictions."""

    def __init__(self) -> None:
        self._cached: tuple[Any, WindowValue[PerformanceEstimate] | None] = (None, None)

    def estimate(
        self, connection: Connection, models: TaskModels, plan: RetrainingSettings, now: datetime
    ) -> WindowValue[PerformanceEstimate] | None:
        """Return the estimate for the last complete window; None without enough labels."""
        length = timedelta(minutes=plan.window_minutes)
        window = TimeWindow.last_complete(length, now)
        ready = min(
            TimeWindow.last_complete(length, now - timedelta(minutes=plan.feedback_wait_minutes)).end, window.start
        )
        champion_predictions = (
            PredictionRow.task == models.task,
            PredictionRow.version == models.route.champion,
            PredictionRow.role == "champion",
        )
        count = connection.scalar(select(func.count()).where(*champion_predictions, *_in_window(window)))
        key = (models.route.champion, window, ready, count)
        if key != self._cached[0]:
            estimator = _WindowEstimator(connection, champion_predictions, length, window.start - ready)
            self._cached = key, estimator.estimate(window, ready)
        return self._cached[1]


class _WindowEstimator:
    """Estimates from the catalog; `lag` is the delay of labels."""

    def __init__(
        self, connection: Connection, champion_predictions: Sequence[Any], length: timedelta, lag: timedelta
    ) -> None:
        self._connection = connection
        self._champion_predictions = champion_predictions
        self._length = length
        self._lag = lag

    def estimate(self, window: TimeWindow, ready: datetime) -> WindowValue[PerformanceEstimate] | None:
        past = [
            TimeWindow(ready - (back + 1) * self._length, ready - back * self._length) for back in range(ERROR_WINDOWS)
        ]
        rows = self._selected_rows(TimeWindow(past[-1].start - self._lag - LEARNING_WINDOWS * self._length, ready))
        estimate = self._expected(rows, window)
        if estimate is None:
            return None
        errors = [error for before in past if (error := self._past_error(rows, before)) is not None]
        return window.with_value(
            replace(estimate, error=float(np.mean(errors)) if errors else None, windows=len(errors))
        )

    def _past_error(self, rows: Sequence[SelectedPrediction], window: TimeWindow) -> float | None:
        labelled, estimate = _labelled_in(rows, window), self._expected(rows, window)
        if not len(labelled.scores) or estimate is None:
            return None
        return abs(estimate.score - float(np.average(labelled.scores, weights=labelled.weights)))

    def _expected(self, rows: Sequence[SelectedPrediction], window: TimeWindow) -> PerformanceEstimate | None:
        """Estimate from the labels of earlier windows, without those that would still be incomplete."""
        end = window.start - self._lag
        return estimate_performance(
            _labelled_in(rows, TimeWindow(end - LEARNING_WINDOWS * self._length, end)), self._confidences(window)
        )

    def _confidences(self, window: TimeWindow) -> Histogram:
        return count_confidences(self._connection, (*self._champion_predictions, *_in_window(window)))

    def _selected_rows(self, window: TimeWindow) -> list[SelectedPrediction]:
        query = (
            select(OutcomeRow.type, OutcomeRow.data, PredictionRow.time)
            .join(PredictionRow, PredictionRow.prediction_id == OutcomeRow.prediction_id)
            .where(*self._champion_predictions, *_in_window(window))
        )
        rows = [
            _selected_prediction(decode_row(row, OutcomeRecorded), row.time) for row in self._connection.execute(query)
        ]
        return [row for row in rows if row is not None]


def _in_window(window: TimeWindow) -> tuple[Any, ...]:
    return PredictionRow.time >= window.start, PredictionRow.time < window.end


def _selected_prediction(outcome: OutcomeRecorded, time: datetime) -> SelectedPrediction | None:
    if outcome.selection_probability is None:
        return None
    score = outcome_score(outcome) if is_answered(outcome) else None
    return time, outcome.confidence, score, outcome.selection_probability


def _labelled_in(rows: Sequence[SelectedPrediction], window: TimeWindow) -> LabelledScores:
    """Return the labels of a window; none if too few of its audit are answered, because these are mostly mistakes."""
    selected = [row[1:] for row in rows if window.start <= row[0] < window.end]
    answered = [(confidence, score, rate) for confidence, score, rate in selected if score is not None]
    complete = not AnsweredShare(len(answered), len(selected)).missing(MIN_ANSWERED_SHARE)
    return LabelledScores.from_rows(answered if complete else [])

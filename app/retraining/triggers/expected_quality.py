"""What the champion's last window is expected to score while its labels are late, and how right that was before."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from app.catalog.catalog import decode_row
from app.catalog.orm import OutcomeRow, PredictionRow
from app.evaluation.scoring import outcome_score
from app.events.types import OutcomeRecorded
from app.monitoring.performance_estimation import LabelledScores, PerformanceEstimate, estimate_performance
from app.registry.registry import TaskModels
from app.retraining.triggers.observation import TimeWindow, WindowValue
from app.settings.retraining import RetrainingSettings
from models.off_policy import Floats

LEARNING_WINDOWS = 4
"""Windows, the last whose feedback has had its time, whose labels are learned from."""
ERROR_WINDOWS = 8
"""Windows in which what was expected is compared with what labels say."""

ScoredPrediction = tuple[datetime, float, float, float]
"""When it was predicted, its confidence, its score, and the probability with which it was selected."""


class ExpectedQualityEstimator:
    """Looks at one task, again and again: what it found is kept until a window has ended, or has more predictions."""

    def __init__(self) -> None:
        self._cached: tuple[Any, WindowValue[PerformanceEstimate] | None] = (None, None)

    def estimate(
        self, connection: Connection, models: TaskModels, plan: RetrainingSettings, now: datetime
    ) -> WindowValue[PerformanceEstimate] | None:
        """Of the last whole window; None where too little is labelled."""
        length = timedelta(minutes=plan.window_minutes)
        span = TimeWindow.last_complete(length, now)
        ready = min(
            TimeWindow.last_complete(length, now - timedelta(minutes=plan.feedback_wait_minutes)).end, span.start
        )
        mine = (
            PredictionRow.task == models.task,
            PredictionRow.version == models.route.champion,
            PredictionRow.role == "champion",
        )
        count = connection.scalar(select(func.count()).where(*mine, *_in_window(span)))
        key = (models.route.champion, span, ready, count)
        if key != self._cached[0]:
            self._cached = key, _WindowEstimator(connection, mine, length, span.start - ready).estimate(span, ready)
        return self._cached[1]


class _WindowEstimator:
    """One look at the catalog; `lag` is by how much labels are late."""

    def __init__(self, connection: Connection, mine: Sequence[Any], length: timedelta, lag: timedelta) -> None:
        self._connection = connection
        self._champion_predictions = mine
        self._length = length
        self._lag = lag

    def estimate(self, span: TimeWindow, ready: datetime) -> WindowValue[PerformanceEstimate] | None:
        past = [
            TimeWindow(ready - (back + 1) * self._length, ready - back * self._length) for back in range(ERROR_WINDOWS)
        ]
        rows = self._labelled_rows(TimeWindow(past[-1].start - self._lag - LEARNING_WINDOWS * self._length, ready))
        found = self._expected(rows, span)
        if found is None:
            return None
        errors = [error for one in past if (error := self._past_error(rows, one)) is not None]
        return span.with_value(replace(found, error=float(np.mean(errors)) if errors else None, windows=len(errors)))

    def _past_error(self, rows: Sequence[ScoredPrediction], span: TimeWindow) -> float | None:
        known, then = _labelled_in(rows, span), self._expected(rows, span)
        if not len(known.scores) or then is None:
            return None
        return abs(then.score - float(np.average(known.scores, weights=known.weights)))

    def _expected(self, rows: Sequence[ScoredPrediction], span: TimeWindow) -> PerformanceEstimate | None:
        """By what is labelled of the windows before, those that are late left out."""
        end = span.start - self._lag
        return estimate_performance(
            _labelled_in(rows, TimeWindow(end - LEARNING_WINDOWS * self._length, end)), self._confidences(span)
        )

    def _confidences(self, span: TimeWindow) -> Floats:
        found = select(PredictionRow.data["confidence"].as_float()).where(
            *self._champion_predictions, *_in_window(span)
        )
        return np.array(self._connection.scalars(found).all(), np.float64)

    def _labelled_rows(self, span: TimeWindow) -> list[ScoredPrediction]:
        found = (
            select(OutcomeRow.type, OutcomeRow.data, PredictionRow.time)
            .join(PredictionRow, PredictionRow.prediction_id == OutcomeRow.prediction_id)
            .where(*self._champion_predictions, *_in_window(span))
        )
        rows = [
            _scored_prediction(decode_row(row, OutcomeRecorded), row.time) for row in self._connection.execute(found)
        ]
        return [row for row in rows if row is not None]


def _in_window(span: TimeWindow) -> tuple[Any, ...]:
    return PredictionRow.time >= span.start, PredictionRow.time < span.end


def _scored_prediction(said: OutcomeRecorded, time: datetime) -> ScoredPrediction | None:
    score = outcome_score(said)
    if score is None or said.selection_probability is None:
        return None
    return time, said.confidence, score, said.selection_probability


def _labelled_in(rows: Sequence[ScoredPrediction], span: TimeWindow) -> LabelledScores:
    return LabelledScores.from_rows([row[1:] for row in rows if span.start <= row[0] < span.end])

"""What the champion's last window is expected to score while its labels are late, and how right that was before."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from app.catalog.models import Outcome, Prediction
from app.catalog.store import read_row
from app.events import OutcomeRecorded
from app.monitoring.unlabelled import Expected, Labelled, expected
from app.registry.registry import Models
from app.retraining.plan import Retraining
from app.retraining.scoring import known_score
from app.retraining.seeing import Span
from app.retraining.seen import Window
from models.off_policy import Floats

LEARNED = 4
"""Windows, the last whose feedback has had its time, whose labels are learned from."""
PAST = 8
"""Windows in which what was expected is compared with what labels say."""

Row = tuple[datetime, float, float, float]
"""When it was predicted, its confidence, its score, and the probability with which it was selected."""


class Expecting:
    """Looks at one task, again and again: what it found is kept until a window has ended, or has more predictions."""

    def __init__(self) -> None:
        self._kept: tuple[Any, Window[Expected] | None] = (None, None)

    def look(self, connection: Connection, models: Models, plan: Retraining, now: datetime) -> Window[Expected] | None:
        """Of the last whole window; None where too little is labelled."""
        length = timedelta(minutes=plan.window_minutes)
        span = Span.last(length, now)
        ready = min(Span.last(length, now - timedelta(minutes=plan.feedback_minutes)).end, span.start)
        mine = (
            Prediction.task == models.task,
            Prediction.version == models.route.champion,
            Prediction.role == "champion",
        )
        count = connection.scalar(select(func.count()).where(*mine, *_within(span)))
        key = (models.route.champion, span, ready, count)
        if key != self._kept[0]:
            self._kept = key, _Look(connection, mine, length, span.start - ready).window(span, ready)
        return self._kept[1]


class _Look:
    """One look at the catalog; `lag` is by how much labels are late."""

    def __init__(self, connection: Connection, mine: Sequence[Any], length: timedelta, lag: timedelta) -> None:
        self._connection = connection
        self._mine = mine
        self._length = length
        self._lag = lag

    def window(self, span: Span, ready: datetime) -> Window[Expected] | None:
        past = [Span(ready - (back + 1) * self._length, ready - back * self._length) for back in range(PAST)]
        rows = self._labelled(Span(past[-1].start - self._lag - LEARNED * self._length, ready))
        found = self._expected(rows, span)
        if found is None:
            return None
        errors = [error for one in past if (error := self._error(rows, one)) is not None]
        return span.window(replace(found, error=float(np.mean(errors)) if errors else None, windows=len(errors)))

    def _error(self, rows: Sequence[Row], span: Span) -> float | None:
        known, then = _of(rows, span), self._expected(rows, span)
        if not len(known.scores) or then is None:
            return None
        return abs(then.score - float(np.average(known.scores, weights=known.weights)))

    def _expected(self, rows: Sequence[Row], span: Span) -> Expected | None:
        """By what is labelled of the windows before, those that are late left out."""
        end = span.start - self._lag
        return expected(_of(rows, Span(end - LEARNED * self._length, end)), self._confidences(span))

    def _confidences(self, span: Span) -> Floats:
        found = select(Prediction.data["confidence"].as_float()).where(*self._mine, *_within(span))
        return np.array(self._connection.scalars(found).all(), np.float64)

    def _labelled(self, span: Span) -> list[Row]:
        found = (
            select(Outcome.type, Outcome.data, Prediction.time)
            .join(Prediction, Prediction.prediction_id == Outcome.prediction_id)
            .where(*self._mine, *_within(span))
        )
        rows = [_row(read_row(row, OutcomeRecorded), row.time) for row in self._connection.execute(found)]
        return [row for row in rows if row is not None]


def _within(span: Span) -> tuple[Any, ...]:
    return Prediction.time >= span.start, Prediction.time < span.end


def _row(said: OutcomeRecorded, time: datetime) -> Row | None:
    score = known_score(said)
    if score is None or said.selection_probability is None:
        return None
    return time, said.confidence, score, said.selection_probability


def _of(rows: Sequence[Row], span: Span) -> Labelled:
    return Labelled.of([row[1:] for row in rows if span.start <= row[0] < span.end])

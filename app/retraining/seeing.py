"""What the triggers look at, from the catalog and the registry."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, or_, select

from app.catalog.models import Outcome, Prediction
from app.eventlog.outcomes import canonical
from app.events import OutcomeRecorded, PredictionMade
from app.monitoring.drift import FEWEST, Finding, KolmogorovSmirnov, Samples
from app.monitoring.quality import Judged, Quality, quality
from app.registry.registry import Models
from app.retraining.plan import Retraining
from app.retraining.seen import Alert, Latency, Seen, Window

_DETECTOR = KolmogorovSmirnov()
_ROW = tuple[PredictionMade, datetime]


@dataclass(frozen=True)
class Span:
    """From one moment up to, not including, another."""

    start: datetime
    end: datetime

    @classmethod
    def last(cls, length: timedelta, before: datetime) -> "Span":
        """The last whole one before a moment: spans follow each other without gaps, counted from 1970."""
        whole = int(before.timestamp() // length.total_seconds())
        end = datetime.fromtimestamp(whole * length.total_seconds(), UTC)
        return cls(end - length, end)

    def window(self, found: Any) -> Window[Any]:
        """What was found in it."""
        return Window(self.start, self.end, found)


class Sight:
    """Looks at one task. What was found of a span that is over is kept: it is asked for again and again."""

    def __init__(self, models: Models, plan: Retraining) -> None:
        self._models = models
        self._plan = plan
        self._version = models.route.champion

    def seen(self, connection: Connection, now: datetime, alerts: Sequence[Alert] = ()) -> Seen:
        """All that there is to be seen now."""
        length = timedelta(minutes=self._plan.window_minutes)
        judged = Span.last(length, now - timedelta(minutes=self._plan.feedback_minutes))
        span = Span.last(length, now)
        first = self._first(connection, length)
        made = self._made(connection, span)
        beside = first is not None and first.end <= span.start
        return Seen(
            labelled=self._labelled(connection),
            quality=judged.window(self._quality(connection, judged)),
            reference=self._reference(connection, first if first and first.end <= judged.start else None),
            drift=span.window(self._drift(connection, first, made)) if beside and first else None,
            latency=span.window(_latency(made)) if made else None,
            alerts=alerts,
            running=self._models.run is not None,
            frozen=self._models.frozen is not None,
        )

    def _first(self, connection: Connection, length: timedelta) -> Span | None:
        """The first whole span in which the champion served: what is usual for it."""
        since = self._models.champion_since
        served = select(func.min(Prediction.time)).where(*self._mine(), Prediction.time >= since)
        began = connection.scalar(served)
        if began is None:
            return None
        before = Span.last(length, began + length)
        return before if before.start >= began else Span(before.end, before.end + length)

    def _reference(self, connection: Connection, first: Span | None) -> float | None:
        """What the gate has found; of a version that never passed it, what its first span has."""
        for run in self._models.runs.values():
            if run.registered and run.evaluated and run.registered.model.version == self._version:
                return run.evaluated.metrics.get("score_candidate")
        return self._quality(connection, first).score if first else None

    def _mine(self) -> tuple[Any, ...]:
        return Prediction.task == self._models.task, Prediction.version == self._version, Prediction.role == "champion"

    def _quality(self, connection: Connection, span: Span) -> Quality:
        within = (*self._mine(), Prediction.time >= span.start, Prediction.time < span.end)
        predictions = connection.scalar(select(func.count()).where(*within)) or 0
        found = (
            select(Outcome.data, Prediction.time)
            .join(Prediction, Prediction.prediction_id == Outcome.prediction_id)
            .where(*within)
        )
        return quality([_judged(row.data, row.time) for row in connection.execute(found)], predictions)

    def _made(self, connection: Connection, span: Span) -> list[PredictionMade]:
        within = (*self._mine(), Prediction.time >= span.start, Prediction.time < span.end)
        found = connection.execute(select(Prediction.data).where(*within))
        return [PredictionMade.model_validate_json(json.dumps(row.data)) for row in found]

    def _drift(self, connection: Connection, first: Span | None, made: list[PredictionMade]) -> Sequence[Finding]:
        before = self._made(connection, first) if first else []
        return _DETECTOR.findings(_samples(before), _samples(made)) if len(made) >= FEWEST else []

    def _labelled(self, connection: Connection) -> int:
        """Events with a label or a reward since the last run began."""
        runs = list(self._models.runs.values())
        said = [Outcome.task == self._models.task]
        if runs:
            said.append(Outcome.time > runs[-1].time)
        # A score is of a label. A reward that nobody gave is none.
        given = or_(Outcome.score.is_not(None), Outcome.reward.is_not(None) & ~_defaulted())
        return connection.scalar(select(func.count()).where(*said, given)) or 0


def _defaulted() -> Any:
    return Outcome.data["reward_defaulted"].as_boolean()


def _judged(data: dict[str, Any], time: datetime) -> Judged:
    said = OutcomeRecorded.model_validate_json(json.dumps(data))
    score = said.reward if said.score is None else said.score
    return Judged(time, score, said.selection, said.selection_probability, said.accepted)


def _latency(made: Sequence[PredictionMade]) -> Latency:
    return Latency(float(np.percentile([one.timings_ms["total"] for one in made], 99)), len(made))


def _samples(made: Sequence[PredictionMade]) -> Samples:
    """What is looked at for drift: how sure the model is, and how long what it says is."""
    return {
        "confidence": np.array([one.confidence for one in made], np.float64),
        "output_length": np.array([len(canonical(one.output)) for one in made], np.float64),
    }

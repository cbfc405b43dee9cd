"""What the triggers look at, from the catalog and the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, or_, select

from app.catalog.models import Outcome, Prediction
from app.catalog.store import read_row
from app.eventlog.outcomes import canonical
from app.events import OutcomeRecorded, PredictionMade
from app.monitoring.drift import FEWEST, Finding, Samples, Scan
from app.monitoring.quality import Judged, Quality, quality
from app.registry.registry import Models
from app.retraining.plan import Retraining
from app.retraining.seen import Alert, Latency, Seen, Window

_DETECTOR = Scan()


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


@dataclass(frozen=True)
class Summary:
    """What the predictions of a span come to."""

    count: int
    """How many there were when this was made."""
    samples: Samples
    latency: Latency | None
    """None without any."""


Kept = dict[tuple[str, Span], Summary]
"""Summaries that were made already, by the version and the span."""


class Sight:
    """Looks at one task. Spans are asked for again and again: `kept` has what was found of them by earlier looks."""

    def __init__(self, models: Models, plan: Retraining, kept: Kept | None = None) -> None:
        self._models = models
        self._plan = plan
        self._version = models.route.champion
        self._kept = {} if kept is None else kept

    def seen(self, connection: Connection, now: datetime, alerts: Sequence[Alert] = ()) -> Seen:
        """All that there is to be seen now."""
        length = timedelta(minutes=self._plan.window_minutes)
        judged = Span.last(length, now - timedelta(minutes=self._plan.feedback_minutes))
        span = Span.last(length, now)
        first = self._first(connection, length)
        made = self._summary(connection, span)
        beside = first is not None and first.end <= span.start
        for old in self._kept.keys() - {(self._version, one) for one in (first, span)}:
            self._kept.pop(old, None)
        return Seen(
            labelled=self._labelled(connection),
            quality=judged.window(self._quality(connection, judged)),
            reference=self._reference(connection, first if first and first.end <= judged.start else None),
            drift=span.window(self._drift(connection, first, made)) if beside and first else None,
            latency=span.window(made.latency) if made.latency else None,
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

    def _within(self, span: Span) -> tuple[Any, ...]:
        return *self._mine(), Prediction.time >= span.start, Prediction.time < span.end

    def _count(self, connection: Connection, span: Span) -> int:
        return connection.scalar(select(func.count()).where(*self._within(span))) or 0

    def _quality(self, connection: Connection, span: Span) -> Quality:
        found = (
            select(Outcome.type, Outcome.data, Prediction.time)
            .join(Prediction, Prediction.prediction_id == Outcome.prediction_id)
            .where(*self._within(span))
        )
        judged = [_judged(read_row(row, OutcomeRecorded), row.time) for row in connection.execute(found)]
        return quality(judged, self._count(connection, span))

    def _summary(self, connection: Connection, span: Span) -> Summary:
        """Made again only where predictions have come meanwhile: a span may have hundreds of thousands."""
        kept = self._kept.get((self._version, span))
        if kept is not None and kept.count == self._count(connection, span):
            return kept
        found = connection.execute(select(Prediction.type, Prediction.data).where(*self._within(span)))
        made = [read_row(row, PredictionMade) for row in found]
        summary = Summary(len(made), _samples(made), _latency(made) if made else None)
        self._kept[self._version, span] = summary
        return summary

    def _drift(self, connection: Connection, first: Span, made: Summary) -> Sequence[Finding]:
        if made.count < FEWEST:
            return []
        return _DETECTOR.findings(self._summary(connection, first).samples, made.samples)

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


def _judged(said: OutcomeRecorded, time: datetime) -> Judged:
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

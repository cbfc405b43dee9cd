"""What the triggers look at, from the catalog and the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, or_, select

from app.catalog.catalog import read_row
from app.catalog.orm import Outcome, Prediction
from app.events.types import OutcomeRecorded, PredictionMade
from app.monitoring.drift import Finding, Samples
from app.monitoring.quality import Judged, Quality, quality
from app.registry.registry import Models
from app.retraining.triggers import drift_window
from app.retraining.triggers.observation import Alert, Latency, Seen, Span, Window
from app.settings.retraining import Retraining
from models.base import Task

Judgements = Sequence[tuple[OutcomeRecorded, datetime]]
"""What is known of predictions, and when each was made."""


@dataclass(frozen=True)
class Summary:
    """What the predictions of a span come to."""

    count: int
    """How many there were when this was made."""
    latency: Latency | None
    """None without any."""


@dataclass(frozen=True)
class Newest:
    """What the newest predictions of a span are like."""

    count: int
    """How many the span had when this was made."""
    samples: Samples


Kept = dict[tuple[str, Span, type[Any]], Any]
"""Summaries and samples that were made already, by the version, the span and what they are."""


class Sight:
    """Looks at one task. Spans are asked for again and again: `kept` has what was found of them by earlier looks."""

    def __init__(self, task: Task, models: Models, plan: Retraining, kept: Kept | None = None) -> None:
        self._task = task
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
        running = Span(span.end, span.end + length)
        made = self._summary(connection, span)
        known = self._known(connection, judged)
        for old in list(self._kept):
            if old[:2] not in {(self._version, one) for one in (first, span, running)}:
                del self._kept[old]
        return Seen(
            labelled=self._labelled(connection),
            quality=judged.window(self._quality(connection, judged, known)),
            reference=self._reference(connection, first if first and first.end <= judged.start else None),
            drift=self._drift(connection, first, (span, running), known, now),
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
        return self._quality(connection, first, self._known(connection, first)).score if first else None

    def _mine(self) -> tuple[Any, ...]:
        return Prediction.task == self._models.task, Prediction.version == self._version, Prediction.role == "champion"

    def _within(self, span: Span) -> tuple[Any, ...]:
        return *self._mine(), Prediction.time >= span.start, Prediction.time < span.end

    def _count(self, connection: Connection, span: Span) -> int:
        return connection.scalar(select(func.count()).where(*self._within(span))) or 0

    def _known(self, connection: Connection, span: Span) -> Judgements:
        found = (
            select(Outcome.type, Outcome.data, Prediction.time)
            .join(Prediction, Prediction.prediction_id == Outcome.prediction_id)
            .where(*self._within(span))
            .order_by(Prediction.time)
        )
        return [(read_row(row, OutcomeRecorded), row.time) for row in connection.execute(found)]

    def _quality(self, connection: Connection, span: Span, known: Judgements) -> Quality:
        return quality([_judged(*one) for one in known], self._count(connection, span))

    def _summary(self, connection: Connection, span: Span) -> Summary:
        """Made again only where predictions have come meanwhile: a span may have hundreds of thousands."""
        kept: Summary | None = self._kept.get((self._version, span, Summary))
        if kept is not None and kept.count == self._count(connection, span):
            return kept
        found = connection.execute(select(Prediction.type, Prediction.data).where(*self._within(span)))
        made = [read_row(row, PredictionMade) for row in found]
        summary = Summary(len(made), _latency(made) if made else None)
        self._kept[self._version, span, Summary] = summary
        return summary

    def _newest(self, connection: Connection, span: Span) -> Samples:
        """Read again only where enough predictions have come meanwhile."""
        kept: Newest | None = self._kept.get((self._version, span, Newest))
        count = self._count(connection, span)
        if kept is None or drift_window.stale(kept.count, count):
            kept = Newest(count, drift_window.of_predictions(connection, self._task, self._within(span)))
            self._kept[self._version, span, Newest] = kept
        return kept.samples

    def _drift(
        self, connection: Connection, first: Span | None, spans: tuple[Span, Span], known: Judgements, now: datetime
    ) -> Window[Sequence[Finding]] | None:
        """Of the span that isn't over yet, if that has drifted already; else of the last whole one.

        Against the reference that the card has; of a version without, against its first whole span.
        """
        last, running = spans
        usual = drift_window.of_card(self._models.version(self._version).card)
        if usual is None:
            if first is None or first.end > last.start:
                return None
            labels = drift_window.of_labels(self._task, [one for one, _ in self._known(connection, first)])
            usual = {**self._newest(connection, first), **labels}
        labels = drift_window.of_labels(self._task, [one for one, _ in known])
        found = drift_window.findings(usual, {**self._newest(connection, running), **labels})
        if any(one.drifted for one in found):
            return Window(running.start, now, found)
        return last.window(drift_window.findings(usual, {**self._newest(connection, last), **labels}))

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

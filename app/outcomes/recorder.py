"""What the outcomes agent does with a batch: what was said of predictions in, their outcomes out.

1. project the batch into the catalog
2. take the time, and only then read all that is known of each prediction in the batch
3. judge, and publish what differs from what was last published of the prediction

The catalog has all that was said before the events of the batch, whoever handled it: so no state of this process
matters to what comes out. And of two outcomes of one prediction, made by two workers while its partition moves from
one to the other, the later by `ce_time` knows all that the earlier does.
"""

import asyncio
from collections.abc import Callable, Collection, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app.events.cloudevents import Incoming, Record, header
from app.events.ids import task_of
from app.monitoring import metrics
from app.outcomes.label_aggregation import judge, outcome_id, record_of
from app.outcomes.prediction_history import Joined
from app.outcomes.repartition import OUTCOMES, original, reminder
from app.settings import Settings, TaskSettings
from app.streams.delivery import Answer
from models.base import Rejected, Task

STAGE = OUTCOMES
MOST_REMINDERS = 5_000
"""Reminders in one round, of one task: it goes on with the next."""

Clock = Callable[[], datetime]


class Known(Protocol):
    """What the recorder needs of the catalog. Each raises `Unavailable` while the database is away."""

    def project(self, records: Sequence[Incoming]) -> None:
        """Keep what the records say, however often and in whatever order they come."""

    def joined(self, prediction_ids: Collection[str]) -> dict[str, Joined]:
        """All that is known of these predictions."""

    def due(self, task: str, before: datetime, limit: int) -> list[str]:
        """Predictions served before then that have no reward."""


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class OutcomesHandler:
    """Handles the joins of one task. `last` has the id of each prediction's last outcome: a cache that may be lost."""

    def __init__(
        self, task: Task, rules: TaskSettings, known: Known, last: MutableMapping[bytes, bytes], clock: Clock = now
    ) -> None:
        self._task = task
        self._rules = rules
        self._known = known
        self._last = last
        self._clock = clock

    async def __call__(self, batch: Sequence[Incoming]) -> Sequence[Answer]:
        """The outcome of each prediction that the batch is about, as the answer to the last event of it."""
        answers: list[Answer] = [()] * len(batch)
        events: list[Incoming] = []
        places: dict[str, int] = {}
        for index, incoming in enumerate(batch):
            try:
                prediction, event = self._read(incoming)
            except Rejected as error:
                answers[index] = error
                continue
            places[prediction] = index
            events += [event] if event else []
        as_of, joined = await asyncio.to_thread(self._join, events, list(places))
        for prediction, index in places.items():
            outcome = judge(self._task, self._rules, joined[prediction], as_of) if prediction in joined else None
            key = prediction.encode()
            if outcome is not None and outcome_id(outcome).encode() != self._last.get(key):
                answers[index] = [record_of(outcome, as_of)]
                self._count(joined[prediction])
        return answers

    def _count(self, known: Joined) -> None:
        """How long after its prediction the last feedback came that the outcome knows of."""
        if known.served is not None and known.said:
            delay = max(one.logged for one in known.said) - known.served.logged
            metrics.FEEDBACK_DELAY.labels(self._task.name).observe(max(0.0, delay.total_seconds()))

    def delivered(self, batch: Sequence[Incoming], answers: Sequence[Answer]) -> None:
        """Remember the outcomes that are in the log: only now may they be left out the next time."""
        for incoming, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Sequence) and answer and incoming.key is not None:
                self._last[incoming.key] = (header(answer[0].headers, "ce_id") or "").encode()

    def _join(self, events: Sequence[Incoming], predictions: Sequence[str]) -> tuple[datetime, dict[str, Joined]]:
        if events:
            self._known.project(events)
        as_of = self._clock()
        return as_of, self._known.joined(predictions) if predictions else {}

    def _read(self, incoming: Incoming) -> tuple[str, Incoming | None]:
        try:
            prediction = (incoming.key or b"").decode()
            task = task_of(prediction)
        except ValueError as error:
            raise Rejected("bad_join", f"the key is no prediction id: {error}") from error
        if task != self._task.name:
            raise Rejected("bad_join", f"a prediction of {task!r} is on {incoming.origin.topic}")
        return prediction, original(incoming)


class Reminders:
    """Finds predictions whose reward's window has ended without one."""

    def __init__(self, settings: Settings, known: Known, clock: Clock = now) -> None:
        self._windows = {
            task: timedelta(seconds=window)
            for task in settings.tasks
            if (window := settings.of_task(task).reward_window_seconds) is not None
        }
        self._known = known
        self._clock = clock

    @property
    def tasks(self) -> Collection[str]:
        """The tasks with a window."""
        return self._windows.keys()

    def due(self, task: str) -> list[Record]:
        """A reminder of each; it is repeated until the outcome is in the catalog. Raises `Unavailable`."""
        before = self._clock() - self._windows[task]
        return [reminder(task, prediction) for prediction in self._known.due(task, before, MOST_REMINDERS)]

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

from app.events.cloudevents import ConsumedRecord, Record, header_text
from app.events.ids import task_of
from app.monitoring import metrics
from app.outcomes.label_aggregation import build_outcome, build_outcome_record, outcome_id
from app.outcomes.prediction_history import PredictionHistory
from app.outcomes.repartition import OUTCOMES_STAGE, build_reward_timeout, restore_original
from app.settings import Settings, TaskSettings
from app.streams.delivery import HandlerResult
from models.base import Rejected, Task

STAGE = OUTCOMES_STAGE
MAX_TIMEOUTS = 5_000
"""Reminders in one round, of one task: it goes on with the next."""

Clock = Callable[[], datetime]


class PredictionStore(Protocol):
    """What the recorder needs of the catalog. Each raises `Unavailable` while the database is away."""

    def project(self, records: Sequence[ConsumedRecord]) -> None:
        """Keep what the records say, however often and in whatever order they come."""

    def prediction_histories(self, prediction_ids: Collection[str]) -> dict[str, PredictionHistory]:
        """All that is known of these predictions."""

    def awaiting_reward(self, task: str, before: datetime, limit: int) -> list[str]:
        """Predictions served before then that have no reward."""


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class OutcomeRecorder:
    """Handles the joins of one task. `last` has the id of each prediction's last outcome: a cache that may be lost."""

    def __init__(
        self,
        task: Task,
        task_settings: TaskSettings,
        store: PredictionStore,
        last: MutableMapping[bytes, bytes],
        clock: Clock = utc_now,
    ) -> None:
        self._task = task
        self._task_settings = task_settings
        self._store = store
        self._last = last
        self._clock = clock

    async def __call__(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """The outcome of each prediction that the batch is about, as the answer to the last event of it."""
        answers: list[HandlerResult] = [()] * len(batch)
        events: list[ConsumedRecord] = []
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
            outcome = (
                build_outcome(self._task, self._task_settings, joined[prediction], as_of)
                if prediction in joined
                else None
            )
            key = prediction.encode()
            if outcome is not None and outcome_id(outcome).encode() != self._last.get(key):
                answers[index] = [build_outcome_record(outcome, as_of)]
                self._observe_delay(joined[prediction])
        return answers

    def _observe_delay(self, history: PredictionHistory) -> None:
        """How long after its prediction the last feedback came that the outcome knows of."""
        if history.served is not None and history.feedback:
            delay = max(one.logged for one in history.feedback) - history.served.logged
            metrics.FEEDBACK_DELAY.labels(self._task.name).observe(max(0.0, delay.total_seconds()))

    def on_delivered(self, batch: Sequence[ConsumedRecord], answers: Sequence[HandlerResult]) -> None:
        """Remember the outcomes that are in the log: only now may they be left out the next time."""
        for incoming, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Sequence) and answer and incoming.key is not None:
                self._last[incoming.key] = (header_text(answer[0].headers, "ce_id") or "").encode()

    def _join(
        self, events: Sequence[ConsumedRecord], predictions: Sequence[str]
    ) -> tuple[datetime, dict[str, PredictionHistory]]:
        if events:
            self._store.project(events)
        as_of = self._clock()
        return as_of, self._store.prediction_histories(predictions) if predictions else {}

    def _read(self, incoming: ConsumedRecord) -> tuple[str, ConsumedRecord | None]:
        try:
            prediction = (incoming.key or b"").decode()
            task = task_of(prediction)
        except ValueError as error:
            raise Rejected("bad_join", f"the key is no prediction id: {error}") from error
        if task != self._task.name:
            raise Rejected("bad_join", f"a prediction of {task!r} is on {incoming.origin.topic}")
        return prediction, restore_original(incoming)


class RewardTimeouts:
    """Finds predictions whose reward's window has ended without one."""

    def __init__(self, settings: Settings, store: PredictionStore, clock: Clock = utc_now) -> None:
        self._windows = {
            task: timedelta(seconds=window)
            for task in settings.tasks
            if (window := settings.for_task(task).reward_window_seconds) is not None
        }
        self._store = store
        self._clock = clock

    @property
    def tasks(self) -> Collection[str]:
        """The tasks with a window."""
        return self._windows.keys()

    def due(self, task: str) -> list[Record]:
        """A reminder of each; it is repeated until the outcome is in the catalog. Raises `Unavailable`."""
        before = self._clock() - self._windows[task]
        return [
            build_reward_timeout(task, prediction)
            for prediction in self._store.awaiting_reward(task, before, MAX_TIMEOUTS)
        ]

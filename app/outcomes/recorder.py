"""The recorder: joins predictions with feedback, and publishes outcomes.

1. project the batch into the catalog
2. take the time, and only then read the history of each prediction in the batch
3. aggregate the feedback, and publish outcomes that differ from the last published ones

The catalog contains all events before the batch, whichever process handled them: the outcome does not depend on this
process's state. If two workers publish outcomes of one prediction while its partition is reassigned, the later one by
`ce_time` includes everything that the earlier one does.
"""

import asyncio
from collections.abc import Callable, Collection, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app.events.cloudevents import ConsumedRecord, Record, header_text
from app.events.ids import task_of
from app.monitoring import metrics
from app.outcomes.label_aggregation import build_outcome, build_outcome_record, draw_selection, outcome_id
from app.outcomes.prediction_history import PredictionHistory
from app.outcomes.repartition import OUTCOMES_STAGE, build_reward_timeout, restore_original
from app.settings import Settings, TaskSettings
from app.streams.delivery import HandlerResult
from models.base import Rejected, Task

STAGE = OUTCOMES_STAGE
MAX_TIMEOUTS = 5_000
"""Reward timeouts of a task in one round; the next round continues."""

Clock = Callable[[], datetime]


class PredictionStore(Protocol):
    """The recorder's view of the catalog. Each method raises `Unavailable` if the database is unreachable."""

    def project(self, records: Sequence[ConsumedRecord]) -> None:
        """Store the rows of the records; order and repetition make no difference."""

    def with_feedback(self, prediction_ids: Collection[str]) -> set[str]:
        """Return those of the predictions that have feedback, or retractions of it."""

    def prediction_histories(self, prediction_ids: Collection[str]) -> dict[str, PredictionHistory]:
        """Return the history of each prediction."""

    def awaiting_reward(self, task: str, before: datetime, limit: int) -> list[str]:
        """Return predictions served before that time that have no reward."""


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


class OutcomeRecorder:
    """Handler of the joins of one task. `last` caches the id of each prediction's last outcome, and may be lost."""

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
        if task_settings.correction_memory is not None:
            metrics.init_memory(task.name)

    async def __call__(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Return the outcome of each prediction in the batch, as the answer to the prediction's last event."""
        answers: list[HandlerResult] = [()] * len(batch)
        events: list[ConsumedRecord] = []
        last_index: dict[str, int] = {}
        for index, record in enumerate(batch):
            try:
                prediction, event = self._read(record)
            except Rejected as error:
                answers[index] = error
                continue
            last_index[prediction] = index
            events += [event] if event else []
        as_of, histories = await asyncio.to_thread(self._join, events, list(last_index))
        for prediction, index in last_index.items():
            outcome = (
                build_outcome(self._task, self._task_settings, histories[prediction], as_of)
                if prediction in histories
                else None
            )
            key = prediction.encode()
            if outcome is not None and outcome_id(outcome).encode() != self._last.get(key):
                answers[index] = [build_outcome_record(outcome, as_of)]
                self._observe_delay(histories[prediction])
                if outcome.memory is not None and outcome.memory.right is not None:
                    metrics.count_remembered(self._task.name, outcome.memory.right)
        return answers

    def _observe_delay(self, history: PredictionHistory) -> None:
        """Record the delay between the prediction and its last feedback."""
        if history.served is not None and history.feedback:
            delay = max(event.logged for event in history.feedback) - history.served.logged
            metrics.FEEDBACK_DELAY.labels(self._task.name).observe(max(0.0, delay.total_seconds()))

    def on_delivered(self, batch: Sequence[ConsumedRecord], answers: Sequence[HandlerResult]) -> None:
        """Cache the outcomes that are in the log: only now may they be skipped the next time."""
        for record, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Sequence) and answer and record.key is not None:
                self._last[record.key] = (header_text(answer[0].headers, "ce_id") or "").encode()

    def _join(
        self, events: Sequence[ConsumedRecord], predictions: Sequence[str]
    ) -> tuple[datetime, dict[str, PredictionHistory]]:
        if events:
            self._store.project(events)
        as_of = self._clock()
        if self._task_settings.reward_window_seconds is None:
            # Most predictions have neither feedback nor a place in the audit, and so no outcome.
            with_feedback = self._store.with_feedback(predictions)
            predictions = [
                prediction
                for prediction in predictions
                if prediction in with_feedback or draw_selection(self._task_settings, prediction)[0] == "audit"
            ]
        return as_of, self._store.prediction_histories(predictions) if predictions else {}

    def _read(self, record: ConsumedRecord) -> tuple[str, ConsumedRecord | None]:
        try:
            prediction = (record.key or b"").decode()
            task = task_of(prediction)
        except ValueError as error:
            raise Rejected("bad_join", f"the key is not a prediction id: {error}") from error
        if task != self._task.name:
            raise Rejected("bad_join", f"a prediction of {task!r} is on {record.origin.topic}")
        return prediction, restore_original(record)


class RewardTimeouts:
    """Finds predictions whose reward window has ended without a reward."""

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
        """Return the tasks with a reward window."""
        return self._windows.keys()

    def due(self, task: str) -> list[Record]:
        """Return a timeout record for each, repeatedly until the outcome is in the catalog. Raises `Unavailable`."""
        before = self._clock() - self._windows[task]
        return [
            build_reward_timeout(task, prediction)
            for prediction in self._store.awaiting_reward(task, before, MAX_TIMEOUTS)
        ]

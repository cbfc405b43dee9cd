"""The start of runs by triggers, alerts and people, and their cancellation."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from app.catalog.catalog import Catalog
from app.errors import SetupError
from app.events import topics
from app.events.lifecycle import RetrainingEnded, RetrainingTriggered
from app.kafka.lag import RECORDER_GROUP
from app.kafka.resilient_producer import ResilientProducer
from app.monitoring.progress import ProgressMonitor
from app.registry.changes import RegistryWriter
from app.registry.registry import TaskModels
from app.retraining.triggers import evaluate
from app.retraining.triggers.catalog_observer import Observer, newest_prediction_time
from app.retraining.triggers.conditions import TriggerExplanation
from app.retraining.triggers.expected_quality import ExpectedQualityEstimator
from app.retraining.triggers.incidents import detect_incidents
from app.retraining.triggers.observation import Alert, Observation, TaskTriggerState, WindowCache, restore_state
from app.settings import Settings
from app.settings.retraining import RetrainingSettings
from models.base import Task


class TriggerService:
    """Starts and cancels runs. The state of the triggers is in memory, and is restored from the log."""

    def __init__(
        self, settings: Settings, catalog: Catalog, publisher: ResilientProducer, progress: ProgressMonitor
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._publisher = publisher
        self._progress = progress
        self._states: dict[str, TaskTriggerState] = {}
        self._caches = defaultdict[str, WindowCache](dict)
        self._estimators = defaultdict[str, ExpectedQualityEstimator](ExpectedQualityEstimator)
        self.observations: dict[str, tuple[str, Observation]] = {}
        """The last observation of each task, with its champion."""

    async def evaluate(self, task: Task, models: TaskModels, alerts: Sequence[Alert] = ()) -> str | None:
        """Publish new incidents, and start a run if a trigger fires; return its id.

        No trigger fires while a run is active. Raises transient errors and `SetupError`.
        """
        if not models.versions:  # there is nothing to observe, or to start from
            return None
        now = datetime.now(UTC)
        seen = await self._observe(task, models, alerts, now)
        before, plan = self._trigger_state(models), self._retraining_settings(task.name).triggers
        state, firings = evaluate.evaluate(before, seen, now, plan)
        champion = models.version(models.route.champion).ref
        for incident in detect_incidents(champion, before, state, seen, plan):
            await self._publisher.publish(incident.record)
        self._states[task.name] = state
        if task.trainer is None:  # the task can't be trained
            return None
        for firing in firings:
            return await self.start_run(task, firing.trigger, firing.evidence)
        return None

    async def start_run(self, task: Task, name: str, evidence: dict[str, Any]) -> str:
        """Start a run; return its id. Raises `SetupError` if one is active or the task is frozen; transient errors."""
        run_id = str(uuid.uuid4())

        def decide(models: TaskModels) -> RetrainingTriggered:
            if models.active_run is not None:
                raise SetupError(
                    f"Run {models.active_run.id} of {task.name} is under way.", "Wait for its end, or cancel it."
                )
            if models.frozen is not None:
                raise SetupError(
                    f"{task.name} is frozen: {models.frozen.reason}", "Unfreeze it: `hindsight models unfreeze`."
                )
            return RetrainingTriggered.model_validate(
                {
                    "task": task.name,
                    "run_id": run_id,
                    "trigger": name,
                    "evidence": evidence,
                    "champion": models.route.champion,
                    "candidates": self._retraining_settings(task.name).candidates,
                }
            )

        await RegistryWriter(self._settings, task, self._publisher.publish).commit(decide)
        return run_id

    async def cancel_run(self, task: Task, actor: str) -> str:
        """Cancel the task's run and return its id. Raises `SetupError` if there is none, transient errors."""
        ended: list[str] = []

        def decide(models: TaskModels) -> RetrainingEnded:
            if models.active_run is None:
                raise SetupError(f"No run of {task.name} is under way.", "There is nothing to cancel.")
            ended.append(models.active_run.id)
            return RetrainingEnded(
                task=task.name, run_id=models.active_run.id, outcome="cancelled", reason=f"by {actor}"
            )

        await RegistryWriter(self._settings, task, self._publisher.publish).commit(decide)
        return ended[-1]

    async def explain(self, task: Task, models: TaskModels) -> Sequence[TriggerExplanation]:
        """Return each trigger's condition, and why it does not fire. Raises `Unavailable`, `SetupError`."""
        now = datetime.now(UTC)
        seen = await self._observe(task, models, (), now)
        return evaluate.explain(self._trigger_state(models), seen, now, self._retraining_settings(models.task).triggers)

    async def _observe(self, task: Task, models: TaskModels, alerts: Sequence[Alert], now: datetime) -> Observation:
        plan = self._retraining_settings(models.task)
        observer, estimator = Observer(task, models, plan, self._caches[models.task]), self._estimators[models.task]

        def observe(connection: Connection) -> Observation:
            end = now if self._is_recorded(task.name) else min(now, newest_prediction_time(connection, models) or now)
            expected = estimator.estimate(connection, models, plan, end)
            return replace(observer.observe(connection, end, alerts), expected=expected)

        seen = await asyncio.to_thread(self._catalog.query, observe)
        self.observations[models.task] = models.route.champion, seen
        return seen

    def _is_recorded(self, task: str) -> bool:
        """Return whether the catalog has all of the task's predictions and feedback, except for the last seconds."""
        topic_names = topics.predictions(task), topics.feedback(task), topics.joins(task)
        progress = [self._progress.group_progress.get((RECORDER_GROUP, topic)) for topic in topic_names]
        return all(group is not None and not group.position.waiting for group in progress)

    def _trigger_state(self, models: TaskModels) -> TaskTriggerState:
        """Return the state of the triggers, restored from the log if it is unknown here or a run was started."""
        runs = list(models.runs.values())
        known = self._states.get(models.task)
        if known is None or (runs and known.last_triggered != runs[-1].time.timestamp()):
            restored = restore_state((run.time, run.triggered) for run in runs)
            known = restored if known is None else restored.merge_reported(known)
        return known

    def _retraining_settings(self, task: str) -> RetrainingSettings:
        return self._settings.for_task(task).retraining

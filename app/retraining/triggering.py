"""What begins a run, and what ends it by hand: triggers over the catalog, people, alerts."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from app.api.publisher import Publisher
from app.catalog.store import Catalog
from app.embedded.errors import SetupError
from app.events import RetrainingEnded, RetrainingTriggered
from app.registry.changes import Changes
from app.registry.registry import Models
from app.retraining import triggers
from app.retraining.conditions import Explained
from app.retraining.expecting import Expecting
from app.retraining.onsets import onsets
from app.retraining.plan import Retraining
from app.retraining.seeing import Kept, Sight
from app.retraining.seen import Alert, Seen, State, restored
from app.settings import Settings
from models.base import Task


class Triggering:
    """Begins runs. What the triggers remember is in memory, and is made again from the log."""

    def __init__(self, settings: Settings, catalog: Catalog, publisher: Publisher) -> None:
        self._settings = settings
        self._catalog = catalog
        self._publisher = publisher
        self._states: dict[str, State] = {}
        self._kept = defaultdict[str, Kept](dict)
        self._expecting = defaultdict[str, Expecting](Expecting)
        self.seen: dict[str, tuple[str, Seen]] = {}
        """What was last seen of each task, and of which champion."""

    async def look(self, task: Task, models: Models, alerts: Sequence[Alert] = ()) -> str | None:
        """Say what is newly bad, and begin a run if a trigger fires by the task's settings; its id.

        While a run is under way none fires. Raises what passes, and `SetupError`.
        """
        if not models.versions:  # there is nothing to look at, or to start from
            return None
        seen, now = await self._seen(task, models, alerts), datetime.now(UTC)
        before, plan = self._state(models), self._plan(task.name).triggers
        state, firings = triggers.evaluate(before, seen, now, plan)
        champion = models.version(models.route.champion).ref
        for onset in onsets(champion, before, state, seen, plan):
            await self._publisher.publish(onset.record)
        self._states[task.name] = state
        if task.trainer is None:  # there is no way to train
            return None
        for firing in firings:
            return await self.begin(task, firing.trigger, firing.evidence)
        return None

    async def begin(self, task: Task, name: str, evidence: dict[str, Any]) -> str:
        """Begin a run; its id. Raises `SetupError` where one is under way or the task is frozen, and what passes."""
        run_id = str(uuid.uuid4())

        def decide(models: Models) -> RetrainingTriggered:
            if models.run is not None:
                raise SetupError(f"Run {models.run.id} of {task.name} is under way.", "Wait for its end, or cancel it.")
            if models.frozen is not None:
                raise SetupError(f"{task.name} is frozen: {models.frozen.reason}", "`hindsight models unfreeze` it.")
            return RetrainingTriggered.model_validate(
                {
                    "task": task.name,
                    "run_id": run_id,
                    "trigger": name,
                    "evidence": evidence,
                    "champion": models.route.champion,
                }
            )

        await Changes(self._settings, task, self._publisher.publish).make(decide)
        return run_id

    async def cancel(self, task: Task, actor: str) -> str:
        """End the task's run; its id. Raises `SetupError` where there is none, and what passes."""
        ended: list[str] = []

        def decide(models: Models) -> RetrainingEnded:
            if models.run is None:
                raise SetupError(f"No run of {task.name} is under way.", "There is nothing to cancel.")
            ended.append(models.run.id)
            return RetrainingEnded(task=task.name, run_id=models.run.id, outcome="cancelled", reason=f"by {actor}")

        await Changes(self._settings, task, self._publisher.publish).make(decide)
        return ended[-1]

    async def explain(self, task: Task, models: Models) -> Sequence[Explained]:
        """Each trigger: what it sees now, and why it doesn't fire. Raises `Unavailable`, `SetupError`."""
        seen = await self._seen(task, models, ())
        return triggers.explain(self._state(models), seen, datetime.now(UTC), self._plan(models.task).triggers)

    async def _seen(self, task: Task, models: Models, alerts: Sequence[Alert]) -> Seen:
        plan, now = self._plan(models.task), datetime.now(UTC)
        sight, expecting = Sight(task, models, plan, self._kept[models.task]), self._expecting[models.task]

        def ask(connection: Connection) -> Seen:
            expected = expecting.look(connection, models, plan, now)
            return replace(sight.seen(connection, now, alerts), expected=expected)

        seen = await asyncio.to_thread(self._catalog.ask, ask)
        self.seen[models.task] = models.route.champion, seen
        return seen

    def _state(self, models: Models) -> State:
        """What the triggers remember; made again from the log where this process doesn't, or a run was begun."""
        runs = list(models.runs.values())
        known = self._states.get(models.task)
        if known is None or (runs and known.began != runs[-1].time.timestamp()):
            again = restored((run.time, run.triggered) for run in runs)
            known = again if known is None else again.knowing(known)
        return known

    def _plan(self, task: str) -> Retraining:
        return self._settings.of_task(task).retraining

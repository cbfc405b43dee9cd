"""Changes of the registry: events on `lifecycle`, based on the state in the log and in force once read back from it."""

import time
import uuid
from collections.abc import Awaitable, Callable

from app.errors import SetupError
from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import Record, format_rfc3339
from app.events.lifecycle import TaskFrozen
from app.events.model_events import RouteAction, RouteChanged
from app.registry import routes
from app.registry.registry import ModelVersion, TaskModels
from app.registry.routes import Route
from app.registry.subscription import read_registry
from app.settings import Settings
from app.settings.namespace import qualify
from models.base import Task

SOURCE = qualify("hindsight/registry")
_ATTEMPTS = 5

PublishRecord = Callable[[Record], Awaitable[object]]
"""Publishes a record, and returns once the broker has confirmed it."""
Decide = Callable[[TaskModels], EventData | None]
"""Returns the event to publish for the current state, or None if none is needed. Raises `SetupError`."""


class Conflict(SetupError):
    """Repeated concurrent changes of the same task by others."""


class RegistryWriter:
    """Changes the models of one task, on behalf of a retraining run if one is given."""

    def __init__(self, settings: Settings, task: Task, publish: PublishRecord, run_id: str | None = None) -> None:
        self._settings = settings
        self._task = task
        self._publish = publish
        self._run_id = run_id

    async def commit(self, decide: Decide) -> TaskModels:
        """Publish a decision and return the models once it is in force.

        If another change comes first, decide again on the new state. Raises what `decide` and `publish` raise, and
        KafkaError.
        """
        for _ in range(_ATTEMPTS):
            models = (await read_registry(self._settings, [self._task])).tasks[self._task.name]
            data = decide(models)
            if data is None:
                return models
            event_id = str(uuid.uuid4())
            now = format_rfc3339(time.time() * 1000)
            await self._publish(
                data.to_record(topics.LIFECYCLE, self._task.name.encode(), id=event_id, source=SOURCE, time=now)
            )
            registry = await read_registry(self._settings, [self._task])
            if event_id in registry.accepted_ids:
                return registry.tasks[self._task.name]
        raise Conflict(f"Others change {self._task.name} at the same time.", "Check its route, and try again.")

    async def promote(self, version: str, reason: str, actor: str) -> TaskModels:
        """Make a version the champion."""
        return await self._write_route("promote", lambda models: routes.promote(models.route, version), reason, actor)

    async def canary(self, version: str, share: float, reason: str, actor: str) -> TaskModels:
        """Let a version answer a share of the requests."""

        def changed(models: TaskModels) -> Route:
            return routes.set_canary(models.route, version, share)

        return await self._write_route("canary", changed, reason, actor)

    async def shadow(self, version: str, reason: str, actor: str) -> TaskModels:
        """Let a version predict without answering."""
        return await self._write_route("shadow", lambda models: routes.add_shadow(models.route, version), reason, actor)

    async def roll_back(self, version: str | None, reason: str, actor: str) -> TaskModels:
        """Take a version's role away; None is the canary's if there is one, else the champion's."""

        def changed(models: TaskModels) -> Route:
            return routes.roll_back(models.route, version, models.previous_champion)

        return await self._write_route("rollback", changed, reason, actor)

    async def change_route(
        self, action: RouteAction, version: str, share: float, reason: str, actor: str
    ) -> TaskModels:
        """Make the change of this name; `share` is a canary's."""
        match action:
            case "promote":
                return await self.promote(version, reason, actor)
            case "canary":
                return await self.canary(version, share, reason, actor)
            case "shadow":
                return await self.shadow(version, reason, actor)
            case "rollback":
                return await self.roll_back(version, reason, actor)

    async def freeze(self, frozen: bool, reason: str, actor: str) -> TaskModels:
        """Pause retraining and promotion of the task, or resume them."""

        def decide(models: TaskModels) -> TaskFrozen | None:
            if (models.frozen is not None) == frozen:
                return None
            return TaskFrozen(task=models.task, frozen=frozen, reason=reason, actor=actor)

        return await self.commit(decide)

    async def _write_route(
        self, action: RouteAction, changed: Callable[[TaskModels], Route], reason: str, actor: str
    ) -> TaskModels:
        def decide(models: TaskModels) -> RouteChanged:
            before, after = models.route, changed(models)
            for version in set(after.versions) - set(before.versions):
                self._check_preprocessing(models.version(version))
            return RouteChanged(
                task=models.task,
                action=action,
                follows=models.last_change_id,
                champion=after.champion,
                replaced=before.champion if before.champion != after.champion else None,
                canary=after.canary,
                canary_share=after.canary_share,
                shadows=after.shadows,
                reason=reason,
                actor=actor,
                run_id=self._run_id,
            )

        return await self.commit(decide)

    def _check_preprocessing(self, version: ModelVersion) -> None:
        if not version.reads_features_of(self._task):
            raise SetupError(
                f"{version.task} {version.number} takes features of preprocessing {version.preprocess_version}; "
                f"{self._task.preprocess_version} is in use.",
                "Train a version on current features.",
            )

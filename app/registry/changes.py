"""Changing the registry: an event on `lifecycle`, decided upon what the log says, in force once the log says so too."""

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
from models.base import Task

SOURCE = "hindsight/registry"
_ATTEMPTS = 5

PublishRecord = Callable[[Record], Awaitable[object]]
"""Publishes a record, and returns once the broker has confirmed it."""
Decide = Callable[[TaskModels], EventData | None]
"""What to say, given how things are; None where nothing needs to be said. Raises `SetupError`."""


class Conflict(SetupError):
    """Others changed the same thing at the same time, again and again."""


class RegistryWriter:
    """Changes one task's models; for a retraining run, if it says so."""

    def __init__(self, settings: Settings, task: Task, publish: PublishRecord, run_id: str | None = None) -> None:
        self._settings = settings
        self._task = task
        self._publish = publish
        self._run_id = run_id

    async def commit(self, decide: Decide) -> TaskModels:
        """The models once the decision is in force. Raises what `decide` and `publish` raise, and KafkaError.

        Who was overtaken by another change decides anew, upon that one.
        """
        for _ in range(_ATTEMPTS):
            models = (await read_registry(self._settings, [self._task])).tasks[self._task.name]
            said = decide(models)
            if said is None:
                return models
            event_id = str(uuid.uuid4())
            now = format_rfc3339(time.time() * 1000)
            await self._publish(
                said.to_record(topics.LIFECYCLE, self._task.name.encode(), id=event_id, source=SOURCE, time=now)
            )
            registry = await read_registry(self._settings, [self._task])
            if event_id in registry.accepted_ids:
                return registry.tasks[self._task.name]
        raise Conflict(f"Others change {self._task.name} at the same time.", "Look at its route, and try again.")

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
        """The change of this name; `share` is a canary's."""
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
        """Pause retraining and promotion of the task, or let them go on."""

        def decide(models: TaskModels) -> TaskFrozen | None:
            if (models.frozen is not None) == frozen:
                return None
            return TaskFrozen(task=models.task, frozen=frozen, reason=reason, actor=actor)

        return await self.commit(decide)

    async def _write_route(
        self, action: RouteAction, changed: Callable[[TaskModels], Route], reason: str, actor: str
    ) -> TaskModels:
        def decide(models: TaskModels) -> RouteChanged:
            now, then = models.route, changed(models)
            for version in set(then.versions) - set(now.versions):
                self._check_preprocessing(models.version(version))
            return RouteChanged(
                task=models.task,
                action=action,
                follows=models.last_change_id,
                champion=then.champion,
                replaced=now.champion if now.champion != then.champion else None,
                canary=then.canary,
                canary_share=then.canary_share,
                shadows=then.shadows,
                reason=reason,
                actor=actor,
                run_id=self._run_id,
            )

        return await self.commit(decide)

    def _check_preprocessing(self, version: ModelVersion) -> None:
        takes = version.registration and version.registration.preprocess_version
        makes = self._task.preprocess_version
        if takes is not None and takes != makes:
            raise SetupError(
                f"{version.task} {version.number} takes features of preprocessing {takes}; {makes} is in use.",
                "Train a version on features of today.",
            )

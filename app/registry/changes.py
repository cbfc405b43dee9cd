"""Changing the registry: an event on `lifecycle`, decided upon what the log says, in force once the log says so too."""

import time
import uuid
from collections.abc import Awaitable, Callable

from app.errors import SetupError
from app.events import topics
from app.events.base import Data
from app.events.cloudevents import Record, rfc3339
from app.events.lifecycle import TaskFrozen
from app.events.model_events import Action, RouteChanged
from app.registry import routes
from app.registry.registry import Models, Version
from app.registry.routes import Route
from app.registry.subscription import read
from app.settings import Settings
from models.base import Task

SOURCE = "hindsight/registry"
_ATTEMPTS = 5

Publish = Callable[[Record], Awaitable[object]]
"""Publishes a record, and returns once the broker has confirmed it."""
Decide = Callable[[Models], Data | None]
"""What to say, given how things are; None where nothing needs to be said. Raises `SetupError`."""


class Conflict(SetupError):
    """Others changed the same thing at the same time, again and again."""


class Changes:
    """Changes one task's models; for a retraining run, if it says so."""

    def __init__(self, settings: Settings, task: Task, publish: Publish, run_id: str | None = None) -> None:
        self._settings = settings
        self._task = task
        self._publish = publish
        self._run_id = run_id

    async def make(self, decide: Decide) -> Models:
        """The models once the decision is in force. Raises what `decide` and `publish` raise, and KafkaError.

        Who was overtaken by another change decides anew, upon that one.
        """
        for _ in range(_ATTEMPTS):
            models = (await read(self._settings, [self._task])).tasks[self._task.name]
            said = decide(models)
            if said is None:
                return models
            event_id = str(uuid.uuid4())
            now = rfc3339(time.time() * 1000)
            await self._publish(
                said.record(topics.LIFECYCLE, self._task.name.encode(), id=event_id, source=SOURCE, time=now)
            )
            registry = await read(self._settings, [self._task])
            if event_id in registry.accepted:
                return registry.tasks[self._task.name]
        raise Conflict(f"Others change {self._task.name} at the same time.", "Look at its route, and try again.")

    async def promote(self, version: str, reason: str, actor: str) -> Models:
        """Make a version the champion."""
        return await self._route("promote", lambda models: routes.promoted(models.route, version), reason, actor)

    async def canary(self, version: str, share: float, reason: str, actor: str) -> Models:
        """Let a version answer a share of the requests."""

        def changed(models: Models) -> Route:
            return routes.with_canary(models.route, version, share)

        return await self._route("canary", changed, reason, actor)

    async def shadow(self, version: str, reason: str, actor: str) -> Models:
        """Let a version predict without answering."""
        return await self._route("shadow", lambda models: routes.with_shadow(models.route, version), reason, actor)

    async def roll_back(self, version: str | None, reason: str, actor: str) -> Models:
        """Take a version's role away; None is the canary's if there is one, else the champion's."""

        def changed(models: Models) -> Route:
            return routes.rolled_back(models.route, version, models.before)

        return await self._route("rollback", changed, reason, actor)

    async def change(self, action: Action, version: str, share: float, reason: str, actor: str) -> Models:
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

    async def freeze(self, frozen: bool, reason: str, actor: str) -> Models:
        """Pause retraining and promotion of the task, or let them go on."""

        def decide(models: Models) -> TaskFrozen | None:
            if (models.frozen is not None) == frozen:
                return None
            return TaskFrozen(task=models.task, frozen=frozen, reason=reason, actor=actor)

        return await self.make(decide)

    async def _route(self, action: Action, changed: Callable[[Models], Route], reason: str, actor: str) -> Models:
        def decide(models: Models) -> RouteChanged:
            now, then = models.route, changed(models)
            for version in set(then.versions) - set(now.versions):
                self._check(models.version(version))
            return RouteChanged(
                task=models.task,
                action=action,
                follows=models.follows,
                champion=then.champion,
                replaced=now.champion if now.champion != then.champion else None,
                canary=then.canary,
                canary_share=then.share,
                shadows=then.shadows,
                reason=reason,
                actor=actor,
                run_id=self._run_id,
            )

        return await self.make(decide)

    def _check(self, version: Version) -> None:
        takes = version.registered and version.registered.preprocess_version
        makes = self._task.preprocess_version
        if takes is not None and takes != makes:
            raise SetupError(
                f"{version.task} {version.number} takes features of preprocessing {takes}; {makes} is in use.",
                "Train a version on features of today.",
            )

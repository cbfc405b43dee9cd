"""A registry whose log is said by the test."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import count
from typing import Any

from app.events.base import Data, ModelRef
from app.events.model_events import ModelRegistered, RouteChanged
from app.registry.registry import Registry
from app.settings import Settings
from models.base import Task
from tests.support.record_strategies import incoming


class Following:
    """Stands in for `app.registry.subscription.follow`: what is said is heard as if it came from `lifecycle`."""

    def __init__(self, task: Task) -> None:
        self.registry = Registry([task])
        self._task = task.name
        self._ids = count()
        self._heard = asyncio.Queue[Registry]()

    def says(self, *said: Data) -> None:
        """Say these, each upon the last, and have them heard together; nothing at all as well.

        A version that a route names is registered, if it isn't there.
        """
        named = {version for data in said if isinstance(data, RouteChanged) for version in _versions(data)}
        told = {data.model.version for data in said if isinstance(data, ModelRegistered)}
        missing = sorted(named - told - self.registry.tasks[self._task].versions.keys())
        for data in (*(_registered(self._task, version) for version in missing), *said):
            upon = {"follows": self.registry.tasks[self._task].follows} if isinstance(data, RouteChanged) else {}
            unique, time = str(next(self._ids)), "2026-01-01T00:00:00Z"
            record = data.model_copy(update=upon).record("lifecycle", b"", id=unique, source="test", time=time)
            assert self.registry.hear(incoming(record))
        self._heard.put_nowait(self.registry)

    async def __call__(self, settings: Settings, tasks: Iterable[Task]) -> AsyncIterator[Registry]:
        """The registry, after each time that something was said."""
        while True:
            yield await self._heard.get()


def changed(task: str = "letters", **route: Any) -> RouteChanged:
    """A change to this route."""
    said = {"task": task, "action": "promote", "reason": "test", "actor": "us"}
    return RouteChanged.model_validate(said | route)


def _versions(route: RouteChanged) -> set[str]:
    return {route.champion, *route.shadows, *({route.canary} if route.canary else ())}


def _registered(task: str, version: str) -> ModelRegistered:
    model = ModelRef(name=task, version=version)
    return ModelRegistered(task=task, model=model, artifact="blob://x", card={}, preprocess_version="1")

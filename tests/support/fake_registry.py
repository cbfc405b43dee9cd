"""A registry whose log is said by the test."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import count
from typing import Any

from app.events.base import EventData, ModelRef
from app.events.model_events import ModelRegistered, RouteChanged
from app.registry.registry import Registry
from app.settings import Settings
from models.base import Task
from tests.support.record_strategies import consumed_record


class FakeSubscription:
    """Stands in for `app.registry.subscription.follow`: what is said is heard as if it came from `lifecycle`."""

    def __init__(self, task: Task) -> None:
        self.registry = Registry([task])
        self._task = task.name
        self._ids = count()
        self._updates = asyncio.Queue[Registry]()

    def publish(self, *said: EventData) -> None:
        """Say these, each upon the last, and have them heard together; nothing at all as well.

        A version that a route names is registered, if it isn't there.
        """
        named = {version for data in said if isinstance(data, RouteChanged) for version in _named_versions(data)}
        told = {data.model.version for data in said if isinstance(data, ModelRegistered)}
        missing = sorted(named - told - self.registry.tasks[self._task].versions.keys())
        for data in (*(_make_registration(self._task, version) for version in missing), *said):
            upon = {"follows": self.registry.tasks[self._task].last_change_id} if isinstance(data, RouteChanged) else {}
            unique, time = str(next(self._ids)), "2026-01-01T00:00:00Z"
            record = data.model_copy(update=upon).to_record("lifecycle", b"", id=unique, source="test", time=time)
            assert self.registry.apply(consumed_record(record))
        self._updates.put_nowait(self.registry)

    async def __call__(self, settings: Settings, tasks: Iterable[Task]) -> AsyncIterator[Registry]:
        """The registry, after each time that something was said."""
        while True:
            yield await self._updates.get()


def make_route_change(task: str = "letters", **route: Any) -> RouteChanged:
    """A change to this route."""
    said = {"task": task, "action": "promote", "reason": "test", "actor": "us"}
    return RouteChanged.model_validate(said | route)


def _named_versions(route: RouteChanged) -> set[str]:
    return {route.champion, *route.shadows, *({route.canary} if route.canary else ())}


def _make_registration(task: str, version: str) -> ModelRegistered:
    model = ModelRef(name=task, version=version)
    return ModelRegistered(task=task, model=model, artifact="blob://x", card={}, preprocess_version="1")

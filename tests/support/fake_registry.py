"""A registry whose events come from the test."""

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
    """A fake of the registry's subscription: it applies events as if they came from `lifecycle`."""

    def __init__(self, task: Task) -> None:
        self.registry = Registry([task])
        self._task = task.name
        self._ids = count()
        self._updates = asyncio.Queue[Registry]()

    def publish(self, *events: EventData) -> None:
        """Apply the events, each based on the last, and notify subscribers once, even without an event.

        A version that a route names is registered first, if it is not yet.
        """
        named = {version for data in events if isinstance(data, RouteChanged) for version in _named_versions(data)}
        registered = {data.model.version for data in events if isinstance(data, ModelRegistered)}
        missing = sorted(named - registered - self.registry.tasks[self._task].versions.keys())
        for data in (*(_make_registration(self._task, version) for version in missing), *events):
            last_change = self.registry.tasks[self._task].last_change_id
            update = {"follows": last_change} if isinstance(data, RouteChanged) else {}
            id, time = str(next(self._ids)), "2026-01-01T00:00:00Z"
            record = data.model_copy(update=update).to_record("lifecycle", b"", id=id, source="test", time=time)
            assert self.registry.apply(consumed_record(record))
        self._updates.put_nowait(self.registry)

    async def __call__(self, settings: Settings, tasks: Iterable[Task]) -> AsyncIterator[Registry]:
        """Yield the registry after each `publish`."""
        while True:
            yield await self._updates.get()


def make_route_change(task: str = "letters", **route: Any) -> RouteChanged:
    """Return a change to this route."""
    change = {"task": task, "action": "promote", "reason": "test", "actor": "us"}
    return RouteChanged.model_validate(change | route)


def _named_versions(route: RouteChanged) -> set[str]:
    return {route.champion, *route.shadows, *({route.canary} if route.canary else ())}


def _make_registration(task: str, version: str) -> ModelRegistered:
    model = ModelRef(name=task, version=version)
    return ModelRegistered(task=task, model=model, artifact="blob://x", card={}, preprocess_version="1")

"""The routes in force in this process. A route takes effect once MLServer serves all its serving versions."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from app.events.base import ModelRef
from app.inference.mlserver.client import InferenceClient
from app.monitoring import metrics
from app.registry.learned import learned_until
from app.registry.registry import Registry
from app.registry.routes import Route, RouteLookup
from app.registry.subscription import read_registry, subscribe
from app.settings import Settings
from models.base import Task


class Router:
    """Applies the registry's routes. The previous route stays in force until the new one's versions are served."""

    def __init__(self, settings: Settings, tasks: Iterable[Task]) -> None:
        self._settings = settings
        self._tasks = list(tasks)
        self._routes: dict[str, Route] = {}
        self._registry: Registry | None = None
        self._first_route = defaultdict[str, asyncio.Event](asyncio.Event)

    async def run(self) -> None:
        """Apply route changes, for ever."""
        switches: dict[str, asyncio.Task[None]] = {}
        latest_routes: dict[str, Route] = {}
        async with InferenceClient(self._settings) as client, asyncio.TaskGroup() as group:
            async for registry in subscribe(self._settings, self._tasks):
                self._registry = registry
                for task, models in registry.tasks.items():
                    if models.route != latest_routes.get(task):
                        latest_routes[task] = models.route
                        if task in switches:
                            switches[task].cancel()
                        switches[task] = group.create_task(self._switch(client, task, models.route))

    async def _switch(self, client: InferenceClient, task: str, route: Route) -> None:
        for version in route.serving_versions:
            await client.wait(ModelRef(name=task, version=version))
        self._routes[task] = route
        self._first_route[task].set()
        metrics.set_route(task, {version: route.role(version) or "" for version in route.versions})

    async def route(self, task: str) -> Route:
        """Return the task's route in force; wait for the first one."""
        await self._first_route[task].wait()
        return self._routes[task]

    def learned_until(self, task: str, version: str) -> datetime | None:
        """Return the time until which a version has learned the corrections in the log; None if it learned none."""
        return None if self._registry is None else learned_until(self._registry.tasks[task], version)


def pin_champion(settings: Settings, task: Task) -> RouteLookup:
    """Return a route lookup that keeps the champion of its first call, for callers that take no part in a rollout."""
    pinned: list[Route] = []

    async def lookup() -> Route:
        if not pinned:
            registry = await read_registry(settings, [task])
            pinned.append(Route(registry.tasks[task.name].route.champion))
        return pinned[0]

    return lookup

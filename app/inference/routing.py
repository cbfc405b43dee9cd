"""The routes in force in this process: each from the moment when MLServer serves the versions that answer by it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from app.events.base import ModelRef
from app.inference.mlserver.client import InferenceClient
from app.monitoring import metrics
from app.registry.routes import Route, RouteLookup
from app.registry.subscription import read_registry, subscribe
from app.settings import Settings
from models.base import Task


class Router:
    """Follows the registry. While a new route's versions aren't served, requests go on by the one before."""

    def __init__(self, settings: Settings, tasks: Iterable[Task]) -> None:
        self._settings = settings
        self._tasks = list(tasks)
        self._routes: dict[str, Route] = {}
        self._first_route = defaultdict[str, asyncio.Event](asyncio.Event)

    async def run(self) -> None:
        """Follow, for ever."""
        switches: dict[str, asyncio.Task[None]] = {}
        said: dict[str, Route] = {}
        async with InferenceClient(self._settings) as client, asyncio.TaskGroup() as group:
            async for registry in subscribe(self._settings, self._tasks):
                for task, models in registry.tasks.items():
                    if models.route != said.get(task):
                        said[task] = models.route
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
        """The task's route in force; waits for the first one."""
        await self._first_route[task].wait()
        return self._routes[task]


def pin_champion(settings: Settings, task: Task) -> RouteLookup:
    """For what has no part in a trial: the champion of now, whatever changes later."""
    found: list[Route] = []

    async def ask() -> Route:
        if not found:
            registry = await read_registry(settings, [task])
            found.append(Route(registry.tasks[task.name].route.champion))
        return found[0]

    return ask

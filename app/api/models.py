"""`/v1/models`: the versions of models, and which of them serve."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api.errors import known, refusals
from app.auth.scopes import UNKNOWN, Actor, actor_of, needs
from app.events.model_events import Action
from app.kafka.resilient_producer import Publisher
from app.registry.changes import Changes
from app.registry.responses import TaskModels, described
from app.registry.subscription import read
from app.settings import Settings
from models.base import Task

RESPONSES: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    503: {"description": "The broker is away, or has not confirmed: look at the route, and try again."},
}
REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such task."},
    409: {
        "description": "The route is not one that can be changed so; the reason says why.",
        "content": {"application/json": {"example": {"detail": "Version 2 is the champion already."}}},
    },
}


class Asked(BaseModel):
    """Who wants a route changed, and why."""

    actor: Actor | None = None
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """The share of requests that a canary answers."""


class AllModels(BaseModel):
    """The models of every task."""

    models: list[TaskModels]


def router(settings: Settings, tasks: Mapping[str, Task], publisher: Publisher) -> APIRouter:
    """The routes, for these tasks."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", responses=RESPONSES, dependencies=[needs("read")])
    async def list_models() -> AllModels:
        """Every task's versions, and its route of now."""
        with refusals():
            registry = await read(settings, tasks.values())
            return AllModels(models=[described(one) for one in registry.tasks.values() if one.versions])

    @routes.post("/v1/models/{task}/{version}:{action}", responses=RESPONSES | REFUSED, dependencies=[needs("operate")])
    async def change_route(request: Request, task: str, version: str, action: Action, asked: Asked) -> TaskModels:
        """Answers once the change is in the log and in force: the route as it is then.

        A rollback takes the version's role away; a champion gives way to the one before it.
        """
        changes = Changes(settings, known(tasks, task), publisher.publish)
        said = (asked.reason, actor_of(request, asked.actor))
        with refusals():
            changed = await changes.change(action, version, asked.share, *said)
            return described(changed)

    return routes

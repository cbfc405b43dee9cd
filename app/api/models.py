"""`/v1/models`: the versions of models, and which of them serve."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api.errors import http_errors, require_task
from app.auth.scopes import AUTH_RESPONSES, ActorName, require_scope, resolve_actor
from app.events.model_events import RouteAction
from app.kafka.resilient_producer import ResilientProducer
from app.registry.changes import RegistryWriter
from app.registry.responses import TaskModelsResponse, describe_models
from app.registry.subscription import read_registry
from app.settings import Settings
from models.base import Task

RESPONSES: dict[int | str, dict[str, Any]] = {
    **AUTH_RESPONSES,
    503: {"description": "The broker is away, or has not confirmed: look at the route, and try again."},
}
CHANGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such task."},
    409: {
        "description": "The route is not one that can be changed so; the reason says why.",
        "content": {"application/json": {"example": {"detail": "Version 2 is the champion already."}}},
    },
}


class RouteChangeRequest(BaseModel):
    """Who wants a route changed, and why."""

    actor: ActorName | None = None
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """The share of requests that a canary answers."""


class ModelsResponse(BaseModel):
    """The models of every task."""

    models: list[TaskModelsResponse]


def router(settings: Settings, tasks: Mapping[str, Task], producer: ResilientProducer) -> APIRouter:
    """The routes, for these tasks."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", responses=RESPONSES, dependencies=[require_scope("read")])
    async def list_models() -> ModelsResponse:
        """Every task's versions, and its route of now."""
        with http_errors():
            registry = await read_registry(settings, tasks.values())
            return ModelsResponse(models=[describe_models(one) for one in registry.tasks.values() if one.versions])

    @routes.post(
        "/v1/models/{task}/{version}:{action}",
        responses=RESPONSES | CHANGE_RESPONSES,
        dependencies=[require_scope("operate")],
    )
    async def change_route(
        request: Request, task: str, version: str, action: RouteAction, asked: RouteChangeRequest
    ) -> TaskModelsResponse:
        """Answers once the change is in the log and in force: the route as it is then.

        A rollback takes the version's role away; a champion gives way to the one before it.
        """
        changes = RegistryWriter(settings, require_task(tasks, task), producer.publish)
        said = (asked.reason, resolve_actor(request, asked.actor))
        with http_errors():
            changed = await changes.change_route(action, version, asked.share, *said)
            return describe_models(changed)

    return routes

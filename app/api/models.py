"""`/v1/models`: model versions and routes."""

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
    503: {"description": "The broker is unavailable or did not confirm: read the route, then try again."},
}
CHANGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such task."},
    409: {
        "description": "The current route doesn't allow this change; see the reason.",
        "content": {"application/json": {"example": {"detail": "Version 2 is the champion already."}}},
    },
}


class RouteChangeRequest(BaseModel):
    """The author and the reason of a route change."""

    actor: ActorName | None = None
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the requests that a canary answers."""


class ModelsResponse(BaseModel):
    """The models of every task."""

    models: list[TaskModelsResponse]


def router(settings: Settings, tasks: Mapping[str, Task], producer: ResilientProducer) -> APIRouter:
    """Return the routes for these tasks."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", responses=RESPONSES, dependencies=[require_scope("read")])
    async def list_models() -> ModelsResponse:
        """Return the versions and the current route of every task."""
        with http_errors():
            registry = await read_registry(settings, tasks.values())
            with_versions = [models for models in registry.tasks.values() if models.versions]
            return ModelsResponse(models=[describe_models(models) for models in with_versions])

    @routes.post(
        "/v1/models/{task}/{version}:{action}",
        responses=RESPONSES | CHANGE_RESPONSES,
        dependencies=[require_scope("operate")],
    )
    async def change_route(
        request: Request, task: str, version: str, action: RouteAction, body: RouteChangeRequest
    ) -> TaskModelsResponse:
        """Change the route; the response has the route with the change in force.

        A rollback removes the version's role; the previous champion replaces a champion.
        """
        writer = RegistryWriter(settings, require_task(tasks, task), producer.publish)
        actor = resolve_actor(request, body.actor)
        with http_errors():
            return describe_models(await writer.change_route(action, version, body.share, body.reason, actor))

    return routes

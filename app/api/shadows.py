"""`/v1/models/{task}/shadows`: versions that are shadows at the same time, compared on the same requests."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app.api.errors import http_errors, require_task
from app.api.models import RESPONSES
from app.api.retraining import ERROR_RESPONSES
from app.auth.scopes import REQUIRE_READ
from app.catalog.catalog import Catalog
from app.events.base import VersionNumber
from app.retraining.controller import Controller
from app.retraining.rollout.elimination import Elimination, eliminate
from app.retraining.rollout.evidence import gather_shadow_scores
from app.retraining.rollout.execution import shadows_started
from app.settings import Settings
from models.base import Task


class LossResponse(BaseModel):
    """A shadow beside another version, on the labelled requests that both answered."""

    other: str
    requests: int
    mean: float
    """By how much the shadow's mean score is below the other's; 0 without requests."""
    lower: float
    upper: float
    """The ends of its interval. All intervals together are valid however often one looks."""


class ShadowResponse(BaseModel):
    """A shadow."""

    version: str
    losses: list[LossResponse]
    eliminated: str | None
    """Why it is worse than another version; null if that is not shown."""


class ShadowsResponse(BaseModel):
    """The shadows of a task, the best so far first, and those that are eliminated last."""

    task: str
    champion: str
    since: datetime
    """Since when all of them have been shadows beside this champion."""
    shadows: list[ShadowResponse]
    best: str | None
    """The shadow that no other is better than by more than is tolerated; null if that is not known, or if all are worse
    than the champion."""
    is_decided: bool
    """Whether more labels would change nothing, or the maximum time of a step is over."""


def router(settings: Settings, tasks: Mapping[str, Task], controller: Controller, catalog: Catalog) -> APIRouter:
    """Return the route for these tasks."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models/{task}/shadows", responses=RESPONSES | ERROR_RESPONSES, dependencies=REQUIRE_READ)
    async def compare_shadows(
        task: str, version: Annotated[list[VersionNumber], Query(default_factory=list, max_length=100)]
    ) -> ShadowsResponse:
        """Compare the task's shadows, or these of them, with each other and the champion, by audited labels."""
        plan = settings.for_task(task).retraining.rollout
        with http_errors():
            compared, models, now = require_task(tasks, task), controller.models[task], datetime.now(UTC)
            shadows = tuple(dict.fromkeys(version or models.route.shadows))
            since, champion = shadows_started(models, shadows), models.route.champion
            observed = await asyncio.to_thread(
                catalog.query,
                lambda connection: gather_shadow_scores(connection, compared, shadows, champion, since, now),
            )
            result = await asyncio.to_thread(eliminate, observed, plan)
        return _to_response(task, champion, since, result)

    return routes


def _to_response(task: str, champion: str, since: datetime, result: Elimination) -> ShadowsResponse:
    return ShadowsResponse(
        task=task,
        champion=champion,
        since=since,
        shadows=[
            ShadowResponse(
                version=version,
                losses=[
                    LossResponse(
                        other=loss.other,
                        requests=loss.requests,
                        mean=loss.mean,
                        lower=loss.interval[0],
                        upper=loss.interval[1],
                    )
                    for loss in result.losses
                    if loss.candidate == version
                ],
                eliminated=result.eliminated.get(version),
            )
            for version in (*result.remaining, *result.eliminated)
        ],
        best=result.remaining[0] if result.is_decided and result.remaining else None,
        is_decided=result.is_decided,
    )

"""`/v1/retraining/{task}/comparison`: a candidate against its champion, as its retraining run stored it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from app.api.errors import http_errors, require_task
from app.api.models import RESPONSES
from app.auth.scopes import REQUIRE_READ
from app.events.comparison import Comparison
from app.registry.runs import Run, last_compared
from app.retraining.controller import Controller
from models.base import Task

NOT_FOUND_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such task, or no comparison of it yet."}
}


class ComparisonResponse(BaseModel):
    """The comparison of a run's candidate with its champion, as the run stored it."""

    task: str
    run_id: str
    began: datetime
    champion: str
    """The version that the candidate was compared with."""
    version: str | None
    """The candidate's version in the registry, if it passed the gate."""
    dataset: str
    """The content hash of the dataset, whose rows of the split `test` count."""
    comparisons: tuple[Comparison, ...]
    """By rewards and by labels, as far as there are any."""


def router(tasks: Mapping[str, Task], controller: Controller) -> APIRouter:
    """Return the route for these tasks."""
    routes = APIRouter(tags=["retraining"])

    @routes.get(
        "/v1/retraining/{task}/comparison", responses=RESPONSES | NOT_FOUND_RESPONSES, dependencies=REQUIRE_READ
    )
    async def show_comparison(task: str, run_id: str | None = None) -> ComparisonResponse:
        """Return how a candidate compares with its champion over time and by slice; by default the last candidate."""
        require_task(tasks, task)
        with http_errors():
            runs = controller.models[task].runs
        return _comparison_response(runs.get(run_id) if run_id else last_compared(runs))

    return routes


def _comparison_response(run: Run | None) -> ComparisonResponse:
    if run is None or run.compared is None:
        raise HTTPException(404, "There is no such comparison: a retraining run makes one before the gate.")
    return ComparisonResponse(
        task=run.task,
        run_id=run.id,
        began=run.time,
        champion=run.compared.champion,
        version=run.registered and run.registered.model.version,
        dataset=run.compared.dataset,
        comparisons=run.compared.comparisons,
    )

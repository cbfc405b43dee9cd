"""`/v1/retraining`: retraining runs and their triggers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api import path_convertor
from app.api.errors import http_errors, require_task
from app.api.models import RESPONSES
from app.auth.scopes import REQUIRE_OPERATE, REQUIRE_READ, ActorName, resolve_actor
from app.events.model_events import Backtest
from app.registry.runs import Run
from app.retraining.controller import Controller
from models.base import Task

path_convertor.register()
NOT_FOUND_RESPONSES: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such task."}}
CONFLICT_RESPONSES: dict[int | str, dict[str, Any]] = {
    409: {
        "description": "This is not possible now; see the reason.",
        "content": {"application/json": {"example": {"detail": "Run 5f0e2f4b of ocr is under way."}}},
    }
}
ERROR_RESPONSES = RESPONSES | NOT_FOUND_RESPONSES | CONFLICT_RESPONSES
ReasonText = Annotated[str, Field(min_length=1, max_length=2000)]


class RunRequest(BaseModel):
    """The author and the reason of a start or a cancellation."""

    actor: ActorName | None = None
    reason: ReasonText = "by hand"


class RunReference(BaseModel):
    """The id of the run."""

    run_id: str


class RunResponse(BaseModel):
    """A run: its trigger, progress and outcome."""

    run_id: str
    task: str
    trigger: str
    evidence: dict[str, Any]
    began: datetime
    champion: str
    """The version that the run started from."""
    step: str | None
    """The current step: dataset, train, backtest, evaluate, register or rollout; null after the run."""
    progress: dict[str, Any] | None
    """The step's current activity, with the amount done and the total."""
    rows: int | None
    """Rows of the dataset."""
    backtest: Backtest | None
    """The candidate's results on past requests."""
    metrics: dict[str, float] | None
    """The gate's measurements."""
    passed: bool | None
    """The gate's decision."""
    version: str | None
    """The candidate's version in the registry."""
    decision: str | None
    """The last decision on the rollout, with its reason."""
    outcome: str | None
    reason: str | None
    """The reason of the outcome."""


class RunsResponse(BaseModel):
    """The runs of all tasks, newest first."""

    runs: list[RunResponse]


class TriggerResponse(BaseModel):
    """A trigger and its current state."""

    trigger: str
    fires: bool
    sees: str
    bound: str
    missing: tuple[str, ...]
    """Why the trigger does not fire."""
    evidence: dict[str, Any]


class TriggersResponse(BaseModel):
    """All triggers of a task."""

    task: str
    triggers: list[TriggerResponse]


def router(tasks: Mapping[str, Task], controller: Controller) -> APIRouter:
    """Return the routes for these tasks."""
    routes = APIRouter(tags=["retraining"])

    @routes.get("/v1/retraining", responses=RESPONSES, dependencies=REQUIRE_READ)
    async def list_runs() -> RunsResponse:
        """Return all runs, newest first, with their progress."""
        with http_errors():
            runs = [run for models in controller.models.values() for run in models.runs.values()]
        runs.sort(key=lambda run: run.time, reverse=True)
        return RunsResponse(runs=[_run_response(run, controller) for run in runs])

    @routes.post(
        "/v1/retraining/{task:part}:cancel", status_code=202, responses=ERROR_RESPONSES, dependencies=REQUIRE_OPERATE
    )
    async def cancel_run(request: Request, task: str, body: RunRequest) -> RunReference:
        """Cancel the task's run. A candidate that has a role keeps it: roll it back."""
        with http_errors():
            return RunReference(
                run_id=await controller.trigger_service.cancel_run(
                    require_task(tasks, task), resolve_actor(request, body.actor)
                )
            )

    @routes.post("/v1/retraining/{task:part}", status_code=202, responses=ERROR_RESPONSES, dependencies=REQUIRE_OPERATE)
    async def begin_run(request: Request, task: str, body: RunRequest) -> RunReference:
        """Start a run now; the response comes after the start is in the log."""
        evidence = {"actor": resolve_actor(request, body.actor), "reason": body.reason}
        with http_errors():
            run_id = await controller.trigger_service.start_run(require_task(tasks, task), "manual", evidence)
            return RunReference(run_id=run_id)

    @routes.get("/v1/retraining/{task}/triggers", responses=RESPONSES | NOT_FOUND_RESPONSES, dependencies=REQUIRE_READ)
    async def explain_triggers(task: str) -> TriggersResponse:
        """Return the current state of each trigger, and why it does or doesn't fire."""
        with http_errors():
            explanations = await controller.trigger_service.explain(require_task(tasks, task), controller.models[task])
        return TriggersResponse(
            task=task,
            triggers=[
                TriggerResponse(
                    trigger=explanation.trigger,
                    fires=explanation.fires,
                    sees=explanation.sees,
                    bound=explanation.bound,
                    missing=explanation.missing,
                    evidence=explanation.evidence,
                )
                for explanation in explanations
            ],
        )

    return routes


def _run_response(run: Run, controller: Controller) -> RunResponse:
    ended, evaluated = run.ended, run.evaluated
    return RunResponse(
        run_id=run.id,
        task=run.task,
        trigger=run.triggered.trigger,
        evidence=run.triggered.evidence,
        began=run.time,
        champion=run.triggered.champion,
        step=run.step,
        progress=controller.backend.progress.get(run.id) if run.step else None,
        rows=run.dataset and run.dataset.rows,
        backtest=run.backtested and run.backtested.backtest,
        metrics=evaluated and evaluated.metrics,
        passed=evaluated and evaluated.passed,
        version=run.registered and run.registered.model.version,
        decision=controller.decisions.get(run.id) if run.step else None,
        outcome=ended and ended.outcome,
        reason=ended and ended.reason,
    )

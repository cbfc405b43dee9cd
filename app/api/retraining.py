"""`/v1/retraining` and `/v1/alerts`: runs, and what begins and ends them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api import path_convertor
from app.api.errors import http_errors, require_task
from app.api.models import RESPONSES
from app.api.timestamps import Timestamp
from app.auth.scopes import REQUIRE_OPERATE, REQUIRE_READ, ActorName, resolve_actor
from app.events.model_events import Backtest
from app.registry.runs import Run
from app.retraining.controller import Controller
from app.retraining.triggers.observation import Alert
from models.base import Task

path_convertor.register()
NOT_FOUND_RESPONSES: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such task."}}
CONFLICT_RESPONSES: dict[int | str, dict[str, Any]] = {
    409: {
        "description": "It can't be done now; the reason says why.",
        "content": {"application/json": {"example": {"detail": "Run 5f0e2f4b of ocr is under way."}}},
    }
}
ERROR_RESPONSES = RESPONSES | NOT_FOUND_RESPONSES | CONFLICT_RESPONSES
ReasonText = Annotated[str, Field(min_length=1, max_length=2000)]


class RunRequest(BaseModel):
    """Who wants it, and why."""

    actor: ActorName | None = None
    reason: ReasonText = "by hand"


class RunReference(BaseModel):
    """The run that is concerned."""

    run_id: str


class RunResponse(BaseModel):
    """A run: why it began, what is done of it, and how it ended."""

    run_id: str
    task: str
    trigger: str
    evidence: dict[str, Any]
    began: datetime
    champion: str
    """The version that it started from."""
    step: str | None
    """What is being done: dataset, train, backtest, evaluate, register or rollout; null of a run that is over."""
    progress: dict[str, Any] | None
    """What that step is doing, how much of it is done, and of how much."""
    rows: int | None
    """Of its dataset."""
    backtest: Backtest | None
    """What its candidate would have done in the past."""
    metrics: dict[str, float] | None
    """What the gate has measured."""
    passed: bool | None
    """What the gate has said."""
    version: str | None
    """The number that its candidate has in the registry."""
    decision: str | None
    """What was last decided of its rollout, and why."""
    outcome: str | None
    reason: str | None
    """How it ended, and why."""


class RunsResponse(BaseModel):
    """The runs of every task, the newest first."""

    runs: list[RunResponse]


class TriggerResponse(BaseModel):
    """A trigger, and what it sees now."""

    trigger: str
    fires: bool
    sees: str
    bound: str
    missing: tuple[str, ...]
    """Why it doesn't fire."""
    evidence: dict[str, Any]


class TriggersResponse(BaseModel):
    """All triggers of a task."""

    task: str
    triggers: list[TriggerResponse]


class AlertmanagerAlert(BaseModel):
    """One alert of Alertmanager's webhook, version 4."""

    status: str
    labels: dict[str, str]
    startsAt: Timestamp  # Alertmanager's own name

    @property
    def alert(self) -> Alert:
        """As the triggers have it."""
        return Alert(self.labels.get("alertname", ""), self.startsAt)


class AlertmanagerNotification(BaseModel):
    """What Alertmanager sends; of what it says beside the alerts nothing is needed."""

    alerts: Annotated[list[AlertmanagerAlert], Field(max_length=1000)]


class StartedRuns(BaseModel):
    """The runs that the alerts began; none where the triggers' settings, a run or the cool-down forbid it."""

    run_ids: list[str]


def router(tasks: Mapping[str, Task], controller: Controller) -> APIRouter:
    """The routes, for these tasks."""
    routes = APIRouter(tags=["retraining"])

    @routes.get("/v1/retraining", responses=RESPONSES, dependencies=REQUIRE_READ)
    async def list_runs() -> RunsResponse:
        """Every run, the newest first, with its progress."""
        with http_errors():
            found = [run for models in controller.models.values() for run in models.runs.values()]
        found.sort(key=lambda run: run.time, reverse=True)
        return RunsResponse(runs=[_run_response(run, controller) for run in found])

    @routes.post(
        "/v1/retraining/{task:part}:cancel", status_code=202, responses=ERROR_RESPONSES, dependencies=REQUIRE_OPERATE
    )
    async def cancel_run(request: Request, task: str, wanted: RunRequest) -> RunReference:
        """Ends the task's run. A candidate that has a role keeps it: roll it back."""
        with http_errors():
            return RunReference(
                run_id=await controller.trigger_service.cancel_run(
                    require_task(tasks, task), resolve_actor(request, wanted.actor)
                )
            )

    @routes.post("/v1/retraining/{task:part}", status_code=202, responses=ERROR_RESPONSES, dependencies=REQUIRE_OPERATE)
    async def begin_run(request: Request, task: str, wanted: RunRequest) -> RunReference:
        """Begins a run, now. Answers when that is in the log."""
        evidence = {"actor": resolve_actor(request, wanted.actor), "reason": wanted.reason}
        with http_errors():
            run_id = await controller.trigger_service.start_run(require_task(tasks, task), "manual", evidence)
            return RunReference(run_id=run_id)

    @routes.get("/v1/retraining/{task}/triggers", responses=RESPONSES | NOT_FOUND_RESPONSES, dependencies=REQUIRE_READ)
    async def explain_triggers(task: str) -> TriggersResponse:
        """What each trigger sees now, and why it does or doesn't fire."""
        with http_errors():
            said = await controller.trigger_service.explain(require_task(tasks, task), controller.models[task])
        return TriggersResponse(
            task=task,
            triggers=[
                TriggerResponse(
                    trigger=one.trigger,
                    fires=one.fires,
                    sees=one.sees,
                    bound=one.bound,
                    missing=one.missing,
                    evidence=one.evidence,
                )
                for one in said
            ],
        )

    @routes.post("/v1/alerts", responses=RESPONSES, dependencies=REQUIRE_OPERATE)
    async def hear_alerts(notice: AlertmanagerNotification) -> StartedRuns:
        """Alertmanager's webhook: an alert that fires with a label `task` may begin a run of that task."""
        begun = []
        for name, task in tasks.items():
            alerts = [one.alert for one in notice.alerts if one.status == "firing" and one.labels.get("task") == name]
            with http_errors():
                if alerts and (
                    run_id := await controller.trigger_service.evaluate(task, controller.models[name], alerts)
                ):
                    begun.append(run_id)
        return StartedRuns(run_ids=begun)

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

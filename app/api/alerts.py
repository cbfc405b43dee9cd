"""`/v1/alerts`: Alertmanager's webhook, which starts retraining runs."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.errors import http_errors
from app.api.models import RESPONSES
from app.api.timestamps import Timestamp
from app.auth.scopes import REQUIRE_OPERATE
from app.retraining.controller import Controller
from app.retraining.triggers.observation import Alert
from models.base import Task


class AlertmanagerAlert(BaseModel):
    """An alert in Alertmanager's webhook, version 4."""

    status: str
    labels: dict[str, str]
    startsAt: Timestamp  # Alertmanager's own name

    @property
    def alert(self) -> Alert:
        """The alert as the triggers take it."""
        return Alert(self.labels.get("alertname", ""), self.startsAt)


class AlertmanagerNotification(BaseModel):
    """A notification of Alertmanager. Other fields than the alerts are ignored."""

    alerts: Annotated[list[AlertmanagerAlert], Field(max_length=1000)]


class StartedRuns(BaseModel):
    """The runs that the alerts started; empty if the triggers' settings, an active run or the cool-down prevent it."""

    run_ids: list[str]


def router(tasks: Mapping[str, Task], controller: Controller) -> APIRouter:
    """Return the route for these tasks."""
    routes = APIRouter(tags=["retraining"])

    @routes.post("/v1/alerts", responses=RESPONSES, dependencies=REQUIRE_OPERATE)
    async def receive_alerts(notification: AlertmanagerNotification) -> StartedRuns:
        """Receive Alertmanager's webhook. A firing alert with a label `task` may start a run of that task."""
        run_ids = []
        for name, task in tasks.items():
            alerts = [
                alert.alert
                for alert in notification.alerts
                if alert.status == "firing" and alert.labels.get("task") == name
            ]
            with http_errors():
                if alerts and (
                    run_id := await controller.trigger_service.evaluate(task, controller.models[name], alerts)
                ):
                    run_ids.append(run_id)
        return StartedRuns(run_ids=run_ids)

    return routes

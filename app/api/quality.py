"""`/v1/quality`: the score of a task's champion, from labels and, without them, estimated from its confidences."""

from collections.abc import Mapping
from datetime import datetime
from math import isfinite

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.errors import http_errors, require_task
from app.api.models import RESPONSES
from app.api.retraining import NOT_FOUND_RESPONSES
from app.auth.scopes import REQUIRE_READ
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate
from app.retraining.controller import Controller
from app.retraining.triggers.observation import MemoryStats, WindowValue
from models.base import Task


class LabelledWindow(BaseModel):
    """The last window whose time for feedback is over."""

    start: datetime
    end: datetime
    predictions: int
    plain: float | None
    """The plain average of all labels. It is biased: people correct mistakes."""
    weighted: float | None
    """The estimate, weighted by inverse selection probability."""
    lower: float | None
    upper: float | None
    """The estimate's 95 % interval; null with fewer than two labels."""
    coverage: float
    """The share of the predictions that have a label."""
    answered: float
    """The share of the selected predictions that have a label."""


class EstimatedWindow(BaseModel):
    """The last complete window, whose labels may be late, with a score estimated from confidences."""

    start: datetime
    end: datetime
    expected: float
    lower: float
    upper: float
    """The 95 % interval. It covers only the chance in the labels that the estimate was fitted to."""
    labelled: float
    """The effective number of these labels."""
    error: float | None
    """The mean absolute difference to the labels' score in past windows."""
    windows: int
    """The number of these past windows."""


class RememberedWindow(BaseModel):
    """The remembered corrections that were served in the same window as `judged`, by what people said of them."""

    start: datetime
    end: datetime
    right: int
    wrong: int


class QualityResponse(BaseModel):
    """The last observation of a task's champion. Values are null while too little is known.

    The scores are of the model's own outputs, also where a remembered correction was served.
    """

    task: str
    version: str | None
    reference: float | None
    """The champion's score when the gate evaluated it."""
    judged: LabelledWindow | None
    late: EstimatedWindow | None
    memory: RememberedWindow | None


def router(tasks: Mapping[str, Task], controller: Controller) -> APIRouter:
    """Return the route for these tasks."""
    routes = APIRouter(tags=["retraining"])

    @routes.get("/v1/quality/{task}", responses=RESPONSES | NOT_FOUND_RESPONSES, dependencies=REQUIRE_READ)
    async def quality(task: str) -> QualityResponse:
        """Return the champion's score: plain average, weighted estimate, and the estimate without labels."""
        with http_errors():
            require_task(tasks, task)
        version, observation = controller.trigger_service.observations.get(task, (None, None))
        return QualityResponse(
            task=task,
            version=version,
            reference=observation.reference.score if observation and observation.reference else None,
            judged=_labelled_window(observation.quality) if observation and observation.quality else None,
            late=_estimated_window(observation.expected) if observation and observation.expected else None,
            memory=_remembered_window(observation.memory) if observation and observation.memory else None,
        )

    return routes


def _labelled_window(window: WindowValue[QualityEstimate]) -> LabelledWindow:
    estimate = window.value
    lower, upper = (bound if isfinite(bound) else None for bound in estimate.interval())
    return LabelledWindow(
        start=window.start,
        end=window.end,
        predictions=estimate.predictions,
        plain=estimate.plain,
        weighted=estimate.score,
        lower=lower,
        upper=upper,
        coverage=estimate.coverage,
        answered=estimate.answered,
    )


def _remembered_window(window: WindowValue[MemoryStats]) -> RememberedWindow:
    return RememberedWindow(start=window.start, end=window.end, right=window.value.right, wrong=window.value.wrong)


def _estimated_window(window: WindowValue[PerformanceEstimate]) -> EstimatedWindow:
    estimate = window.value
    return EstimatedWindow(
        start=window.start,
        end=window.end,
        expected=estimate.score,
        lower=estimate.lower,
        upper=estimate.upper,
        labelled=estimate.labelled,
        error=estimate.error,
        windows=estimate.windows,
    )

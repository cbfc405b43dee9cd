"""`/v1/quality`: what a task's champion scores, by what is labelled and by how sure it is."""

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.errors import http_errors, require_task
from app.api.models import RESPONSES
from app.api.retraining import NOT_FOUND_RESPONSES
from app.auth.scopes import REQUIRE_READ
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate
from app.retraining.controller import Controller
from app.retraining.triggers.observation import WindowValue
from models.base import Task


class LabelledWindow(BaseModel):
    """The last window whose feedback has had its time."""

    start: datetime
    end: datetime
    predictions: int
    plain: float | None
    """The average of all labels. It is biased: people correct what is wrong."""
    weighted: float | None
    """The estimate by inverse selection probability."""
    lower: float | None
    upper: float | None
    """Its interval, at 95 %; null of fewer than two labels."""
    coverage: float
    """The share of predictions that has a label."""
    answered: float
    """The share of those selected that has one."""


class EstimatedWindow(BaseModel):
    """The last whole window, whose labels may be late: what it is expected to score by its confidences."""

    start: datetime
    end: datetime
    expected: float
    lower: float
    upper: float
    """The interval, at 95 %: of chance in the labels that were learned from alone."""
    labelled: float
    """How many those are, of equal weight."""
    error: float | None
    """The mean absolute difference to what labels said in past windows."""
    windows: int
    """How many past windows that is of."""


class QualityResponse(BaseModel):
    """What was last seen of a task's champion; null where too little is known."""

    task: str
    version: str | None
    reference: float | None
    """What the champion scored when it was judged."""
    judged: LabelledWindow | None
    late: EstimatedWindow | None


def router(tasks: Mapping[str, Task], controller: Controller) -> APIRouter:
    """The routes, for these tasks."""
    routes = APIRouter(tags=["retraining"])

    @routes.get("/v1/quality/{task}", responses=RESPONSES | NOT_FOUND_RESPONSES, dependencies=REQUIRE_READ)
    async def quality(task: str) -> QualityResponse:
        """The champion's score: plain average, weighted estimate, and what is expected where labels are late."""
        with http_errors():
            require_task(tasks, task)
        version, seen = controller.trigger_service.observations.get(task, (None, None))
        return QualityResponse(
            task=task,
            version=version,
            reference=seen.reference if seen else None,
            judged=_labelled_window(seen.quality) if seen and seen.quality else None,
            late=_estimated_window(seen.expected) if seen and seen.expected else None,
        )

    return routes


def _labelled_window(window: WindowValue[QualityEstimate]) -> LabelledWindow:
    found = window.value
    lower, upper = (end if isfinite(end) else None for end in found.interval())
    figures: dict[str, Any] = {name: getattr(found, name) for name in ("predictions", "plain", "coverage", "answered")}
    return LabelledWindow(start=window.start, end=window.end, weighted=found.score, lower=lower, upper=upper, **figures)


def _estimated_window(window: WindowValue[PerformanceEstimate]) -> EstimatedWindow:
    figures: dict[str, Any] = {
        name: getattr(window.value, name) for name in EstimatedWindow.model_fields if hasattr(window.value, name)
    }
    return EstimatedWindow(start=window.start, end=window.end, expected=window.value.score, **figures)

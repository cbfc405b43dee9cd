"""A task's models in words that machines read: what the command line and HTTP answer."""

from typing import Any

from pydantic import BaseModel

from app.events.types import Role
from app.registry.registry import ModelVersion, TaskModels


class RouteResponse(BaseModel):
    """Who serves."""

    champion: str
    canary: str | None
    canary_share: float
    shadows: tuple[str, ...]


class VersionResponse(BaseModel):
    """One version."""

    version: str
    role: Role | None
    """What it does by the route of now."""
    parent: str | None
    """The version that its fitting started from."""
    dataset: str | None
    """The content hash of the dataset it was fitted to."""
    preprocess_version: str | None
    """The version of preprocessing whose features it takes; null of one that comes with the task's folder."""
    artifact: str
    """Where its ONNX file is."""
    actor: str | None
    """Who registered it."""
    figures: dict[str, Any]
    """What its card says was measured."""


class TaskModelsResponse(BaseModel):
    """The versions of a task's model, and its route."""

    task: str
    route: RouteResponse
    frozen: str | None
    """Why its retraining and promotion are paused; null where they aren't."""
    versions: list[VersionResponse]


def describe_models(models: TaskModels) -> TaskModelsResponse:
    """All of a task. Raises `SetupError` for one without a model."""
    route = models.route
    said = RouteResponse(
        champion=route.champion, canary=route.canary, canary_share=route.canary_share, shadows=route.shadows
    )
    versions = [_version_response(one, route.role(one.number)) for one in models.versions.values()]
    frozen = models.frozen and f"{models.frozen.reason} ({models.frozen.actor})"
    return TaskModelsResponse(task=models.task, route=said, frozen=frozen, versions=versions)


def _version_response(version: ModelVersion, role: Role | None) -> VersionResponse:
    said = version.registration
    figures = version.card.get("figures")
    return VersionResponse(
        version=version.number,
        role=role,
        parent=said and said.parent,
        dataset=said and said.dataset,
        preprocess_version=said and said.preprocess_version,
        artifact=version.artifact,
        actor=said and said.actor,
        figures=figures if isinstance(figures, dict) else {},
    )

"""Responses of the command line and the HTTP API about a task's models."""

from typing import Any

from pydantic import BaseModel

from app.events.types import Role
from app.registry.registry import ModelVersion, TaskModels


class RouteResponse(BaseModel):
    """A route."""

    champion: str
    canary: str | None
    canary_share: float
    shadows: tuple[str, ...]


class VersionResponse(BaseModel):
    """One version."""

    version: str
    role: Role | None
    """Its role in the current route."""
    parent: str | None
    """The version that the training started from."""
    dataset: str | None
    """The content hash of the training dataset."""
    preprocess_version: str | None
    """The version of preprocessing whose features it takes; null of a shipped version."""
    artifact: str
    """The location of the ONNX file."""
    actor: str | None
    """The actor that registered it."""
    figures: dict[str, Any]
    """The figures in its card."""


class TaskModelsResponse(BaseModel):
    """The versions of a task's model, and its route."""

    task: str
    route: RouteResponse
    frozen: str | None
    """Why retraining and promotion are paused; null if they are not."""
    versions: list[VersionResponse]


def describe_models(models: TaskModels) -> TaskModelsResponse:
    """Return the models of a task. Raises `SetupError` if it has none."""
    route = models.route
    route_response = RouteResponse(
        champion=route.champion, canary=route.canary, canary_share=route.canary_share, shadows=route.shadows
    )
    versions = [_version_response(version, route.role(version.number)) for version in models.versions.values()]
    frozen = models.frozen and f"{models.frozen.reason} ({models.frozen.actor})"
    return TaskModelsResponse(task=models.task, route=route_response, frozen=frozen, versions=versions)


def _version_response(version: ModelVersion, role: Role | None) -> VersionResponse:
    registration = version.registration
    figures = version.card.get("figures")
    return VersionResponse(
        version=version.number,
        role=role,
        parent=registration and registration.parent,
        dataset=registration and registration.dataset,
        preprocess_version=version.preprocess_version,
        artifact=version.artifact,
        actor=registration and registration.actor,
        figures=figures if isinstance(figures, dict) else {},
    )

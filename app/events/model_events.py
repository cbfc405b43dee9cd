"""Events of a task's models: datasets, training, evaluation, registration and routes."""

import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from app.events.base import (
    Actor,
    Attribute,
    Count,
    EventData,
    FrozenModel,
    Location,
    ModelRef,
    Name,
    Reason,
    RunId,
    Share,
    TaskName,
    VersionNumber,
)

_VERSION_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


RouteAction = Literal["promote", "canary", "shadow", "rollback"]


class DatasetBuilt(EventData):
    """A dataset was replayed from the log."""

    type: ClassVar[str] = "hindsight.dataset.built.v1"
    task: TaskName
    content_hash: Name
    """The identity of the dataset: equal arguments give an equal hash."""
    location: Location
    """The location of its files."""
    rows: Count
    """The number of rows."""
    manifest: dict[str, Any]
    """The arguments and sources of the dataset."""
    run_id: RunId | None = None
    """The retraining run that the dataset was built for."""


class ModelTrained(EventData):
    """A candidate was trained on a dataset."""

    type: ClassVar[str] = "hindsight.model.trained.v1"
    task: TaskName
    run_id: RunId
    model: ModelRef
    """The candidate."""
    parent: VersionNumber | None
    """The version that training started from; null if it started from nothing."""
    dataset: Name
    """The content hash of the dataset."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    """The seed of the random numbers."""
    code: Attribute
    """The commit of the training code."""


class BacktestSpan(FrozenModel):
    """A span of a task's history: a version's predictions, compared with the served ones."""

    start: datetime | None = None
    """The time of the first request; null if there is none."""
    end: datetime | None = None
    """The time of the last request."""
    rows: Count
    """The number of served predictions that it was compared with."""
    unanswered: Count
    """The number of those requests for which the version makes no prediction."""
    agreement: float | None
    """The mean score of its predictions, with the served ones as the label; null if it makes no prediction."""
    outcomes: Count
    """The number of outcomes that both were scored on: selected with a known probability, and not in the training data.
    """
    score: float | None = None
    """Its mean score on these outcomes, weighted by inverse selection probability; null if there are none."""
    score_served: float | None = None
    """The mean score of the served predictions, computed in the same way."""


class Backtest(BacktestSpan):
    """The backtest over the whole history."""

    difference: float | None
    """Its mean score minus that of the served predictions; null for fewer than two outcomes."""
    interval: tuple[float, float] | None
    """The 95 % interval of the difference, of paired scores by entity."""
    spans: tuple[BacktestSpan, ...]
    """The history, divided into spans of equal length."""
    selected: Count | None = None
    """The number of predictions outside of the training data that the audit selected; null for older releases."""
    answered: Count | None = None
    """The number of these that are answered. Only those of the stretch of time with enough answers are in `outcomes`.
    """


class ModelBacktested(EventData):
    """A candidate was compared with the served predictions of the past."""

    type: ClassVar[str] = "hindsight.model.backtested.v1"
    task: TaskName
    run_id: RunId
    model: ModelRef
    """The candidate."""
    dataset: Name
    """The content hash of the dataset of that history."""
    backtest: Backtest
    """The result."""


class ModelEvaluated(EventData):
    """A candidate was evaluated on held-out outcomes, and passed the gate or not."""

    type: ClassVar[str] = "hindsight.model.evaluated.v1"
    task: TaskName
    run_id: RunId
    model: ModelRef
    """The candidate."""
    dataset: Name
    """The content hash of the dataset that it was evaluated on."""
    metrics: dict[str, float]
    """The measured figures."""
    passed: bool
    """Whether it may go on to shadow and canary."""
    reasons: tuple[Reason, ...] = ()
    """The reasons why it may not."""


def _check_version_number(model: ModelRef) -> ModelRef:
    if not _VERSION_NUMBER.fullmatch(model.version):
        raise ValueError(f"version {model.version[:20]!r} is not a number from 1 to 999999999")
    return model


class ModelRegistered(EventData):
    """A version is in the registry: its files and its origin, which never change, and its card."""

    type: ClassVar[str] = "hindsight.model.registered.v1"
    task: TaskName
    model: Annotated[ModelRef, AfterValidator(_check_version_number)]
    """The version."""
    artifact: Location
    """The location of its ONNX file, or of its manifest, whose files are blobs."""
    card: dict[str, Any]
    """The model card: data, settings, figures."""
    parent: VersionNumber | None = None
    """The version that training started from."""
    dataset: Name | None = None
    """The content hash of the dataset that it was trained on."""
    run_id: RunId | None = None
    """The retraining run that trained it."""
    candidate: Name | None = None
    """Its name in the other events of that run; null in events of older releases."""
    preprocess_version: Name
    """The version of the preprocessing whose features it reads."""
    code: Attribute | None = None
    """The commit of the training code."""
    actor: Actor | None = None
    """The person, or the part of the platform, that registered it."""


class ModelCardReplaced(EventData):
    """A version has another card, because its former one was wrong. Its files and its origin are as they were."""

    type: ClassVar[str] = "hindsight.model.card_replaced.v1"
    task: TaskName
    model: Annotated[ModelRef, AfterValidator(_check_version_number)]
    """The version."""
    card: dict[str, Any]
    """The model card: data, settings, figures."""
    actor: Actor | None = None
    """The person that replaced it."""


class RouteChanged(EventData):
    """The versions that serve a task change. Ignored unless the change that it follows is still the task's latest."""

    type: ClassVar[str] = "hindsight.route.changed.v1"
    task: TaskName
    action: RouteAction
    """The action that changed the route."""
    follows: Attribute | None = None
    """The `ce_id` of the route change that this one is based on; null for a task's first."""
    champion: VersionNumber
    """The version that answers."""
    replaced: VersionNumber | None = None
    """The previous champion, if it was another version."""
    canary: VersionNumber | None = None
    """The version that answers a share of the requests."""
    canary_share: Share = 0.0
    """The share of requests that the canary answers."""
    shadows: Annotated[tuple[VersionNumber, ...], Field(max_length=100)] = ()
    """The versions that predict without answering."""
    reason: Reason
    """The reason."""
    actor: Actor
    """The person, or the part of the platform, that changed the route."""
    run_id: RunId | None = None
    """The retraining run that the change belongs to."""

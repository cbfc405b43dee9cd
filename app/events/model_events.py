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
    """Its identity: the same arguments give the same hash."""
    location: Location
    """Where its files are."""
    rows: Count
    """How many rows it has."""
    manifest: dict[str, Any]
    """What it was made from."""
    run_id: RunId | None = None
    """The retraining run it was built for."""


class ModelTrained(EventData):
    """A candidate was fitted to a dataset."""

    type: ClassVar[str] = "hindsight.model.trained.v1"
    task: TaskName
    run_id: RunId
    model: ModelRef
    """The candidate."""
    parent: VersionNumber | None
    """The version that its fitting started from; null is from nothing."""
    dataset: Name
    """The dataset's content hash."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    """The seed of all that was random."""
    code: Attribute
    """The code that fitted it, by its commit."""


class BacktestSpan(FrozenModel):
    """What a version would have done in a span of a task's history, beside what was served."""

    start: datetime | None = None
    """Time of the first request; null without any."""
    end: datetime | None = None
    """Time of the last."""
    rows: Count
    """How many served predictions it was held against."""
    unanswered: Count
    """Of how many of these it makes no prediction."""
    agreement: float | None
    """The mean score of what it says, were what was served the truth; null where it says nothing."""
    outcomes: Count
    """How many outcomes both were scored on: selected with a known probability, and not learned from."""
    score: float | None = None
    """Its mean score on these, each weighted by the inverse of its selection probability; null without any."""
    score_served: float | None = None
    """That of what was served."""


class Backtest(BacktestSpan):
    """The whole history."""

    difference: float | None
    """By how much its mean score is above that of what was served; null for fewer than two outcomes."""
    interval: tuple[float, float] | None
    """The 95 % interval of the difference, by a paired bootstrap."""
    spans: tuple[BacktestSpan, ...]
    """The history in parts of equal length."""


class ModelBacktested(EventData):
    """What a candidate would have done in the past, beside what was served."""

    type: ClassVar[str] = "hindsight.model.backtested.v1"
    task: TaskName
    run_id: RunId
    model: ModelRef
    """The candidate."""
    dataset: Name
    """The content hash of the dataset that the history is of."""
    backtest: Backtest
    """What was found."""


class ModelEvaluated(EventData):
    """What a candidate is worth on held-out outcomes, and whether the gate lets it pass."""

    type: ClassVar[str] = "hindsight.model.evaluated.v1"
    task: TaskName
    run_id: RunId
    model: ModelRef
    """The candidate."""
    dataset: Name
    """The content hash of the dataset it was held against."""
    metrics: dict[str, float]
    """What was measured."""
    passed: bool
    """Whether it goes on to shadow and canary."""
    reasons: tuple[Reason, ...] = ()
    """What kept it back."""


def _check_version_number(model: ModelRef) -> ModelRef:
    if not _VERSION_NUMBER.fullmatch(model.version):
        raise ValueError(f"version {model.version[:20]!r} is no whole number from 1 on, of at most nine digits")
    return model


class ModelRegistered(EventData):
    """A version is in the registry, for ever the same: its ONNX file, its card and where it comes from."""

    type: ClassVar[str] = "hindsight.model.registered.v1"
    task: TaskName
    model: Annotated[ModelRef, AfterValidator(_check_version_number)]
    """The version."""
    artifact: Location
    """Where its ONNX file is."""
    card: dict[str, Any]
    """Its card: data, settings, figures."""
    parent: VersionNumber | None = None
    """The version that its fitting started from."""
    dataset: Name | None = None
    """The content hash of the dataset it was fitted to."""
    run_id: RunId | None = None
    """The retraining run it comes from."""
    preprocess_version: Name
    """The version of preprocessing whose features it takes."""
    code: Attribute | None = None
    """The code that fitted it, by its commit."""
    actor: Actor | None = None
    """Who registered it: a person, or a part of the platform."""


class RouteChanged(EventData):
    """Which versions serve a task from now on, if the change that it follows is still the last one."""

    type: ClassVar[str] = "hindsight.route.changed.v1"
    task: TaskName
    action: RouteAction
    """What was done."""
    follows: Attribute | None = None
    """The `ce_id` of the task's change that it was decided upon; null is the first one's."""
    champion: VersionNumber
    """The version that answers."""
    replaced: VersionNumber | None = None
    """The champion before, where it was another version."""
    canary: VersionNumber | None = None
    """The version that answers a share of the requests."""
    canary_share: Share = 0.0
    """That share."""
    shadows: Annotated[tuple[VersionNumber, ...], Field(max_length=100)] = ()
    """The versions that predict without answering."""
    reason: Reason
    """Why."""
    actor: Actor
    """Who did it: a person, or a part of the platform."""
    run_id: RunId | None = None
    """The retraining run it belongs to."""

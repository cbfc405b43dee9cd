"""The vocabulary: what is said on the topics. Each event type, its version and its data.

How an event is written in Kafka is said in `app.cloudevents`.
"""

import uuid
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.cloudevents import JSON, MAX_ATTRIBUTE, Event, Origin, Record
from app.topics import DEAD_LETTERS

MAX_REASON = 2000


def prediction_id(task: str, source: str, request_id: str) -> str:
    """The id of a request's one served prediction: `<task>:<uuid5(source, request id)>`."""
    return f"{task}:{uuid.uuid5(_namespace(source), request_id)}"


@lru_cache(maxsize=1024)
def _namespace(source: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, source)


def task_of(prediction: str) -> str:
    """The task that a prediction's id names. Raises ValueError."""
    task, _, unique = prediction.partition(":")
    try:
        known = bool(task) and str(uuid.UUID(unique)) == unique
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{prediction!r} is no prediction id: <task>:<uuid>")
    return task


class Data(BaseModel):
    """JSON data of an event type."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    type: ClassVar[str]

    def record(self, topic: str, key: bytes | None, **attributes: Any) -> Record:
        """This data as a record; `attributes` are those of `Event`."""
        event = Event(type=self.type, data=self.model_dump_json().encode(), content_type=JSON, **attributes)
        return Record(topic, key, event.data, event.headers())


class ModelRef(Data):
    """A model's logical name and version."""

    name: str
    version: str


class PredictionRequested:
    """A request: the payload itself is the value."""

    type: ClassVar[str] = "hindsight.prediction.requested.v1"


class FeaturesExtracted:
    """Features: tensors, as raw little-endian bytes one after the other (see `app.tensors`)."""

    type: ClassVar[str] = "hindsight.features.extracted.v1"


class PredictionMade(Data):
    """What a model says of a request. Times in milliseconds; `queued` is what the others leave of `total`."""

    type: ClassVar[str] = "hindsight.prediction.made.v1"
    prediction_id: str
    request_id: str
    task: str
    model: ModelRef
    role: Literal["champion", "canary", "shadow"]
    output: dict[str, Any]
    confidence: Annotated[float, Field(ge=0, le=1)]
    propensity: Annotated[float, Field(gt=0, le=1)]
    timings_ms: dict[Literal["queued", "preprocess", "inference", "total"], float]


def _sayable(reason: str) -> str:
    """A reason may quote what it is about: here it fits into a record, whatever that was."""
    return reason[:MAX_REASON].encode(errors="replace").decode()


class Failure(Data):
    """Why a request has no prediction."""

    stage: str
    code: str
    reason: Annotated[str, AfterValidator(_sayable)]


class PredictionFailed(Data):
    """The answer to a request that can't be predicted; `dead_letter` is the id of its record in `dead-letters`."""

    type: ClassVar[str] = "hindsight.prediction.failed.v1"
    prediction_id: str
    request_id: str
    task: str
    error: Failure
    dead_letter: str


class FeedbackGiven(Data):
    """What a person or an application says of a prediction: a correction, a reward, or that it was right."""

    type: ClassVar[str] = "hindsight.feedback.given.v1"
    prediction_id: Annotated[str, Field(max_length=200)] | None = None
    task: Annotated[str, Field(max_length=100)] | None = None
    request_id: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE)] | None = None
    request_source: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE)] | None = None
    correction: dict[str, Any] | None = None
    reward: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None
    accepted: bool | None = None
    actor: Annotated[str, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _says_something_of_one_prediction(self) -> Self:
        if self.correction is None and self.reward is None and self.accepted is None:
            raise ValueError("at least one of correction, reward and accepted is needed")
        if self.prediction_id is None and (self.task is None or self.request_id is None):
            raise ValueError("either prediction_id, or task and request_id, is needed")
        if self.prediction_id is not None and (self.request_id is not None or self.request_source is not None):
            raise ValueError("prediction_id and request_id exclude each other")
        if self.prediction_id is not None and task_of(self.prediction_id) != (self.task or task_of(self.prediction_id)):
            raise ValueError(f"prediction_id is not of task {self.task!r}")
        return self

    @property
    def about(self) -> tuple[str, str]:
        """The task and the key under which this feedback is published: the prediction's or the request's id."""
        if self.prediction_id is not None:
            return task_of(self.prediction_id), self.prediction_id
        assert self.task is not None and self.request_id is not None
        return self.task, prediction_id(
            self.task, self.request_source or f"kafka:{self.task}.requests", self.request_id
        )


class OutcomeRecorded(Data):
    """A prediction joined with all that is known of it; a later outcome of a prediction replaces the earlier ones.

    `label` is what would have been right, by the task's label rule, and `score` the output's score against it.
    `selection` says how the prediction came to be looked at, `selection_probability` how probable that was; it is
    unknown for volunteers.
    """

    type: ClassVar[str] = "hindsight.outcome.recorded.v1"
    prediction_id: str
    request_id: str
    request_source: str
    task: str
    model: ModelRef
    role: Literal["champion", "canary", "shadow"]
    output: dict[str, Any]
    confidence: Annotated[float, Field(ge=0, le=1)]
    propensity: Annotated[float, Field(gt=0, le=1)]
    label: dict[str, Any] | None = None
    actors: tuple[str, ...] = ()
    contradicted: bool = False
    accepted: bool | None = None
    reward: Annotated[float, Field(ge=-1, le=1)] | None = None
    reward_defaulted: bool = False
    score: float | None = None
    feedback: Annotated[int, Field(ge=0)] = 0
    selection: Literal["all", "audit", "volunteer"]
    selection_probability: Annotated[float, Field(gt=0, le=1)] | None = None


class DriftDetected(Data):
    """What comes in or goes out is no longer distributed as in the champion's training."""

    type: ClassVar[str] = "hindsight.drift.detected.v1"
    task: str
    model: ModelRef
    what: Literal["inputs", "outputs", "labels"]
    detector: str
    statistic: float
    threshold: float
    events: int


class QualityFell(Data):
    """The windowed score is below its bound, or significantly below its reference."""

    type: ClassVar[str] = "hindsight.quality.fell.v1"
    task: str
    model: ModelRef
    score: float
    interval: tuple[float, float]
    reference: float
    labelled: int
    coverage: Annotated[float, Field(ge=0, le=1)]


class LatencyRose(Data):
    """The 99th percentile of the time from request to answer is above its bound."""

    type: ClassVar[str] = "hindsight.latency.rose.v1"
    task: str
    p99_ms: float
    bound_ms: float
    events: int


class RetrainingTriggered(Data):
    """A run begins, and why."""

    type: ClassVar[str] = "hindsight.retraining.triggered.v1"
    task: str
    run_id: str
    trigger: Literal["volume", "quality", "drift", "latency", "schedule", "alert", "manual"]
    evidence: dict[str, Any]


class DatasetBuilt(Data):
    """A dataset was replayed from the log. `content_hash` is its identity, `manifest` what it was made from."""

    type: ClassVar[str] = "hindsight.dataset.built.v1"
    task: str
    content_hash: str
    location: str
    rows: Annotated[int, Field(ge=0)]
    manifest: dict[str, Any]
    run_id: str | None = None


class ModelTrained(Data):
    """A candidate was fitted to a dataset."""

    type: ClassVar[str] = "hindsight.model.trained.v1"
    task: str
    run_id: str
    model: ModelRef
    parent: str | None
    dataset: str
    seed: int
    code: str


class ModelEvaluated(Data):
    """What a candidate is worth on held-out outcomes, and whether the gate lets it pass."""

    type: ClassVar[str] = "hindsight.model.evaluated.v1"
    task: str
    run_id: str
    model: ModelRef
    dataset: str
    metrics: dict[str, float]
    passed: bool
    reasons: tuple[str, ...] = ()


class ModelRegistered(Data):
    """A version is in the registry, for ever the same: its ONNX file, its card and where it comes from."""

    type: ClassVar[str] = "hindsight.model.registered.v1"
    task: str
    model: ModelRef
    artifact: str
    card: dict[str, Any]
    parent: str | None = None
    dataset: str | None = None
    run_id: str | None = None
    preprocess_version: str
    code: str | None = None


class RouteChanged(Data):
    """Which versions serve a task from now on."""

    type: ClassVar[str] = "hindsight.route.changed.v1"
    task: str
    action: Literal["promote", "canary", "shadow", "rollback"]
    champion: str
    canary: str | None = None
    canary_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    shadows: tuple[str, ...] = ()
    reason: str
    actor: str
    run_id: str | None = None


class DataErased(Data):
    """An erasure is done. It says how much was erased and where, never what."""

    type: ClassVar[str] = "hindsight.data.erased.v1"
    erasure_id: str
    by: Literal["actor", "subject"]
    counts: dict[str, int]
    requested_by: str


class EventRejected:
    """A dead letter: the original key, value and headers, with `rejected_*` headers beside."""

    type: ClassVar[str] = "hindsight.event.rejected.v1"


def dead_letter(record: Record, origin: Origin, error: Failure, event: tuple[str, str]) -> tuple[str, Record]:
    """The dead letter of a record, and its id: the original key, value and headers, with `rejected_*` headers beside.

    `event` is the (source, id) that the record had or was given, so that a replay keeps its identity.
    """
    source, event_id = event
    reference = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{origin.id}/{error.stage}"))
    said = {
        "rejected_type": EventRejected.type,
        "rejected_id": reference,
        "rejected_stage": error.stage,
        "rejected_code": error.code,
        "rejected_reason": error.reason,
        "rejected_topic": origin.topic,
        "rejected_partition": str(origin.partition),
        "rejected_offset": str(origin.offset),
        "rejected_event_source": source,
        "rejected_event_id": event_id,
    }
    headers = (*record.headers, *((name, value.encode()) for name, value in said.items()))
    return reference, Record(DEAD_LETTERS, record.key, record.value, headers)

"""The vocabulary: what is said on the topics. Each event type, its version and its data.

How an event is written in Kafka is said in `app.events.cloudevents`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app.events.base import (
    Actor,
    Attribute,
    Count,
    EventData,
    FrozenModel,
    ModelRef,
    OpaqueEvent,
    Probability,
    Reason,
    Share,
    TaskName,
)
from app.events.cloudevents import MAX_ATTRIBUTE_LENGTH, TENSORS
from app.events.ids import prediction_id, task_of

_MAX_CODE_LENGTH = 100


PredictionId = Annotated[
    str, Field(max_length=200, description="The prediction, `<task>:<uuid>`; the task's one for its request.")
]
RequestId = Annotated[str, Field(max_length=MAX_ATTRIBUTE_LENGTH, description="The request's `ce_id`.")]
Role = Literal["champion", "canary", "shadow"]
_REQUEST_SOURCE_HEADER = {"ce_requestsource": "The request's `ce_source`."}
_IMPORT_HEADERS = {
    "ce_importsource": "Of what was imported: the URI of its source.",
    "ce_importrow": "Of what was imported: where it stood there, such as `labels.csv:17`.",
}


class PredictionRequested(OpaqueEvent):
    """A request: the value is the payload itself, or JSON with it in `data_base64`, or with its claim check in `uri`.

    Whatever headers the application leaves out are filled in.
    """

    type: ClassVar[str] = "hindsight.prediction.requested.v1"
    headers: ClassVar[Mapping[str, str]] = {
        "ce_batch": "The batch that answers it; the live platform does not.",
        **_IMPORT_HEADERS,
    }


class FeaturesExtracted(OpaqueEvent):
    """Features of a request: tensors, as raw little-endian bytes one after the other (see `models.tensors`)."""

    type: ClassVar[str] = "hindsight.features.extracted.v1"
    content_type: ClassVar[str | None] = TENSORS
    headers: ClassVar[Mapping[str, str]] = {
        "ce_requestid": "The request's `ce_id`.",
        **_REQUEST_SOURCE_HEADER,
        "ce_requestlogtime": "When the request came into the log, in milliseconds since 1970.",
        "ce_preprocessversion": "The version of the task's preprocessing.",
        "ce_preprocessms": "How long that took, in milliseconds.",
        "ce_tensors": 'The tensors, as JSON: `[{"name": "image", "dtype": "uint8", "shape": [24, 96]}]`.',
    }


class PredictionMade(EventData):
    """What a model says of a request."""

    type: ClassVar[str] = "hindsight.prediction.made.v1"
    headers: ClassVar[Mapping[str, str]] = _REQUEST_SOURCE_HEADER
    prediction_id: PredictionId
    request_id: RequestId
    task: TaskName
    model: ModelRef
    """The version that predicted."""
    role: Role
    """Whether it answers the application (champion, canary) or is only tried (shadow)."""
    output: dict[str, Any]
    """The prediction, of the shape that the task gives it."""
    confidence: Share
    """The calibrated probability of being right."""
    propensity: Probability
    """The probability with which the serving policy emits this output: 1 when it is the argmax."""
    timings_ms: dict[Literal["queued", "preprocess", "inference", "total"], float]
    """Times in milliseconds; `queued` is what the others leave of `total`."""
    inputs: dict[str, float] | None = None
    """What the request's features come to, by which drift is seen; null of what was predicted before there was this."""


def _bounded_code(code: str) -> str:
    """A task of one's own may name its codes as it likes: here they fit into a header."""
    return code[:_MAX_CODE_LENGTH].encode(errors="replace").decode()


class Failure(FrozenModel):
    """Why a request has no prediction."""

    stage: Annotated[str, AfterValidator(_bounded_code)]
    """The part of the platform that refused."""
    code: Annotated[str, AfterValidator(_bounded_code)]
    """The kind of reason, short and stable."""
    reason: Reason
    """What is wrong, and what would be right."""


class PredictionFailed(EventData):
    """The answer to a request that can't be predicted."""

    type: ClassVar[str] = "hindsight.prediction.failed.v1"
    headers: ClassVar[Mapping[str, str]] = _REQUEST_SOURCE_HEADER
    prediction_id: PredictionId
    request_id: RequestId
    task: TaskName
    error: Failure
    """Why."""
    model: ModelRef | None = None
    """The version that was asked; null where none was."""
    role: Role | None = None
    """In which role."""
    dead_letter: Attribute | None
    """The id of its record in `dead-letters`; null where there is none: of a skipped frame, and of a session so far."""


class FeedbackGiven(EventData):
    """What a person or an application says of a prediction: at least one of a correction, a reward, that it was right.

    It names the prediction by its id, or by its task and the request's id.
    """

    model_config = ConfigDict(strict=True)  # over HTTP as in Kafka: "false" is no bool
    type: ClassVar[str] = "hindsight.feedback.given.v1"
    headers: ClassVar[Mapping[str, str]] = _IMPORT_HEADERS
    prediction_id: Annotated[str, Field(max_length=200)] | None = None
    """The prediction."""
    task: TaskName | None = None
    """Its task."""
    request_id: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE_LENGTH)] | None = None
    """Its request's `ce_id`."""
    request_source: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE_LENGTH)] | None = None
    """Its request's `ce_source`; null is that of a request without one."""
    correction: dict[str, Any] | None = None
    """What would have been right, of the output's shape."""
    reward: Annotated[float, Field(ge=-1, le=1)] | None = None
    """How good it was."""
    accepted: bool | None = None
    """Whether it was right."""
    actor: Actor
    """Who says so."""

    @model_validator(mode="after")
    def _check_content(self) -> Self:
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
    def task_and_prediction(self) -> tuple[str, str]:
        """The task and the key under which this feedback is published: the prediction's or the request's id."""
        if self.prediction_id is not None:
            return task_of(self.prediction_id), self.prediction_id
        assert self.task is not None and self.request_id is not None
        return self.task, prediction_id(
            self.task, self.request_source or f"kafka:{self.task}.requests", self.request_id
        )


class OutcomeRecorded(EventData):
    """A prediction joined with all that is known of it; a later outcome of a prediction replaces the earlier ones."""

    type: ClassVar[str] = "hindsight.outcome.recorded.v1"
    prediction_id: PredictionId
    request_id: RequestId
    request_source: Attribute
    """The request's `ce_source`."""
    task: TaskName
    model: ModelRef
    """The version that predicted."""
    role: Role
    """As in the prediction."""
    output: dict[str, Any]
    """As in the prediction."""
    confidence: Share
    """As in the prediction."""
    propensity: Probability
    """As in the prediction."""
    label: dict[str, Any] | None = None
    """What would have been right, by the task's label rule."""
    actors: tuple[Actor, ...] = ()
    """Who gave feedback."""
    contradicted: bool = False
    """Whether actors correct it differently."""
    accepted: bool | None = None
    """Whether it was said to be right."""
    reward: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Its reward."""
    reward_defaulted: bool = False
    """Whether that is the default, as none came within the task's window."""
    score: float | None = None
    """The output's score against the label: 1 is perfect."""
    feedback: Count = 0
    """How many feedback events it has."""
    selection: Literal["all", "audit", "volunteer"]
    """How it came to be looked at."""
    selection_probability: Probability | None = None
    """How probable that was; null, unknown, for volunteers."""


class EventRejected(OpaqueEvent):
    """A dead letter: the original key, value and headers, with `rejected_*` headers beside."""

    type: ClassVar[str] = "hindsight.event.rejected.v1"
    headers: ClassVar[Mapping[str, str]] = {
        "rejected_type": "This event's type; the headers `ce_*` are the original's.",
        "rejected_id": "The dead letter.",
        "rejected_stage": "The part of the platform that refused.",
        "rejected_code": "The kind of reason, short and stable.",
        "rejected_reason": "What is wrong, and what would be right.",
        "rejected_topic": "The original's topic.",
        "rejected_partition": "The original's partition.",
        "rejected_offset": "The original's offset.",
        "rejected_event_source": "The original's `ce_source`, as it was or was filled in.",
        "rejected_event_id": "The original's `ce_id`, as it was or was filled in.",
    }

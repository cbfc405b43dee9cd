"""Event types of requests, features, predictions, feedback and outcomes; `app.events.cloudevents` has the envelope."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

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
from app.events.memory import InputDigest, MemoryAnswer, MemoryOutcome, NearKey
from app.events.prediction_reference import EventAttribute, PredictionReference
from app.events.preference import Preference

_MAX_CODE_LENGTH = 100
MAX_POSITIONS = 1000
"""Of a slate; a task may allow fewer."""


PredictionId = Annotated[
    str,
    Field(
        max_length=200,
        description="The prediction, `<task>:<uuid>`: the only one that the task serves for the request.",
    ),
]
RequestId = Annotated[str, Field(max_length=MAX_ATTRIBUTE_LENGTH, description="The request's `ce_id`.")]
RewardName = Annotated[str, Field(min_length=1, max_length=100)]
Role = Literal["champion", "canary", "shadow"]
ReviewQueue = Literal["audit", "uncertain"]
"""The queues of the review: a random sample, and the predictions with the lowest confidence."""
_REQUEST_SOURCE_HEADER = {"ce_requestsource": "The request's `ce_source`."}
_IMPORT_HEADERS = {
    "ce_importsource": "For imported data: the URI of its source.",
    "ce_importrow": "For imported data: the position in its source, such as `labels.csv:17`.",
}


class PredictionRequested(OpaqueEvent):
    """A request. The value is the payload itself, or JSON that carries it in `data_base64` or points to it by `uri`.

    Headers that the application leaves out are filled in.
    """

    type: ClassVar[str] = "hindsight.prediction.requested.v1"
    headers: ClassVar[Mapping[str, str]] = {
        "ce_batch": "The batch that answers this request; the live platform skips it.",
        **_IMPORT_HEADERS,
    }


class FeaturesExtracted(OpaqueEvent):
    """Features of a request: tensors as raw little-endian bytes, one after the other (see `models.tensors`)."""

    type: ClassVar[str] = "hindsight.features.extracted.v1"
    content_type: ClassVar[str | None] = TENSORS
    headers: ClassVar[Mapping[str, str]] = {
        "ce_requestid": "The request's `ce_id`.",
        **_REQUEST_SOURCE_HEADER,
        "ce_requestlogtime": "Time at which the request was appended to the log, in milliseconds since 1970.",
        "ce_preprocessversion": "The version of the task's preprocessing.",
        "ce_preprocessms": "Duration of preprocessing, in milliseconds.",
        "ce_tensors": 'The tensors, as JSON: `[{"name": "image", "dtype": "uint8", "shape": [24, 96]}]`.',
    }


class PredictionMade(EventData):
    """A model's prediction for a request."""

    type: ClassVar[str] = "hindsight.prediction.made.v1"
    headers: ClassVar[Mapping[str, str]] = _REQUEST_SOURCE_HEADER
    prediction_id: PredictionId
    request_id: RequestId
    task: TaskName
    model: ModelRef
    """The version that made the prediction."""
    role: Role
    """`champion` and `canary` answer the application; a `shadow` is only observed."""
    output: dict[str, Any]
    """The prediction, in the format of the task."""
    confidence: Share
    """The calibrated probability that the output is right."""
    propensity: Probability
    """The probability with which the serving policy emits this output; 1 for an argmax."""
    timings_ms: dict[Literal["queued", "preprocess", "inference", "total"], float]
    """Times in milliseconds; `queued` is the remainder of `total`."""
    inputs: dict[str, float] | None = None
    """Summary numbers of the request's features, used to detect drift; null for predictions of older releases."""
    input_digest: InputDigest | None = None
    """SHA-256 of the request's features: equal for equal inputs; null for a task without a memory of corrections."""
    near_key: NearKey | None = None
    """What copies of the request's input have nearly in common; null unless the memory answers near-repeats."""
    memory: MemoryAnswer | None = None
    """The remembered correction whose output, confidence and propensity these are; null if they are the model's."""

    def of_model(self) -> Self:
        """Return it with the output, confidence and propensity of the model, whatever was served."""
        own = {} if self.memory is None else self.memory.model_dump(include={"output", "confidence", "propensity"})
        return self.model_copy(update=own | {"memory": None})


def _bounded_code(code: str) -> str:
    """Cut a code to the length that fits into a header, because tasks may define their own."""
    return code[:_MAX_CODE_LENGTH].encode(errors="replace").decode()


class Failure(FrozenModel):
    """Why a request has no prediction."""

    stage: Annotated[str, AfterValidator(_bounded_code)]
    """The part of the platform that rejected it."""
    code: Annotated[str, AfterValidator(_bounded_code)]
    """The kind of reason: short and stable."""
    reason: Reason
    """The cause and the remedy."""


class PredictionFailed(EventData):
    """The answer to a request that cannot be predicted."""

    type: ClassVar[str] = "hindsight.prediction.failed.v1"
    headers: ClassVar[Mapping[str, str]] = _REQUEST_SOURCE_HEADER
    prediction_id: PredictionId
    request_id: RequestId
    task: TaskName
    error: Failure
    """The reason."""
    model: ModelRef | None = None
    """The version that was asked for the prediction; null if none was."""
    role: Role | None = None
    """The role of that version."""
    dead_letter: Attribute | None
    """The id of the request's record in `dead-letters`; null if there is none: for a skipped frame or a session in
    progress.
    """


class FeedbackGiven(PredictionReference):
    """Feedback on a prediction by a person or an application.

    It has at least one of correction, reward, acceptance and preference. It refers to the prediction by its id, or by
    task and request id.
    """

    type: ClassVar[str] = "hindsight.feedback.given.v1"
    headers: ClassVar[Mapping[str, str]] = _IMPORT_HEADERS
    correction: dict[str, Any] | None = None
    """The right output, in the same format as the prediction's."""
    reward: Annotated[float, Field(ge=-1, le=1)] | None = None
    """How good the prediction was, from -1 to 1."""
    reward_name: RewardName | None = None
    """What the reward measures, such as `click` or `purchase`, by the task's settings; null for the one reward."""
    position: Annotated[int, Field(ge=1, le=MAX_POSITIONS)] | None = None
    """The position in a slate that the reward is of, from 1; null for the whole output."""
    accepted: bool | None = None
    """Whether the prediction was right."""
    preference: Preference | None = None
    """Another output for the same request that is better, or worse, than the served one."""
    actor: Actor
    """The person or application that gives the feedback."""
    queue: ReviewQueue | None = None
    """The review queue that asked for this feedback; null if nobody asked, or if an older release wrote it."""
    blind: bool | None = None
    """Whether the actor answered before the model's output was shown; null if that is not known."""

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if all(content is None for content in (self.correction, self.reward, self.accepted, self.preference)):
            raise ValueError("at least one of correction, reward, accepted and preference is needed")
        for name in ("reward_name", "position"):
            if getattr(self, name) is not None and self.reward is None:
                raise ValueError(f"a {name} needs a reward")
        return self.check_reference()

    def validated(self, validate: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Self:
        """Return it with the outputs that it contains as `validate` returns them. Raises what that raises."""
        changed: dict[str, Any] = {}
        if self.correction is not None:
            changed["correction"] = validate(self.correction)
        if self.preference is not None:
            changed["preference"] = self.preference.model_copy(update={"output": validate(self.preference.output)})
        return self.model_copy(update=changed)


class FeedbackRetracted(PredictionReference):
    """The retraction of a feedback event by its own actor: it no longer counts, as if it had never been given.

    The actor's earlier and later feedback on the prediction counts. A retraction may arrive before its feedback, and
    more than once. It refers to the prediction as the feedback does, by its id, or by task and request id.
    """

    type: ClassVar[str] = "hindsight.feedback.retracted.v1"
    retracts: EventAttribute
    """The `ce_id` of the feedback."""
    retracts_source: EventAttribute | None = None
    """The `ce_source` of the feedback; null for any."""
    actor: Actor
    """The actor of the feedback: nobody else can retract it."""

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        return self.check_reference()

    def names(self, source: str, id: str, actor: str) -> bool:
        """Return whether it retracts the feedback with this identity and actor on the same prediction."""
        return (self.retracts, self.actor) == (id, actor) and self.retracts_source in (None, source)


class OutcomeRecorded(EventData):
    """A prediction joined with all of its feedback. Later outcomes of the same prediction replace the earlier ones.

    If a remembered correction was served, the output and what is said of it are the model's own all the same: `memory`
    has those of the correction.
    """

    type: ClassVar[str] = "hindsight.outcome.recorded.v1"
    prediction_id: PredictionId
    request_id: RequestId
    request_source: Attribute
    """The request's `ce_source`."""
    task: TaskName
    model: ModelRef
    """The version that made the prediction."""
    role: Role
    """The role of that version."""
    output: dict[str, Any]
    """The prediction's output."""
    confidence: Share
    """The prediction's confidence."""
    propensity: Probability
    """The prediction's propensity."""
    label: dict[str, Any] | None = None
    """The right output, by the task's label rule."""
    actors: tuple[Actor, ...] = ()
    """The actors who stand behind the label."""
    contradicted: bool = False
    """Whether actors contradict each other."""
    accepted: bool | None = None
    """Whether the prediction was accepted as right."""
    reward: Annotated[float, Field(ge=-1, le=1)] | None = None
    """The prediction's reward: the latest, or the weighted sum over names and positions, clipped to -1 to 1."""
    rewards: dict[RewardName, float] | None = None
    """The combined reward of each name, before its weight; null if no reward has a name."""
    position_rewards: tuple[float, ...] | None = None
    """The reward of each position of a slate up to the last that has one, else 0; null if no reward has a position."""
    reward_defaulted: bool = False
    """Whether the reward is the task's default, because none arrived within its window."""
    score: float | None = None
    """The score of the output against the label; 1 is perfect."""
    feedback: Count = 0
    """The number of feedback events that count."""
    retracted: Count = 0
    """The number of feedback events that were retracted."""
    preferences: tuple[Preference, ...] = ()
    """Other outputs that are better or worse, by the task's label rule for each of them."""
    selection: Literal["all", "audit", "volunteer"]
    """How the prediction was selected for review: as all are, by random audit, or by a volunteer."""
    selection_probability: Probability | None = None
    """The probability of that selection; null, because unknown, for volunteers."""
    audit_answered: bool | None = None
    """Whether the audit's queue asked for some of the feedback; null outside of the audit, and for older releases."""
    input_digest: InputDigest | None = None
    """The prediction's digest of its input."""
    near_key: NearKey | None = None
    """The prediction's near key of its input."""
    memory: MemoryOutcome | None = None
    """The remembered correction that was served instead of the output; null if the output was served."""


class EventRejected(OpaqueEvent):
    """A dead letter: the rejected record's key, value and headers, with `rejected_*` headers added."""

    type: ClassVar[str] = "hindsight.event.rejected.v1"
    headers: ClassVar[Mapping[str, str]] = {
        "rejected_type": "The type of this event; the `ce_*` headers are those of the rejected record.",
        "rejected_id": "The id of the dead letter.",
        "rejected_stage": "The part of the platform that rejected it.",
        "rejected_code": "The kind of reason: short and stable.",
        "rejected_reason": "The cause and the remedy.",
        "rejected_topic": "The topic of the rejected record.",
        "rejected_partition": "The partition of the rejected record.",
        "rejected_offset": "The offset of the rejected record.",
        "rejected_event_source": "The `ce_source` of the rejected record, as sent or as filled in.",
        "rejected_event_id": "The `ce_id` of the rejected record, as sent or as filled in.",
    }

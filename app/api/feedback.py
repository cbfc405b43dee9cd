"""`/v1/feedback`: feedback of people and applications on predictions, and its retraction."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from aiokafka.errors import MessageSizeTooLargeError
from fastapi import APIRouter, Body, Header, HTTPException, Path, Query, Request
from pydantic import AfterValidator

from app.api.errors import http_errors
from app.auth.scopes import AUTH_RESPONSES, ActorName, get_caller, require_scope, resolve_actor
from app.events.ids import PREDICTION_ID, task_of
from app.events.prediction_reference import EventAttribute
from app.events.types import FeedbackGiven, FeedbackRetracted
from app.kafka.resilient_producer import ResilientProducer
from app.services.feedback import FeedbackIndex, FeedbackResponse, publish_feedback
from app.settings import Settings
from app.tracing import TRACEPARENT_HEADER, valid_traceparent
from models.base import Rejected, Task

_EXAMPLE_ID = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"
EXAMPLES: dict[str, Any] = {
    "correction": {
        "summary": "The right output",
        "value": {"prediction_id": _EXAMPLE_ID, "correction": {"text": "123"}, "actor": "ada"},
    },
    "accepted": {"summary": "It was right", "value": {"prediction_id": _EXAMPLE_ID, "accepted": True, "actor": "ada"}},
    "reward": {
        "summary": "A reward, by the application's own request id",
        "value": {"task": "ocr", "request_id": "invoice-17", "request_source": "shop", "reward": 0.5, "actor": "shop"},
    },
    "named reward": {
        "summary": "One of several rewards, which the task's settings declare",
        "value": {
            "prediction_id": "decision:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11",
            "reward": 1.0,
            "reward_name": "click",
            "actor": "shop",
        },
    },
    "preference": {
        "summary": "Another output that is better than the served one",
        "value": {
            "prediction_id": _EXAMPLE_ID,
            "preference": {"output": {"text": "128"}, "better": True},
            "actor": "ada",
        },
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    **AUTH_RESPONSES,
    413: {"description": "The body is too large."},
    422: {
        "description": "The feedback is not valid; see the reason.",
        "content": {"application/json": {"example": {"detail": "reward: Input should be less than or equal to 1"}}},
    },
    503: {"description": "The broker did not confirm: try again after Retry-After, with the same Idempotency-Key."},
}


RETRACTION_RESPONSES: dict[int | str, dict[str, Any]] = {
    **AUTH_RESPONSES,
    403: {"description": "The key lacks the scope that the route needs, or the feedback is of another actor."},
    404: {"description": "No such feedback is recorded. New feedback is recorded a moment after its response."},
    409: {"description": "Several feedback events have the id: name the prediction and the actor."},
    422: {"description": "The retraction is not valid; see the reason."},
    503: {"description": "The broker did not confirm, or the catalog is unavailable: try again after Retry-After."},
}


def _check_prediction_id(prediction_id: str) -> str:
    task_of(prediction_id)
    return prediction_id


PredictionQuery = Annotated[
    Annotated[str, AfterValidator(_check_prediction_id)] | None,
    Query(
        description="The prediction of the feedback. It is needed only for feedback that is not recorded yet.",
        json_schema_extra={"pattern": f"^{PREDICTION_ID.pattern}$"},
    ),
]


class FeedbackRequest(FeedbackGiven):
    """Feedback on a prediction: at least one of `correction`, `reward`, `accepted` and `preference`.

    It names the prediction by its id, or by its task and the request's id.
    """

    actor: ActorName | None = None  # type: ignore[assignment]  # by default the event has the key's name


def router(
    settings: Settings, tasks: Mapping[str, Task], producer: ResilientProducer, index: FeedbackIndex
) -> APIRouter:
    """Return the routes for these tasks."""
    routes = APIRouter(tags=["feedback"], dependencies=[require_scope("feedback")])

    @routes.post("/v1/feedback", status_code=202, responses=RESPONSES)
    async def give_feedback(
        request: Request,
        body: Annotated[FeedbackRequest, Body(openapi_examples=EXAMPLES)],
        idempotency_key: Annotated[
            str | None,
            Header(
                max_length=200,
                pattern="^[!-~]+$",
                description="A UUID of yours that becomes the event's id: feedback that is sent again counts once.",
            ),
        ] = None,
    ) -> FeedbackResponse:
        """Publish feedback; the response comes after the broker's confirmation.

        Without an `actor` the feedback is attributed to the key's name. The event gets the request's `traceparent`.
        """
        event = FeedbackGiven.model_validate(body.model_dump() | {"actor": resolve_actor(request, body.actor)})
        trace = valid_traceparent(request.headers.get(TRACEPARENT_HEADER))
        with _feedback_errors():
            _check_reward_name(settings, event)
            response = await publish_feedback(event, tasks, producer, idempotency_key, trace)
        index.add(response.id, response.prediction_id, event.actor)
        return response

    @routes.delete("/v1/feedback/{feedback_id:path}", status_code=202, responses=RETRACTION_RESPONSES)
    async def retract_feedback(
        request: Request,
        feedback_id: Annotated[EventAttribute, Path(description="The id in the response to the feedback.")],
        prediction_id: PredictionQuery = None,
        actor: Annotated[ActorName | None, Query()] = None,
    ) -> FeedbackResponse:
        """Publish the retraction of feedback, which then no longer counts; return the id of that event.

        Only the actor of the feedback can retract it: `actor`, or without one the key's name. A caller without a name,
        such as the operator on the platform's own machine, retracts in the name of its actor. Retracting again changes
        nothing.
        """
        trace = valid_traceparent(request.headers.get(TRACEPARENT_HEADER))
        with _feedback_errors():
            references = await index.find(feedback_id)
            reference = _choose_reference(
                references, feedback_id, prediction_id, actor or get_caller(request.scope).name
            )
            retraction = FeedbackRetracted(prediction_id=reference[0], actor=reference[1], retracts=feedback_id)
            return await publish_feedback(retraction, tasks, producer, trace=trace)

    return routes


def _check_reward_name(settings: Settings, feedback: FeedbackGiven) -> None:
    """Raise `Rejected` for a named reward that the settings do not declare: it would be recorded, but not count."""
    task, _ = feedback.task_and_prediction
    declared = settings.for_task(task).rewards
    if feedback.reward_name is not None and feedback.reward_name not in declared:
        names = ", ".join(map(repr, sorted(declared))) or "none"
        raise Rejected(
            "unknown_reward",
            f"reward_name: {feedback.reward_name!r} is not a reward of {task}, which declares {names}."
            f" Declare it in the task's `rewards` in HINDSIGHT_TASK_SETTINGS.",
        )


def _choose_reference(
    references: Collection[tuple[str, str]], feedback_id: str, prediction_id: str | None, actor: str | None
) -> tuple[str, str]:
    """Return the prediction and the actor of the feedback to retract. Raises HTTPException."""
    of_prediction = [found for found in references if prediction_id in (None, found[0])]
    own = [found for found in of_prediction if actor in (None, found[1])]
    if len(own) == 1:
        return own[0]
    if own:
        raise HTTPException(
            409, f"{len(own)} feedback events have the id {feedback_id!r}: name `prediction_id`, `actor`"
        )
    if of_prediction:
        raise HTTPException(
            403, f"the feedback {feedback_id!r} is not of {actor!r}, and only its own `actor` can retract it"
        )
    if prediction_id is None or actor is None:
        reason = "either it is not recorded yet (that takes a moment), or the id is wrong"
        raise HTTPException(
            404, f"no feedback {feedback_id!r} is recorded: {reason}. Try again, or name `prediction_id` and `actor`"
        )
    return prediction_id, actor  # the retraction may come before the feedback


@contextmanager
def _feedback_errors() -> Iterator[None]:
    """Turn invalid feedback into 422, too large feedback into 413, and other errors into what `http_errors` does."""
    with http_errors():
        try:
            yield
        except Rejected as error:
            raise HTTPException(422, str(error)) from None
        except MessageSizeTooLargeError:
            raise HTTPException(413, "the feedback is too large for a Kafka message") from None

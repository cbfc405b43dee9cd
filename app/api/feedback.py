"""`POST /v1/feedback`: feedback of people and applications on predictions."""

from collections.abc import Mapping
from typing import Annotated, Any

from aiokafka.errors import MessageSizeTooLargeError
from fastapi import APIRouter, Body, Header, HTTPException, Request

from app.auth.scopes import AUTH_RESPONSES, ActorName, require_scope, resolve_actor
from app.errors import Unconfirmed
from app.events.types import FeedbackGiven
from app.kafka.resilient_producer import ResilientProducer
from app.services.feedback import FeedbackResponse, publish_feedback
from app.tracing import TRACEPARENT_HEADER, valid_traceparent
from models.base import Rejected, Task

RETRY_AFTER = "2"

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


class FeedbackRequest(FeedbackGiven):
    """Feedback on a prediction: at least one of `correction`, `reward` and `accepted`.

    It names the prediction by its id, or by its task and the request's id.
    """

    actor: ActorName | None = None  # type: ignore[assignment]  # by default the event has the key's name


def router(tasks: Mapping[str, Task], producer: ResilientProducer) -> APIRouter:
    """Return the route for these tasks."""
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
        try:
            return await publish_feedback(event, tasks, producer, idempotency_key, trace)
        except Rejected as error:
            raise HTTPException(422, str(error)) from None
        except MessageSizeTooLargeError:
            raise HTTPException(413, "the feedback is too large for a Kafka message") from None
        except Unconfirmed as error:
            raise HTTPException(503, str(error), {"Retry-After": RETRY_AFTER}) from None

    return routes

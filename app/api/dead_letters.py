"""`/v1/dead-letters`: list, read and redeliver records that could not be processed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field

from app.api import path_convertor
from app.api.errors import http_errors
from app.api.timestamps import Timestamp
from app.auth.scopes import AUTH_RESPONSES, REQUIRE_OPERATE, REQUIRE_READ
from app.dead_letters.async_store import AsyncDeadLetterStore, DeadLetterNotFound
from app.dead_letters.letter import DeadLetterFilter, to_detailed_json, to_json
from models.base import Rejected

path_convertor.register()
MAX_LISTED = 100
_BINARY_TYPE = "application/octet-stream"

RESPONSES: dict[int | str, dict[str, Any]] = {
    **AUTH_RESPONSES,
    404: {"description": "There is no such dead letter."},
    409: {"description": "The dead letter can't be redelivered, or the archive can't be read; see the reason."},
    503: {"description": "The broker is unavailable: try again after Retry-After."},
}

ShortText = Annotated[str | None, Query(max_length=200)]


class DeadLetterSummary(BaseModel):
    """A dead letter: its stage and reason, the position of its record, and its event's `source` and `event_id`."""

    id: str
    logged: datetime
    stage: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    source: str
    event_id: str
    replayed: Annotated[int | None, Field(description="Number of redeliveries; null if that is not recorded.")]


class DeadLetterDetails(DeadLetterSummary):
    """A dead letter with its record. Bytes that are not text are in hexadecimal digits."""

    key: str | None
    headers: list[tuple[str, str | None]]
    bytes: int
    payload: Annotated[str | None, Field(description="The beginning; `/payload` has all of it.")]


class DeadLettersPage(BaseModel):
    """Dead letters, newest first. Pass `next` as `before` to get the next page."""

    dead_letters: list[DeadLetterSummary]
    next: str | None


class RedeliveryResponse(BaseModel):
    """The redelivered dead letters, in order: earlier feedback on the same prediction is redelivered first."""

    dead_letters: list[str]
    refused: Annotated[dict[str, str], Field(description="Those that the broker refused, with the reason.")]


def router(dead_letters: AsyncDeadLetterStore) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"], responses=RESPONSES)

    @routes.get("", dependencies=REQUIRE_READ)
    async def list_dead_letters(
        stage: ShortText = None,
        code: ShortText = None,
        task: ShortText = None,
        since: Timestamp | None = None,
        before: ShortText = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = MAX_LISTED,
    ) -> DeadLettersPage:
        """Return the dead letters that match all filters, newest first."""
        letter_filter = DeadLetterFilter(stage=stage, code=code, task=task, since=since)
        with _http_errors():
            letters, more = await dead_letters.page(letter_filter, limit, before)
        return DeadLettersPage(
            dead_letters=[DeadLetterSummary.model_validate(to_json(letter)) for letter in letters],
            next=letters[-1].id if more else None,
        )

    @routes.get("/{letter_id:part}", dependencies=REQUIRE_READ)
    async def read_dead_letter(letter_id: str) -> DeadLetterDetails:
        """Return a dead letter with its record's key and headers, and the beginning of the payload."""
        with _http_errors():
            return DeadLetterDetails.model_validate(to_detailed_json(*await dead_letters.read(letter_id)))

    @routes.get(
        "/{letter_id:part}/payload",
        dependencies=REQUIRE_READ,
        response_class=Response,
        responses={200: {"content": {_BINARY_TYPE: {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def read_dead_letter_payload(letter_id: str) -> Response:
        """Return the record's value, byte for byte. Browsers only download it, because it may be anything."""
        with _http_errors():
            _, original = await dead_letters.read(letter_id)
        return Response(
            original.value or b"",
            media_type=_BINARY_TYPE,
            headers={
                "X-Content-Type-Options": "nosniff",
                "Content-Disposition": 'attachment; filename="dead-letter.bin"',
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "no-store",
            },
        )

    @routes.post("/{letter_id:part}:replay", dependencies=REQUIRE_OPERATE)
    async def redeliver_dead_letter(
        letter_id: str, again: Annotated[bool, Query(description="Even if it was redelivered before.")] = False
    ) -> RedeliveryResponse:
        """Publish the record again, unchanged, to its original topic."""
        with _http_errors():
            letters, result = await dead_letters.redeliver(letter_id, again)
        return RedeliveryResponse(dead_letters=[letter.id for letter in letters], refused=dict(result.refused))

    return routes


@contextmanager
def _http_errors() -> Iterator[None]:
    try:
        with http_errors():
            yield
    except DeadLetterNotFound as error:
        raise HTTPException(404, str(error)) from None
    except Rejected as error:
        raise HTTPException(409, f"the payload can't be read: {error}") from None

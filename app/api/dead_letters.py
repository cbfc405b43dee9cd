"""`/v1/dead-letters`: what could not be processed, why, and its way back."""

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
    409: {"description": "It can't be done, or the archive can't be read; the reason says what to do."},
    503: {"description": "The broker is away: try again after Retry-After."},
}

ShortText = Annotated[str | None, Query(max_length=200)]


class DeadLetterSummary(BaseModel):
    """A dead letter: at which stage and why, where its record was, and whose event (`source`, `event_id`) it is."""

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
    replayed: Annotated[int | None, Field(description="How often it went back; null where that is not kept.")]


class DeadLetterDetails(DeadLetterSummary):
    """A dead letter with its record; what is no text is in hexadecimal digits."""

    key: str | None
    headers: list[tuple[str, str | None]]
    bytes: int
    payload: Annotated[str | None, Field(description="Its beginning; all of it is at `/payload`.")]


class DeadLettersPage(BaseModel):
    """The newest first; `next` is what the next page is asked for by, as `before`."""

    dead_letters: list[DeadLetterSummary]
    next: str | None


class RedeliveryResponse(BaseModel):
    """What was published again, in this order: earlier feedback on the same prediction goes back first."""

    dead_letters: list[str]
    refused: Annotated[dict[str, str], Field(description="Those of them that the broker refused, and why.")]


def router(dead_letters: AsyncDeadLetterStore) -> APIRouter:
    """The routes, to these dead letters."""
    routes = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"], responses=RESPONSES)

    @routes.get("", dependencies=REQUIRE_READ)
    async def list_letters(
        stage: ShortText = None,
        code: ShortText = None,
        task: ShortText = None,
        since: Timestamp | None = None,
        before: ShortText = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = MAX_LISTED,
    ) -> DeadLettersPage:
        """Those of which all of this is true, the newest first."""
        wanted = DeadLetterFilter(stage=stage, code=code, task=task, since=since)
        with _http_errors():
            found, more = await dead_letters.page(wanted, limit, before)
        return DeadLettersPage(
            dead_letters=[DeadLetterSummary.model_validate(to_json(one)) for one in found],
            next=found[-1].id if more else None,
        )

    @routes.get("/{letter_id:part}", dependencies=REQUIRE_READ)
    async def show_letter(letter_id: str) -> DeadLetterDetails:
        """A letter, with the original's key and headers, and how its payload begins."""
        with _http_errors():
            return DeadLetterDetails.model_validate(to_detailed_json(*await dead_letters.read(letter_id)))

    @routes.get(
        "/{letter_id:part}/payload",
        dependencies=REQUIRE_READ,
        response_class=Response,
        responses={200: {"content": {_BINARY_TYPE: {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def read_letter(letter_id: str) -> Response:
        """The original's value, byte by byte: never to be shown by a browser, for it may be anything."""
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
    async def replay_letter(
        letter_id: str, again: Annotated[bool, Query(description="Even if it went back before.")] = False
    ) -> RedeliveryResponse:
        """Publishes it once more, as it was, to the topic that it came from."""
        with _http_errors():
            letters, done = await dead_letters.redeliver(letter_id, again)
        return RedeliveryResponse(dead_letters=[one.id for one in letters], refused=dict(done.refused))

    return routes


@contextmanager
def _http_errors() -> Iterator[None]:
    try:
        with http_errors():
            yield
    except DeadLetterNotFound as error:
        raise HTTPException(404, str(error)) from None
    except Rejected as error:
        raise HTTPException(409, f"the payload can't be had: {error}") from None

"""`/v1/dead-letters`: what could not be processed, why, and its way back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field

from app.api import path_convertor
from app.api.errors import refusals
from app.api.timestamps import Instant
from app.auth.scopes import OPERATE, READ, UNKNOWN
from app.dead_letters.async_store import Letterbox, NoLetter
from app.dead_letters.letter import Wanted, described, shown
from models.base import Rejected

path_convertor.register()
MOST_LISTED = 100
_BYTES = "application/octet-stream"

AWAY: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    404: {"description": "There is no such dead letter."},
    409: {"description": "It can't be done, or the archive can't be read; the reason says what to do."},
    503: {"description": "The broker is away: try again after Retry-After."},
}

Text = Annotated[str | None, Query(max_length=200)]


class LetterDescribed(BaseModel):
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


class LetterShown(LetterDescribed):
    """A dead letter with its record; what is no text is in hexadecimal digits."""

    key: str | None
    headers: list[tuple[str, str | None]]
    bytes: int
    payload: Annotated[str | None, Field(description="Its beginning; all of it is at `/payload`.")]


class LettersPage(BaseModel):
    """The newest first; `next` is what the next page is asked for by, as `before`."""

    dead_letters: list[LetterDescribed]
    next: str | None


class LettersReplayed(BaseModel):
    """What was published again, in this order: earlier feedback on the same prediction goes back first."""

    dead_letters: list[str]
    refused: Annotated[dict[str, str], Field(description="Those of them that the broker refused, and why.")]


def router(letterbox: Letterbox) -> APIRouter:
    """The routes, to these dead letters."""
    routes = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"], responses=AWAY)

    @routes.get("", dependencies=READ)
    async def list_letters(
        stage: Text = None,
        code: Text = None,
        task: Text = None,
        since: Instant | None = None,
        before: Text = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED,
    ) -> LettersPage:
        """Those of which all of this is true, the newest first."""
        wanted = Wanted(stage=stage, code=code, task=task, since=since)
        with _refusals():
            found, more = await letterbox.page(wanted, limit, before)
        return LettersPage(
            dead_letters=[LetterDescribed.model_validate(described(one)) for one in found],
            next=found[-1].id if more else None,
        )

    @routes.get("/{letter_id:part}", dependencies=READ)
    async def show_letter(letter_id: str) -> LetterShown:
        """A letter, with the original's key and headers, and how its payload begins."""
        with _refusals():
            return LetterShown.model_validate(shown(*await letterbox.read(letter_id)))

    @routes.get(
        "/{letter_id:part}/payload",
        dependencies=READ,
        response_class=Response,
        responses={200: {"content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def read_letter(letter_id: str) -> Response:
        """The original's value, byte by byte: never to be shown by a browser, for it may be anything."""
        with _refusals():
            _, original = await letterbox.read(letter_id)
        return Response(
            original.value or b"",
            media_type=_BYTES,
            headers={
                "X-Content-Type-Options": "nosniff",
                "Content-Disposition": 'attachment; filename="dead-letter.bin"',
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "no-store",
            },
        )

    @routes.post("/{letter_id:part}:replay", dependencies=OPERATE)
    async def replay_letter(
        letter_id: str, again: Annotated[bool, Query(description="Even if it went back before.")] = False
    ) -> LettersReplayed:
        """Publishes it once more, as it was, to the topic that it came from."""
        with _refusals():
            letters, done = await letterbox.replay(letter_id, again)
        return LettersReplayed(dead_letters=[one.id for one in letters], refused=dict(done.refused))

    return routes


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        with refusals():
            yield
    except NoLetter as error:
        raise HTTPException(404, str(error)) from None
    except Rejected as error:
        raise HTTPException(409, f"the payload can't be had: {error}") from None

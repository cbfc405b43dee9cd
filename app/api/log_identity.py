"""`/v1/log`: which log the API reads and writes."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.errors import http_errors
from app.auth.scopes import AUTH_RESPONSES, REQUIRE_READ
from app.events import topics
from app.kafka.topic_ids import fetch_topic_ids
from app.settings import Settings

RESPONSES: dict[int | str, dict[str, Any]] = {
    **AUTH_RESPONSES,
    503: {"description": "The broker is unavailable: try again after Retry-After."},
}


class LogResponse(BaseModel):
    """The log's identity: no other platform has it, nor this one after its log was deleted."""

    id: str


def router(settings: Settings) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["health"])

    @routes.get("/v1/log", responses=RESPONSES, dependencies=REQUIRE_READ)
    async def identify_log() -> LogResponse:
        """Return the id of the log. A client with a broker of its own can check that it is the same platform's."""
        with http_errors():
            ids = await fetch_topic_ids(settings, [topics.LIFECYCLE])
        return LogResponse(id=ids[topics.LIFECYCLE])

    return routes

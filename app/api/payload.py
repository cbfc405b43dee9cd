"""`GET /v1/predictions/{id}/payload`: the bytes of the request that a prediction answers."""

from typing import Any

from fastapi import APIRouter, HTTPException, Response

from app.api.errors import http_errors
from app.api.predictions import PredictionId
from app.auth.scopes import AUTH_RESPONSES, require_scope
from app.services.payloads import INLINE_TYPES, OCTET_STREAM, PayloadNotFound, PayloadReader

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}}},
    **AUTH_RESPONSES,
    404: {"description": "No such prediction is recorded, or its request is gone; the reason says which."},
    409: {"description": "The archive can't be read; the reason says what to do."},
    422: {"description": "That is no prediction's id."},
    503: {"description": "A part of the platform that is needed is away: try again after Retry-After."},
}


def router(payloads: PayloadReader) -> APIRouter:
    """The route, to these payloads."""
    routes = APIRouter(tags=["predictions"], dependencies=[require_scope("read")])

    @routes.get("/v1/predictions/{prediction_id}/payload", responses=RESPONSES, response_class=Response)
    async def read_payload(prediction_id: PredictionId) -> Response:
        """The bytes of the request, taken out of their envelope or from blob storage; a session's are put together."""
        try:
            with http_errors():
                found = await payloads.read(prediction_id)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        except PayloadNotFound as error:
            raise HTTPException(404, str(error)) from None
        shown = "inline" if found.media_type in INLINE_TYPES else "attachment"
        return Response(
            found.content,
            media_type=found.media_type,
            headers={
                "X-Content-Type-Options": "nosniff",
                "Content-Disposition": f'{shown}; filename="{found.name}"',
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "no-store",  # what is erased is gone
            },
        )

    return routes

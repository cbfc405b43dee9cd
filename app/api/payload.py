"""`GET /v1/predictions/{id}/payload`: the payload of a prediction's request."""

from typing import Any

from fastapi import APIRouter, HTTPException, Response

from app.api.errors import http_errors
from app.api.predictions import PredictionId
from app.auth.scopes import AUTH_RESPONSES, require_scope
from app.services.payloads import INLINE_TYPES, OCTET_STREAM, PayloadNotFound, PayloadReader

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}}},
    **AUTH_RESPONSES,
    404: {"description": "No such prediction is recorded, or its request is gone; see the reason."},
    409: {"description": "The archive can't be read; see the reason and its remedy."},
    422: {"description": "The id is not a valid prediction id."},
    503: {"description": "Kafka, the database or the storage is unavailable: try again after Retry-After."},
}

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-store",  # an erased payload must not live on in caches
}
"""Headers of every answer with a stranger's payload."""


def router(payloads: PayloadReader) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["predictions"], dependencies=[require_scope("read")])

    @routes.get("/v1/predictions/{prediction_id}/payload", responses=RESPONSES, response_class=Response)
    async def read_payload(prediction_id: PredictionId) -> Response:
        """Return the request's payload, taken from its envelope or blob storage. A session's chunks are assembled."""
        try:
            with http_errors():
                payload = await payloads.read(prediction_id)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        except PayloadNotFound as error:
            raise HTTPException(404, str(error)) from None
        disposition = "inline" if payload.media_type in INLINE_TYPES else "attachment"
        return Response(
            payload.content,
            media_type=payload.media_type,
            headers={
                **SAFE_HEADERS,
                "Content-Disposition": f'{disposition}; filename="{payload.name}"',
            },
        )

    return routes

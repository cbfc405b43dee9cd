"""`GET /v1/predictions/{id}/pages/{page}`: a page of a prediction's payload, as a picture that browsers show."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Response

from app.api import payload
from app.api.errors import http_errors
from app.api.predictions import PredictionId
from app.auth.scopes import require_scope
from app.services.page_previews import PagePreviews
from app.services.payloads import PayloadNotFound
from models.base import Rejected
from models.vision.previews import MAX_PIXELS

_JPEG = "image/jpeg"
_SIZE = {"schema": {"type": "number"}, "description": "As the page is displayed, the unit of places in an output."}
RESPONSES: dict[int | str, dict[str, Any]] = {
    **payload.RESPONSES,
    200: {
        "content": {_JPEG: {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            "X-Page-Count": {"schema": {"type": "integer"}},
            "X-Page-Width": _SIZE,
            "X-Page-Height": _SIZE,
        },
    },
    404: {"description": "No such prediction is recorded, its request is gone, or has no such page; see the reason."},
    422: {"description": "The id is not a valid prediction id, or the payload can't be shown; see the reason."},
}
MaxPixels = Annotated[int, Query(ge=1_000, le=MAX_PIXELS, description="A larger page is made smaller.")]


def router(previews: PagePreviews) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["predictions"], dependencies=[require_scope("read")])

    @routes.get("/v1/predictions/{prediction_id}/pages/{page}", responses=RESPONSES, response_class=Response)
    async def read_page(
        prediction_id: PredictionId, page: Annotated[int, Path(ge=0)], max_pixels: MaxPixels = MAX_PIXELS
    ) -> Response:
        """Return a page of the request's payload, counted from 0: of a PDF, a TIFF or a picture of any known format."""
        try:
            with http_errors():
                preview = await previews.read(prediction_id, page, max_pixels)
        except Rejected as error:
            raise HTTPException(404 if error.code == "no_such_page" else 422, str(error)) from None
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        except PayloadNotFound as error:
            raise HTTPException(404, str(error)) from None
        return Response(
            preview.jpeg,
            media_type=_JPEG,
            headers={
                **payload.SAFE_HEADERS,
                "X-Page-Count": str(preview.pages),
                "X-Page-Width": f"{preview.width:g}",
                "X-Page-Height": f"{preview.height:g}",
            },
        )

    return routes

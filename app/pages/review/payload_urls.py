"""Where the browser finds a payload under review."""

import base64
from urllib.parse import quote

from app.pages.review.review_session import ReviewItem
from app.pages.widgets import PictureSource

_MAX_INLINE_BYTES = 1024 * 1024
"""Payloads up to this size are part of the page; the browser fetches larger ones."""
_THUMBNAIL_PIXELS = 100_000


def payload_url(item: ReviewItem) -> str:
    """Return the URL of the payload for the browser."""
    payload = item.payload
    assert payload is not None
    if len(payload.content) > _MAX_INLINE_BYTES:
        return _prediction_url(item.prediction_id, "payload")
    return f"data:{payload.media_type};base64,{base64.b64encode(payload.content).decode()}"


def picture_source(item: ReviewItem) -> PictureSource:
    """Return where the browser finds the picture, or the drawn pages, of a payload."""
    assert item.payload is not None
    if item.payload.display == "pages":
        return {"pages": pages_url(item.prediction_id)}
    return {"src": payload_url(item)}


def pages_url(prediction_id: str) -> str:
    """Return the path of the drawn pages of a payload, which their numbers follow."""
    return _prediction_url(prediction_id, "pages")


def thumbnail_url(prediction_id: str) -> str:
    """Return the URL of a small picture of the payload's first page."""
    return f"{pages_url(prediction_id)}/0?max_pixels={_THUMBNAIL_PIXELS}"


def _prediction_url(prediction_id: str, part: str) -> str:
    return f"/v1/predictions/{quote(prediction_id, safe='')}/{part}"

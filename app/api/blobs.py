"""`POST /v1/blobs`: payloads too large for Kafka."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from app.auth.scopes import AUTH_RESPONSES, require_scope
from app.storage.blobs import BlobQuota, StorageUnavailable

PATH = "/v1/blobs"
_CHUNK_BYTES = 256 * 1024
_BINARY_CONTENT = {"schema": {"type": "string", "format": "binary"}}
_FORM_CONTENT = {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY_CONTENT["schema"]}}}
REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The payload, or a form with one file.",
        "content": {"application/octet-stream": _BINARY_CONTENT, "multipart/form-data": _FORM_CONTENT},
    }
}


class StoredBlob(BaseModel):
    """The address of the payload. Send `{"uri": ...}` as the request instead of the payload."""

    uri: str
    size: int
    sha256: str


def router(store: BlobQuota, max_bytes: int) -> APIRouter:
    """Return the route for this storage."""
    routes = APIRouter(tags=["blobs"], dependencies=[require_scope("feedback")])

    @routes.post(
        PATH,
        status_code=201,
        openapi_extra=REQUEST_BODY,
        responses={
            **AUTH_RESPONSES,
            413: {"description": "The payload is too large."},
            422: {"description": "The payload is empty."},
            503: {"description": "The storage is unavailable."},
            507: {"description": "The storage is full, or can't be written."},
        },
    )
    async def put_blob(request: Request) -> StoredBlob:
        """Store the payload. Equal payloads have the same URI."""
        try:
            with await asyncio.to_thread(store.writer) as writer:
                async for chunk in _read_payload(request):
                    if writer.size + len(chunk) > max_bytes:
                        raise HTTPException(413, f"the payload is too large: at most {max_bytes} bytes")
                    writer.write(chunk)
                if not writer.size:
                    raise HTTPException(422, "the payload is empty")
                uri = await asyncio.to_thread(writer.commit)
        except StorageUnavailable as error:
            raise HTTPException(503, f"the blob storage is unavailable: {error}") from error
        except OSError as error:
            raise HTTPException(507, f"the blob storage can't be written: {error.strerror}") from error
        return StoredBlob(uri=uri, size=writer.size, sha256=uri.rpartition("/")[2])

    return routes


async def _read_payload(request: Request) -> AsyncIterator[bytes]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        async for chunk in request.stream():
            yield chunk
        return
    async with request.form(max_files=1) as form:
        for file in form.values():
            while isinstance(file, UploadFile) and (chunk := await file.read(_CHUNK_BYTES)):
                yield chunk

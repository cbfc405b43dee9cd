"""The FastAPI application, put together."""

import asyncio
import ipaddress
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from app import tasks
from app.api import blobs, feedback, health, models, payload, predictions, retraining
from app.api.guard import ApiKey, BodyLimit
from app.api.publisher import Publisher
from app.blobs import blob_store
from app.catalog.store import Catalog
from app.embedded.errors import SetupError
from app.retraining.controller import Controller
from app.settings import Settings

log = logging.getLogger(__name__)

JSON_LIMIT = 512 * 1024
"""The largest JSON body: written anew it still fits into a Kafka message of 1 MiB."""
MULTIPART_OVERHEAD = 64 * 1024


def create(settings: Settings) -> FastAPI:
    """The application. It starts whether or not the broker is there. Raises `SetupError` for settings that can't be."""
    if settings.api_key is None and not _is_loopback(settings.host):
        raise SetupError(
            f"HINDSIGHT_HOST is {settings.host}: others could reach the API, and it has no key.",
            "Set HINDSIGHT_API_KEY, or HINDSIGHT_HOST=127.0.0.1.",
        )
    publisher = Publisher(settings.bootstrap)
    store = blob_store(settings)
    catalog = Catalog(settings.database)

    known = tasks.load(settings)
    controller = Controller(settings, known, catalog, publisher)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(store.sweep)
        async with publisher:
            looping = asyncio.create_task(controller.run())
            looping.add_done_callback(_loop_ended)
            yield
            looping.cancel()
            await asyncio.gather(looping, return_exceptions=True)
        catalog.close()

    app = FastAPI(
        title="Hindsight",
        description="Predictions, feedback on them, models and how they are retrained, large payloads, and health.",
        lifespan=lifespan,
    )
    app.include_router(feedback.router(known, publisher))
    app.include_router(models.router(settings, known, publisher))
    app.include_router(retraining.router(known, controller))
    app.include_router(predictions.router(catalog))
    app.include_router(payload.router(payload.Payloads(settings, known, catalog, store)))
    app.include_router(blobs.router(store, settings.max_blob_bytes))
    app.include_router(health.router(settings))
    app.add_exception_handler(RequestValidationError, _unprocessable)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_middleware(BodyLimit, limit=JSON_LIMIT, limits={blobs.PATH: settings.max_blob_bytes + MULTIPART_OVERHEAD})
    if settings.api_key is not None:
        app.add_middleware(ApiKey, key=settings.api_key.get_secret_value(), open_paths={"/healthz", "/readyz"})
    return app


def _loop_ended(loop: "asyncio.Task[None]") -> None:
    """A fault in the loop's own code ends the process: its supervisor starts it again, and the fault is in its log."""
    if not loop.cancelled() and (error := loop.exception()) is not None:
        log.critical("the retraining loop has failed", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unprocessable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": "; ".join(_reason(problem) for problem in error.errors())}, 422)


def _reason(problem: dict[str, object]) -> str:
    if problem["type"] == "json_invalid":
        return f"the body is not JSON: {problem['ctx']['error']}"  # type: ignore[index]
    location = problem["loc"]
    assert isinstance(location, tuple)
    name = ".".join(str(part) for part in location[1:])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _gone(request: Request, error: Exception) -> Response:
    # Nobody reads this answer; without it the log would have a traceback for each upload that was given up.
    return Response(status_code=400)

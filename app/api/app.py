"""The FastAPI application, put together."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from app import tasks
from app.api import (
    blobs,
    dead_letters,
    docs_pages,
    feedback,
    health,
    models,
    payload,
    predictions,
    quality,
    replays,
    retraining,
)
from app.api.body_limit import BodyLimit
from app.api.openapi import openapi_schema
from app.auth import local_key, login
from app.auth.authenticator import Authenticator
from app.auth.keys import KeyStore
from app.auth.middleware import AuthMiddleware, is_loopback
from app.catalog.catalog import Catalog
from app.dead_letters.async_store import AsyncDeadLetterStore
from app.errors import SetupError, Unavailable
from app.kafka.resilient_producer import ResilientProducer
from app.monitoring.metrics import watch_disk
from app.replay.jobs.queue import ReplayQueue
from app.retraining.controller import Controller
from app.services.payloads import PayloadReader
from app.services.services import Services
from app.services.state_metrics import StateMetrics
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.storage.blobs import BlobQuota

log = logging.getLogger(__name__)

MAX_JSON_BYTES = 512 * 1024
"""The largest JSON body: written anew it still fits into a Kafka message of 1 MiB."""
MULTIPART_OVERHEAD_BYTES = 64 * 1024

DESCRIPTION = """Predictions, feedback on them, models and how they are retrained, large payloads, and health.

On localhost all is open until there is a key. Then a request needs one, as `X-API-Key` or `Authorization: Bearer`, with
the route's scope: `read` for all that is only looked at, `feedback` for feedback and blobs, `operate` for what changes
routes, runs and the log. An unknown key is answered 401, a missing scope 403. `hindsight keys` makes keys; that of
HINDSIGHT_API_KEY has all scopes.

Where an `actor` may be named, it is whom an application speaks for; without one it is the name of the key."""


def create_app(settings: Settings) -> FastAPI:
    """The application. It starts whether or not the broker is there. Raises `SetupError` for settings that can't be."""
    keys, local = KeyStore(settings.catalog_url), is_loopback(settings.host)
    if not local and settings.api_key is None and not _any_active_key(keys):
        raise SetupError(
            f"HINDSIGHT_HOST is {settings.host}: others could reach the API, and it has no key.",
            "Make one by `hindsight keys create`, set HINDSIGHT_API_KEY, or HINDSIGHT_HOST=127.0.0.1.",
        )
    callers = Authenticator(keys, _local_key(settings), open_without_keys=local and settings.api_key is None)
    cookie = f"hindsight_session_{settings.api_port}"
    publisher = ResilientProducer(settings)
    store = blob_store(settings)
    catalog = Catalog(settings.catalog_url)

    known = tasks.load_tasks(settings)
    controller = Controller(settings, known, catalog, publisher)
    watching = StateMetrics(settings, controller)
    watch_disk(settings.home)
    jobs = ReplayQueue(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(store.delete_orphans)
        await asyncio.to_thread(jobs.recover)
        async with publisher:
            loops = [asyncio.create_task(loop) for loop in (controller.run(), watching.run(), jobs.run())]
            for looping in loops:
                looping.add_done_callback(_on_loop_end)
            yield
            for looping in loops:
                looping.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        catalog.close()
        keys.close()

    app = FastAPI(
        title="Hindsight",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=docs_pages.OPENAPI_PATH,
    )
    app.openapi = lambda: openapi_schema(app)  # type: ignore[method-assign]  # FastAPI's own way of another description
    docs_pages.add_docs_pages(app)
    app.include_router(feedback.router(known, publisher))
    app.include_router(models.router(settings, known, publisher))
    app.include_router(retraining.router(known, controller))
    app.include_router(quality.router(known, controller))
    app.include_router(predictions.router(catalog))
    payloads = PayloadReader(settings, known, catalog, store)
    app.include_router(payload.router(payloads))
    app.include_router(replays.router(settings, known, jobs))
    letterbox = AsyncDeadLetterStore(settings)
    app.include_router(dead_letters.router(letterbox))
    app.include_router(blobs.router(BlobQuota(store, round(settings.blob_gib * 2**30)), settings.max_blob_bytes))
    app.include_router(health.router(settings, watching))
    app.include_router(login.router(callers, cookie))
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _client_disconnected)
    app.add_exception_handler(405, _method_not_allowed)
    app.add_middleware(
        BodyLimit, limit=MAX_JSON_BYTES, limits={blobs.PATH: settings.max_blob_bytes + MULTIPART_OVERHEAD_BYTES}
    )
    app.add_middleware(AuthMiddleware, authenticator=callers, cookie=cookie)
    app.state.parts = Services(settings, known, catalog, publisher, controller, payloads, jobs, letterbox, watching)
    return app


def _on_loop_end(loop: "asyncio.Task[None]") -> None:
    """A fault in a loop's own code ends the process: its supervisor starts it again, and the fault is in its log."""
    if not loop.cancelled() and (error := loop.exception()) is not None:
        log.critical("a loop of the API has failed", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)


def _local_key(settings: Settings) -> str | None:
    try:
        return local_key.load_or_create_key(settings)
    except OSError as error:
        log.warning("commands on this machine will need a key of somebody's: %s", error)
        return None


def _any_active_key(keys: KeyStore) -> bool:
    """Whether there is a key that opens."""
    try:
        return any(key.revoked is None for key in keys.all())
    except Unavailable as error:
        raise SetupError(f"Whether there is an API key can't be known: {error}.", "Is the database there?") from error


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": "; ".join(_format_problem(problem) for problem in error.errors())}, 422)


def _format_problem(problem: dict[str, object]) -> str:
    if problem["type"] == "json_invalid":
        return f"the body is not JSON: {problem['ctx']['error']}"  # type: ignore[index]
    location = problem["loc"]
    assert isinstance(location, tuple)
    name = ".".join(str(part) for part in location[1:])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _method_not_allowed(request: Request, error: Exception) -> Response:
    """With the methods of all routes that have this path: Starlette says those of the first."""
    routes = [route.original_route for route in iter_route_contexts(request.app.routes)]
    matching = [one for one in routes if isinstance(one, Route | APIRoute) and one.path_regex.match(request.url.path)]
    methods = sorted({method for route in matching for method in route.methods or ()})
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": ", ".join(methods)})


def _client_disconnected(request: Request, error: Exception) -> Response:
    # Nobody reads this answer; without it the log would have a traceback for each upload that was given up.
    return Response(status_code=400)

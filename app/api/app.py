"""The FastAPI application, assembled from the routers and the services."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import tasks
from app.api import (
    alerts,
    blobs,
    comparisons,
    dead_letters,
    docs_pages,
    feedback,
    health,
    log_identity,
    models,
    pages,
    payload,
    predictions,
    quality,
    replays,
    retraining,
    shadows,
)
from app.api.body_limit import BodyLimit
from app.api.exception_handlers import add_exception_handlers
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
from app.monitoring.progress import ProgressMonitor
from app.replay.jobs.queue import ReplayQueue
from app.retraining.controller import Controller
from app.services.feedback import FeedbackIndex
from app.services.page_previews import PagePreviews
from app.services.payloads import PayloadReader
from app.services.services import Services
from app.services.state_metrics import StateMetrics
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.storage.blobs import BlobQuota

log = logging.getLogger(__name__)

MAX_JSON_BYTES = 512 * 1024
"""Maximum size of a JSON body: serialized again, it still fits into a Kafka message of 1 MiB."""
MULTIPART_OVERHEAD_BYTES = 64 * 1024

DESCRIPTION = """Predictions, feedback, models and their retraining, large payloads, and health.

On localhost everything is open until the first key is created. Then each request needs a key, as `X-API-Key` or
`Authorization: Bearer`, with the route's scope: `read` to read, `feedback` to send feedback and blobs and to retract
feedback, `operate` to change routes, runs and the log. The answer to an unknown key is 401, to a missing scope 403.
`hindsight keys` creates keys; the key in HINDSIGHT_API_KEY has all scopes.

`actor` names the person for whom an application sends a request. Without one it is the name of the key."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application, which starts with or without a broker. Raises `SetupError` for invalid settings."""
    keys = KeyStore(settings.catalog_url)
    authenticator = _authenticator(settings, keys)
    cookie = f"hindsight_session_{settings.api_port}"
    producer = ResilientProducer(settings)
    store = blob_store(settings)
    catalog = Catalog(settings.catalog_url)
    known = tasks.load_tasks(settings)
    progress = ProgressMonitor(settings)
    payloads = PayloadReader(settings, known, catalog, store)
    controller = Controller(settings, known, catalog, producer, progress)
    services = Services(
        settings=settings,
        tasks=known,
        catalog=catalog,
        producer=producer,
        controller=controller,
        payloads=payloads,
        page_previews=PagePreviews(settings, payloads),
        replays=ReplayQueue(settings),
        dead_letters=AsyncDeadLetterStore(settings),
        state_metrics=StateMetrics(settings, controller, progress),
    )
    watch_disk(settings.home)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(store.delete_orphans)
        async with _background_loops(services):
            yield
        await services.page_previews.close()
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
    app.openapi = lambda: openapi_schema(app)  # type: ignore[method-assign]  # FastAPI's documented way to replace it
    docs_pages.add_docs_pages(app)
    _include_routers(app, services, BlobQuota(store, round(settings.blob_gib * 2**30)))
    app.include_router(login.router(authenticator, cookie))
    add_exception_handlers(app)
    app.add_middleware(
        BodyLimit, limit=MAX_JSON_BYTES, limits={blobs.PATH: settings.max_blob_bytes + MULTIPART_OVERHEAD_BYTES}
    )
    app.add_middleware(AuthMiddleware, authenticator=authenticator, cookie=cookie)
    app.state.services = services
    return app


def _authenticator(settings: Settings, keys: KeyStore) -> Authenticator:
    local = is_loopback(settings.host)
    if not local and settings.api_key is None and not _any_active_key(keys):
        raise SetupError(
            f"HINDSIGHT_HOST is {settings.host}: other machines could reach the API, and it has no key.",
            "Create one with `hindsight keys create`, or set HINDSIGHT_API_KEY, or set HINDSIGHT_HOST=127.0.0.1.",
        )
    return Authenticator(keys, _local_key(settings), open_without_keys=local and settings.api_key is None)


@asynccontextmanager
async def _background_loops(services: Services) -> AsyncIterator[None]:
    """Run the producer and the background loops while the API serves."""
    await asyncio.to_thread(services.replays.recover)
    async with services.producer:
        coroutines = (services.controller.run(), services.state_metrics.run(), services.replays.run())
        loops = [asyncio.create_task(coroutine) for coroutine in coroutines]
        for loop in loops:
            loop.add_done_callback(_on_loop_end)
        yield
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


def _include_routers(app: FastAPI, services: Services, blob_quota: BlobQuota) -> None:
    settings, known = services.settings, services.tasks
    app.include_router(feedback.router(settings, known, services.producer, FeedbackIndex(services.catalog)))
    app.include_router(models.router(settings, known, services.producer))
    app.include_router(retraining.router(known, services.controller))
    app.include_router(comparisons.router(known, services.controller))
    app.include_router(alerts.router(known, services.controller))
    app.include_router(shadows.router(settings, known, services.controller, services.catalog))
    app.include_router(quality.router(known, services.controller))
    app.include_router(predictions.router(services.catalog))
    app.include_router(payload.router(services.payloads))
    app.include_router(pages.router(services.page_previews))
    app.include_router(replays.router(settings, known, services.replays))
    app.include_router(dead_letters.router(services.dead_letters))
    app.include_router(blobs.router(blob_quota, settings.max_blob_bytes))
    app.include_router(log_identity.router(settings))
    app.include_router(health.router(settings, services.state_metrics))


def _on_loop_end(loop: "asyncio.Task[None]") -> None:
    """End the process if a loop failed: the log has the error, and the supervisor restarts the process."""
    if not loop.cancelled() and (error := loop.exception()) is not None:
        log.critical("a background loop of the API failed", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)


def _local_key(settings: Settings) -> str | None:
    try:
        return local_key.load_or_create_key(settings)
    except OSError as error:
        log.warning("there is no local key, so commands on this machine need an API key: %s", error)
        return None


def _any_active_key(keys: KeyStore) -> bool:
    try:
        return any(key.revoked is None for key in keys.all())
    except Unavailable as error:
        raise SetupError(f"The API keys can't be read: {error}.", "Check that the database is running.") from error

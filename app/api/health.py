"""Health: `/healthz` says this process lives, `/readyz` that every part does its work, `/metrics` how well."""

import asyncio

import httpx
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from app.access.scopes import needs
from app.embedded.ready import reachable
from app.monitoring.lag import ARCHIVE_GROUP, PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP, Lags, deployment_lags
from app.monitoring.metrics import READY
from app.settings import Settings

CHECK_SECONDS = 3.0


class Part(BaseModel):
    """One part of the platform."""

    ready: bool
    detail: str


class Readiness(BaseModel):
    """Whether all parts do their work."""

    ready: bool
    parts: dict[str, Part]


def router(settings: Settings, watched: CollectorRegistry) -> APIRouter:
    """The routes of this deployment; `watched` has the metrics of its state, beside those of this process."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", dependencies=[needs(None)])
    async def healthz() -> dict[str, str]:
        """This process answers."""
        return {"status": "alive"}

    @routes.get(
        "/readyz",
        dependencies=[needs(None)],
        responses={503: {"model": Readiness, "description": "A part is not ready."}},
    )
    async def readyz(response: Response) -> Readiness:
        """Every part is reachable, and no stage is too far behind."""
        found = await readiness(settings)
        READY.set(found.ready)
        response.status_code = 200 if found.ready else 503
        return found

    @routes.get("/metrics", dependencies=[needs("read")], response_class=Response)
    async def metrics() -> Response:
        """Prometheus metrics of this process."""
        return Response(generate_latest(REGISTRY) + generate_latest(watched), media_type=CONTENT_TYPE_LATEST)

    return routes


async def readiness(settings: Settings) -> Readiness:
    """Asks every part, all at once."""
    async with httpx.AsyncClient(timeout=CHECK_SECONDS, trust_env=False) as http:
        kafka, mlserver, preprocess, worker, archive, recorder = await asyncio.gather(
            deployment_lags(settings, CHECK_SECONDS),
            _mlserver(http, settings),
            _process(http, settings, settings.preprocess_metrics_port),
            _process(http, settings, settings.worker_metrics_port),
            _process(http, settings, settings.archive_metrics_port),
            _process(http, settings, settings.recorder_metrics_port),
        )
    most = settings.ready_max_lag
    parts = {
        "kafka": Part(ready=isinstance(kafka, dict), detail="" if isinstance(kafka, dict) else kafka),
        "preprocess": _with_lag(preprocess, kafka, PREPROCESS_GROUP, most),
        "mlserver": mlserver,
        "worker": _with_lag(worker, kafka, WORKER_GROUP, most),
        # A commit's worth of events may wait for it.
        "archive": _with_lag(archive, kafka, ARCHIVE_GROUP, most + settings.archive_events),
        "recorder": _with_lag(recorder, kafka, RECORDER_GROUP, most),
    }
    return Readiness(ready=all(part.ready for part in parts.values()), parts=parts)


async def _mlserver(http: httpx.AsyncClient, settings: Settings) -> Part:
    url = f"http://{settings.mlserver_host}:{settings.mlserver_http_port}/v2/health/ready"
    try:
        status = (await http.get(url)).status_code
    except httpx.HTTPError as error:
        return Part(ready=False, detail=_unreachable(url, error))
    return Part(ready=status == 200, detail="" if status == 200 else f"{url} says {status}")


async def _process(http: httpx.AsyncClient, settings: Settings, port: int) -> Part:
    url = f"http://{reachable(settings.metrics_host)}:{port}/metrics"
    try:
        text = (await http.get(url)).raise_for_status().text
    except httpx.HTTPError as error:
        return Part(ready=False, detail=_unreachable(url, error))
    gauges = [
        s.value for family in text_string_to_metric_families(text) for s in family.samples if s.name == READY._name
    ]
    return Part(ready=gauges == [1], detail="" if gauges == [1] else "it is starting")


def _with_lag(part: Part, lags: Lags | str, group: str, most: int) -> Part:
    if not part.ready:
        return part
    if isinstance(lags, str):
        return Part(ready=False, detail="its lag is not known")
    lag = sum(lags[group].values())
    return Part(ready=lag <= most, detail=f"lag {lag}")


def _unreachable(url: str, error: httpx.HTTPError) -> str:
    return f"{url} can't be read: {str(error) or type(error).__name__}"

"""Whether every part of the platform and every task makes progress."""

import asyncio
import time
from collections.abc import Awaitable

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from app.embedded.readiness import reachable_host
from app.errors import Unavailable
from app.events.base import ModelRef
from app.inference.mlserver import token
from app.inference.mlserver.repository import entry_name
from app.kafka.lag import ARCHIVE_GROUP, PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.monitoring.metrics import READY
from app.monitoring.task_status import task_status
from app.services.state_metrics import StateMetrics
from app.settings import Settings

PROBE_TIMEOUT_SECONDS = 3.0
CACHE_SECONDS = 1.5
"""Whoever asks within this time is told what was just found: asking costs the platform something."""
TASK_READY_METRIC = "hindsight_preprocess_ready"
"""Of a process that is ready task by task."""


class PartReadiness(BaseModel):
    """One part of the platform, or one task. What is said of it names no address: anybody may ask."""

    ready: bool
    detail: str


class Readiness(BaseModel):
    """Whether all parts do their work, and every task is answered."""

    ready: bool
    parts: dict[str, PartReadiness]
    tasks: dict[str, PartReadiness] = {}


class HealthChecker:
    """Asks every part, all at once, and not more often than it should."""

    def __init__(self, settings: Settings, state_metrics: StateMetrics) -> None:
        self._settings = settings
        self._state_metrics = state_metrics
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._readiness = Readiness(ready=False, parts={})

    async def readiness(self) -> Readiness:
        """As it was a moment ago, at most."""
        async with self._lock:
            if time.monotonic() - self._checked_at >= CACHE_SECONDS:
                self._readiness = await self._check_parts()
                self._checked_at = time.monotonic()
        return self._readiness

    async def _check_parts(self) -> Readiness:
        settings, progress = self._settings, self._state_metrics.progress
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_SECONDS, trust_env=False) as http:
            _, mlserver, preprocess, worker, archive, recorder = await asyncio.gather(
                progress.refresh(),
                self._check_mlserver(http),
                _check_process(http, settings, settings.preprocess_metrics_port),
                _check_process(http, settings, settings.worker_metrics_port),
                _check_process(http, settings, settings.archive_metrics_port),
                _check_process(http, settings, settings.recorder_metrics_port),
            )
        most = settings.ready_max_lag
        parts = {
            "kafka": PartReadiness(ready=not progress.unknown_reason, detail=progress.unknown_reason),
            "preprocess": self._with_lag(preprocess, PREPROCESS_GROUP, most),
            "mlserver": mlserver,
            "worker": self._with_lag(worker, WORKER_GROUP, most),
            # A commit's worth of events may wait for it.
            "archive": self._with_lag(archive, ARCHIVE_GROUP, most + settings.archive_events),
            "recorder": self._with_lag(recorder, RECORDER_GROUP, most),
        }
        found = [
            task_status(settings, progress.group_progress, task) for task in settings.tasks if progress.group_progress
        ]
        tasks = {one.name: PartReadiness(ready=one.is_healthy, detail=one.detail) for one in found}
        return Readiness(ready=all(one.ready for one in (*parts.values(), *tasks.values())), parts=parts, tasks=tasks)

    def _with_lag(self, part: PartReadiness, group: str, max_lag: int) -> PartReadiness:
        """A part that does its work, unless too many records wait for it, or some are overdue and it moves none."""
        if not part.ready:
            return part
        of = [one for (name, _), one in self._state_metrics.progress.group_progress.items() if name == group]
        if not of:
            return PartReadiness(ready=False, detail="what waits for it is not known")
        waiting = sum(one.position.waiting for one in of)
        still = max((one.stalled_seconds for one in of if one.position.overdue), default=0.0)
        if still >= self._settings.unanswered_seconds:
            return PartReadiness(ready=False, detail=f"no progress for {still:.0f} s, {waiting:,} waiting")
        return PartReadiness(ready=waiting <= max_lag, detail=f"{waiting:,} waiting")

    async def _check_mlserver(self, http: httpx.AsyncClient) -> PartReadiness:
        """Whether it is ready, and serves every version that a route needs."""
        url = f"http://{self._settings.mlserver_host}:{self._settings.mlserver_http_port}/v2"
        try:
            needed = self._state_metrics.required_versions()
            headers = token.auth_headers(token.load_or_create(self._settings))
        except Unavailable:
            return PartReadiness(ready=False, detail="which versions it should serve is not known yet")
        answered, *served = await asyncio.gather(
            _http_problem(http.get(f"{url}/health/ready")),
            *(
                _http_problem(http.get(f"{url}/models/{entry_name(one)}/versions/{one.version}/ready", headers=headers))
                for one in needed
            ),
        )
        if answered:
            return PartReadiness(ready=False, detail=answered)
        missing = [_format_version(one) for one, wrong in zip(needed, served, strict=True) if wrong]
        return PartReadiness(ready=not missing, detail=f"it does not serve {', '.join(missing)}" if missing else "")


async def _http_problem(request: Awaitable[httpx.Response]) -> str:
    """What is wrong with an answer; nothing where it is 200."""
    try:
        status = (await request).status_code
    except httpx.HTTPError as error:
        return f"it does not answer: {type(error).__name__}"
    return "" if status == httpx.codes.OK else f"it says {status}"


async def _check_process(http: httpx.AsyncClient, settings: Settings, port: int) -> PartReadiness:
    url = f"http://{reachable_host(settings.metrics_host)}:{port}/metrics"
    try:
        text = (await http.get(url)).raise_for_status().text
    except httpx.HTTPError as error:
        return PartReadiness(ready=False, detail=f"its metrics can't be read: {type(error).__name__}")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    starting = [one.labels.get("task", "") for one in samples if one.name == TASK_READY_METRIC and one.value != 1]
    if starting:
        return PartReadiness(ready=False, detail=f"it is starting: {', '.join(starting)}")
    ready = [one.value for one in samples if one.name == READY._name] == [1]
    return PartReadiness(ready=ready, detail="" if ready else "it is starting")


def _format_version(model: ModelRef) -> str:
    return f"{model.name} version {model.version}"

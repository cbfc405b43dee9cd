"""Readiness of the platform: its processes are up, and its tasks make progress."""

import asyncio
import time
from collections.abc import Awaitable

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

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
"""Within this time a request gets the last result, because a check costs the platform some work."""
TASK_READY_METRIC = "hindsight_preprocess_ready"
"""Metric of a process that becomes ready task by task."""


class PartReadiness(BaseModel):
    """Readiness of a part of the platform or of a task. `detail` names no address, because `/readyz` needs no key."""

    ready: bool
    detail: str


class Readiness(BaseModel):
    """Readiness of all parts and tasks."""

    ready: bool
    parts: dict[str, PartReadiness]
    tasks: dict[str, PartReadiness] = {}


class HealthChecker:
    """Checks all parts concurrently, and caches the result."""

    def __init__(self, settings: Settings, state_metrics: StateMetrics) -> None:
        self._settings = settings
        self._state_metrics = state_metrics
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._readiness = Readiness(ready=False, parts={})

    async def readiness(self) -> Readiness:
        """Return the readiness, which is at most CACHE_SECONDS old."""
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
                _check_process(http, settings, "preprocess"),
                _check_process(http, settings, "worker"),
                _check_process(http, settings, "archive"),
                _check_process(http, settings, "recorder"),
            )
        max_lag = settings.ready_max_lag
        parts = {
            "kafka": PartReadiness(ready=not progress.unknown_reason, detail=progress.unknown_reason),
            "preprocess": self._with_lag(preprocess, PREPROCESS_GROUP, max_lag),
            "mlserver": mlserver,
            "worker": self._with_lag(worker, WORKER_GROUP, max_lag),
            # The archive commits in batches of this size, so that many events may wait for it.
            "archive": self._with_lag(archive, ARCHIVE_GROUP, max_lag + settings.archive_events),
            "recorder": self._with_lag(recorder, RECORDER_GROUP, max_lag),
        }
        statuses = [
            task_status(settings, progress.group_progress, task) for task in settings.tasks if progress.group_progress
        ]
        tasks = {status.name: PartReadiness(ready=status.is_healthy, detail=status.detail) for status in statuses}
        ready = all(part.ready for part in (*parts.values(), *tasks.values()))
        return Readiness(ready=ready, parts=parts, tasks=tasks)

    def _with_lag(self, part: PartReadiness, group: str, max_lag: int) -> PartReadiness:
        """Return the part as not ready if its consumer group lags too far, or makes no progress on overdue records."""
        if not part.ready:
            return part
        group_progress = self._state_metrics.progress.group_progress.items()
        topics = [progress for (name, _), progress in group_progress if name == group]
        if not topics:
            return PartReadiness(ready=False, detail="its lag is not known")
        waiting = sum(topic.position.waiting for topic in topics)
        stalled = max((topic.stalled_seconds for topic in topics if topic.position.overdue), default=0.0)
        if stalled >= self._settings.unanswered_seconds:
            return PartReadiness(ready=False, detail=f"no progress for {stalled:.0f} s, {waiting:,} waiting")
        return PartReadiness(ready=waiting <= max_lag, detail=f"{waiting:,} waiting")

    async def _check_mlserver(self, http: httpx.AsyncClient) -> PartReadiness:
        """Check that MLServer is ready and serves all versions that a route needs."""
        url = f"http://{self._settings.host_of('mlserver')}:{self._settings.mlserver_http_port}/v2"
        try:
            required = self._state_metrics.required_versions()
            headers = token.auth_headers(token.load_or_create(self._settings))
        except Unavailable:
            return PartReadiness(ready=False, detail="the routes, and so the versions to serve, are not known yet")
        server_problem, *model_problems = await asyncio.gather(
            _http_problem(http.get(f"{url}/health/ready")),
            *(
                _http_problem(
                    http.get(f"{url}/models/{entry_name(model)}/versions/{model.version}/ready", headers=headers)
                )
                for model in required
            ),
        )
        if server_problem:
            return PartReadiness(ready=False, detail=server_problem)
        missing = [_format_version(model) for model, problem in zip(required, model_problems, strict=True) if problem]
        return PartReadiness(ready=not missing, detail=f"it does not serve {', '.join(missing)}" if missing else "")


async def _http_problem(request: Awaitable[httpx.Response]) -> str:
    """Return the problem of a response; an empty string if there is none."""
    try:
        status = (await request).status_code
    except httpx.HTTPError as error:
        return f"it does not answer: {type(error).__name__}"
    return "" if status == httpx.codes.OK else f"it answers with status {status}"


async def _check_process(http: httpx.AsyncClient, settings: Settings, process: str) -> PartReadiness:
    url = f"http://{settings.host_of(process)}:{getattr(settings, f'{process}_metrics_port')}/metrics"
    try:
        text = (await http.get(url)).raise_for_status().text
    except httpx.HTTPError as error:
        return PartReadiness(ready=False, detail=f"its metrics can't be read: {type(error).__name__}")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    starting = [
        sample.labels.get("task", "") for sample in samples if sample.name == TASK_READY_METRIC and sample.value != 1
    ]
    if starting:
        return PartReadiness(ready=False, detail=f"it is starting: {', '.join(starting)}")
    ready = [sample.value for sample in samples if sample.name == READY._name] == [1]
    return PartReadiness(ready=ready, detail="" if ready else "it is starting")


def _format_version(model: ModelRef) -> str:
    return f"{model.name} version {model.version}"

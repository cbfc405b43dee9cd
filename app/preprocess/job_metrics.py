"""The states of the Flink jobs as metrics.

The process that started the jobs writes their states to a file; the Java process, in which they run, serves them with
its metrics. Through a file neither process waits for the other, and its age shows whether the writer is alive.
"""

import json
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from app.monitoring import metrics
from app.settings import Settings

STALE_SECONDS = 10.0
"""Older states mean that their writer hangs."""


def path_of(settings: Settings) -> Path:
    """Return the path of the file with the states."""
    return settings.home / "preprocess" / "jobs.json"


def write_states(settings: Settings, ready: Mapping[str, bool], restarts: Mapping[str, int]) -> None:
    """Write which tasks' jobs run and how often each was restarted, with the time."""
    path = path_of(settings)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps({"time": time.time(), "ready": dict(ready), "restarts": dict(restarts)}))
    scratch.replace(path)


_serving = threading.Lock()


def serve_metrics(settings: Settings) -> None:
    """Serve metrics, once per process: all jobs share it, and Flink opens a function again after each fault."""
    if not _serving.acquire(blocking=False):
        return
    for task in settings.tasks:
        metrics.JOB_READY.labels(task).set_function(partial(_ready, settings, task))
        metrics.JOB_RESTARTS.labels(task).set_function(partial(_restarts, settings, task))
    metrics.READY.set_function(lambda: min(_ready(settings, task) for task in settings.tasks))
    metrics.serve(settings.preprocess_metrics_port, settings.metrics_host, settings.home)


def _ready(settings: Settings, task: str) -> float:
    return float(_read_states(settings)[0].get(task, False))


def _restarts(settings: Settings, task: str) -> float:
    return float(_read_states(settings)[1].get(task, 0))


def _read_states(settings: Settings) -> tuple[dict[str, bool], dict[str, int]]:
    try:
        states = json.loads(path_of(settings).read_text())
    except (OSError, ValueError):
        return {}, {}
    fresh = time.time() - states["time"] < STALE_SECONDS
    return states["ready"] if fresh else {}, states["restarts"]

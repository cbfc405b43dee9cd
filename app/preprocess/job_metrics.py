"""What the `preprocess` process says of itself: its jobs' states, written by the process that started them, and served
with the metrics of the Java process in which they run.

A file is between them: it tells that either process lives, and needs neither to wait for the other.
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
"""States that are older say that their writer hangs."""


def path_of(settings: Settings) -> Path:
    """Where the states are."""
    return settings.home / "preprocess" / "jobs.json"


def write_states(settings: Settings, ready: Mapping[str, bool], restarts: Mapping[str, int]) -> None:
    """Say that this process lives, and which tasks' jobs run."""
    path = path_of(settings)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps({"time": time.time(), "ready": dict(ready), "restarts": dict(restarts)}))
    scratch.replace(path)


_serving = threading.Lock()


def serve_metrics(settings: Settings) -> None:
    """Serve metrics, once for each process: all jobs share it, and Flink opens a function again after each fault."""
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

"""The configuration of Flink's mini-cluster in the `preprocess` process."""

import sys
from pathlib import Path

from app.preprocess.flink_tls import tls_options
from app.preprocess.java_classes import flink_classpath
from app.preprocess.py4j_gateway import is_on_cluster
from app.settings import Settings
from app.system.pyflink import find_python_library

MAX_RESTARTS = 5
"""How often Flink restarts a job by itself: for some seconds."""


def cluster_options(settings: Settings) -> dict[str, str]:
    """Return the options of this process's own mini-cluster."""
    thread_mode = find_python_library() is not None
    options = {
        "python.execution-mode": "thread" if thread_mode else "process",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        # In process mode an event waits at most this long before Python gets it. In thread mode there are no bundles,
        # but each operator wakes up this often to end one.
        "python.fn-execution.bundle.time": "3600000" if thread_mode else "5",
        "python.fn-execution.bundle.size": "200",
        "execution.buffer-timeout.interval": "0 ms",
        "pipeline.object-reuse": "true",
        "parallelism.default": str(settings.parallelism),
        "execution.checkpointing.interval": f"{int(settings.checkpoint_seconds * 1000)} ms",
        "execution.checkpointing.mode": "AT_LEAST_ONCE",
        # Transient faults (the broker is down) are retried; offsets were committed at the last checkpoint.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        # A job that fails this often in a row has FAILED: perhaps it can't read a record.
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(MAX_RESTARTS),
        "table.local-time-zone": "UTC",
        # State (open sessions, deferred payloads) lies on disk, not in the heap.
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
        "io.tmp.dirs": str(_scratch_directory(settings)),
        "taskmanager.memory.managed.size": "32m" if thread_mode else "96m",
        "taskmanager.memory.network.min": "16m",
        "taskmanager.memory.network.max": "16m",
    }
    if is_on_cluster():
        options["pipeline.jars"] = ";".join(path.as_uri() for path in flink_classpath())
    return options | tls_options(settings)


def _scratch_directory(settings: Settings) -> Path:
    """Return the directory for Flink's temporary files, which no restart needs."""
    directory = settings.home.resolve() / "preprocess" / "scratch"
    directory.mkdir(parents=True, exist_ok=True)
    return directory

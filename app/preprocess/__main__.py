"""The `preprocess` process: Flink's mini-cluster with the preprocessing job, until it is told to stop."""

import asyncio
import logging
import signal
import sys
import time
from typing import Any

from py4j.protocol import Py4JError

from app import topics
from app.monitoring import metrics
from app.preprocess import suspects
from app.preprocess.oversized import skip_oversized
from app.preprocess.runtime import prepare_java, python_library
from app.settings import Settings, settings

log = logging.getLogger("preprocess")

_POLL_SECONDS = 0.5
_ENDED = {"FAILED", "CANCELED", "FINISHED", "SUSPENDED"}


def main() -> int:
    """Run the job; the exit code is 0 only when it was told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    configured = settings()
    asyncio.run(topics.wait_provisioned(configured))
    prepare_java(configured)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return run(configured)


def run(configured: Settings) -> int:
    """Start the job and watch it."""
    from app.preprocess import gateway, job
    from app.preprocess.function import Preprocess, flights

    gateway.launch()
    deaths = suspects.collect(flights(configured))
    for record_id, count in deaths.items():
        log.warning("record %s was being read when this process died (%d of %d)", record_id, count, suspects.DEATHS)
    embedded = python_library() is not None
    if not embedded:
        log.warning("this Python has no shared library: Flink runs it as a process of its own, about 10 ms slower")
        # That process starts with the first event, too late to say that all is ready: this one says so.
        metrics.serve(configured.preprocess_metrics_port, configured.metrics_host, configured.home)
    function = Preprocess(configured, suspects.quarantined(deaths), serves_metrics=embedded)
    client: Any = job.live(configured, function)
    log.info("job %s is submitted", client.get_job_id())
    while True:
        try:
            status = client.get_job_status().result().name
        except (Py4JError, OSError):
            log.error("Flink's Java process has died; if it crashed, %s/logs/flink says where", configured.home)
            return 1
        if status in _ENDED:
            log.error("the job has ended: %s", status)
            for task in configured.tasks:
                if skipped := asyncio.run(skip_oversized(configured, task)):
                    log.warning("%d requests of %s are skipped: they expand to more than can be read", skipped, task)
            return 1
        metrics.READY.set(status == "RUNNING")
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())

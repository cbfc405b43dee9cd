"""The `preprocess` process: Flink's mini-cluster with one preprocessing job per task. It runs until SIGTERM."""

import asyncio
import logging
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka.errors import KafkaError
from py4j.protocol import Py4JError

from app.errors import SetupError
from app.kafka import provisioning
from app.monitoring.heartbeat import Heartbeat
from app.preprocess import job_metrics
from app.preprocess.oversized_records import skip_oversized
from app.settings import Settings, settings
from app.system.pyflink import find_python_library, prepare_java
from app.tasks import load_tasks
from models.base import Task

log = logging.getLogger("preprocess")

_POLL_SECONDS = 0.5
_START_TIMEOUT_SECONDS = 60.0
"""A job that has not been running for this long is restarted."""
_TERMINAL_STATES = {"FAILED", "CANCELED", "FINISHED", "SUSPENDED"}


def main() -> int:
    """Run the jobs. Return the exit code for an error; SIGTERM exits with 0."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    configured = settings()
    try:
        prepare_java(configured)
    except SetupError as error:
        log.error("%s", error)
        return 1
    shutil.rmtree(configured.home / "preprocess" / "scratch", ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return run(configured)


def run(configured: Settings) -> int:
    """Start the jobs and supervise them. Return the exit code when Flink's Java process has died."""
    if find_python_library() is None:
        log.warning("this Python has no shared library: Flink runs it in a separate process, about 10 ms slower")
        # That process starts with the first event, too late to report readiness: so this process serves the metrics.
        job_metrics.serve_metrics(configured)
    try:
        from app.preprocess import py4j_gateway
        from app.preprocess.flink_options import cluster_options
        from app.preprocess.mini_cluster import FlinkCluster

        with ThreadPoolExecutor(1) as executor:
            options = executor.submit(cluster_options, configured)  # it makes a key, while Java starts
            py4j_gateway.launch_java()
            tasks = load_tasks(configured)
        cluster = FlinkCluster(options.result(), slots=len(tasks) * configured.parallelism)
        asyncio.run(provisioning.wait_provisioned(configured))
        heartbeat = Heartbeat(configured.home)
        jobs = [JobSupervisor(configured, cluster, task, heartbeat) for task in tasks.values()]
        while True:
            for job in jobs:
                job.check()
                heartbeat.beat()
            job_metrics.write_states(
                configured, {job.task.name: job.ready for job in jobs}, {job.task.name: job.restarts for job in jobs}
            )
            time.sleep(_POLL_SECONDS)
    except (Py4JError, OSError):
        log.exception("Flink's Java process has died; after a crash, look into %s/logs/flink", configured.home)
        return 1


class JobSupervisor:
    """Starts a task's job, and restarts it when Flink's own restarts do not get it to run."""

    def __init__(self, configured: Settings, cluster: Any, task: Task, heartbeat: Heartbeat) -> None:
        self.task = task
        self.ready = False
        self.restarts = 0
        self._settings = configured
        self._cluster = cluster
        self._heartbeat = heartbeat
        self._start()

    def check(self) -> None:
        """Read the job's status and restart the job if needed. Raises Py4JError, OSError if Flink's process is gone."""
        status = self._job.status()
        self.ready = status == "RUNNING"
        if self.ready:
            self._last_running = time.monotonic()
        elif status in _TERMINAL_STATES or time.monotonic() - self._last_running > _START_TIMEOUT_SECONDS:
            log.error("%s: the job is %s; it is restarted", self.task.name, status)
            if status not in _TERMINAL_STATES:
                self._job.cancel()
            self.restarts += 1
            self._skip_oversized()
            self._start()

    def _skip_oversized(self) -> None:
        """Skip records that make the job fail before any of our code gets them."""
        try:
            skipped = asyncio.run(self._skip_requests())
        except (KafkaError, OSError) as error:
            log.warning("%s: unreadable requests are not skipped yet: %s", self.task.name, error)
        else:
            if skipped:
                log.warning(
                    "%s: %d requests are skipped: they are too large when decompressed", self.task.name, skipped
                )

    async def _skip_requests(self) -> int:
        self._heartbeat.schedule_on(asyncio.get_running_loop())  # skipping may take long
        return await skip_oversized(self._settings, self.task.name)

    def _start(self) -> None:
        from app.preprocess.job import start_live_job

        self._job = start_live_job(self._settings, self._cluster, self.task)
        self._last_running = time.monotonic()
        self._heartbeat.beat()
        log.info("%s: job %s is submitted", self.task.name, self._job)


if __name__ == "__main__":
    sys.exit(main())

"""The `preprocess` process: Flink's mini-cluster with a preprocessing job for each task, until it is told to stop."""

import asyncio
import logging
import shutil
import signal
import sys
import time
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
"""A job that does not run for so long is started anew."""
_TERMINAL_STATES = {"FAILED", "CANCELED", "FINISHED", "SUSPENDED"}


def main() -> int:
    """Run the jobs; the exit code is 0 only when it was told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    configured = settings()
    asyncio.run(provisioning.wait_provisioned(configured))
    try:
        prepare_java(configured)
    except SetupError as error:
        log.error("%s", error)
        return 1
    shutil.rmtree(configured.home / "preprocess" / "scratch", ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return run(configured)


def run(configured: Settings) -> int:
    """Start the jobs and watch them."""
    if find_python_library() is None:
        log.warning("this Python has no shared library: Flink runs it as a process of its own, about 10 ms slower")
        # That process starts with the first event, too late to say that all is ready: this one says so.
        job_metrics.serve_metrics(configured)
    try:
        from app.preprocess import job as flink
        from app.preprocess import py4j_gateway
        from app.preprocess.mini_cluster import FlinkCluster

        py4j_gateway.launch_java()
        tasks = load_tasks(configured)
        cluster = FlinkCluster(flink.cluster_options(configured), slots=len(tasks) * configured.parallelism)
        heart = Heartbeat(configured.home)
        jobs = [JobSupervisor(configured, cluster, task, heart) for task in tasks.values()]
        while True:
            for job in jobs:
                job.check()
                heart.beat()
            job_metrics.write_states(
                configured, {job.task.name: job.ready for job in jobs}, {job.task.name: job.restarts for job in jobs}
            )
            time.sleep(_POLL_SECONDS)
    except (Py4JError, OSError):
        log.exception("Flink's Java process has died; if it crashed, %s/logs/flink says where", configured.home)
        return 1


class JobSupervisor:
    """A task's job: started, looked after, and started anew where Flink itself does not get it to run."""

    def __init__(self, configured: Settings, cluster: Any, task: Task, heart: Heartbeat) -> None:
        self.task = task
        self.ready = False
        self.restarts = 0
        self._settings = configured
        self._cluster = cluster
        self._heartbeat = heart
        self._start()

    def check(self) -> None:
        """Learn how the job is. Raises Py4JError or OSError when Flink's process is gone."""
        status = self._job.status()
        self.ready = status == "RUNNING"
        if self.ready:
            self._last_running = time.monotonic()
        elif status in _TERMINAL_STATES or time.monotonic() - self._last_running > _START_TIMEOUT_SECONDS:
            log.error("%s: the job is %s; it is started anew", self.task.name, status)
            if status not in _TERMINAL_STATES:
                self._job.cancel()
            self.restarts += 1
            self._skip_oversized()
            self._start()

    def _skip_oversized(self) -> None:
        """Skip what makes the job fail before any of our code sees it."""
        try:
            skipped = asyncio.run(self._skip_requests())
        except (KafkaError, OSError) as error:
            log.warning("%s: what can't be read is not skipped yet: %s", self.task.name, error)
        else:
            if skipped:
                log.warning("%s: %d requests are skipped: they expand too far", self.task.name, skipped)

    async def _skip_requests(self) -> int:
        self._heartbeat.schedule_on(asyncio.get_running_loop())  # it may take long
        return await skip_oversized(self._settings, self.task.name)

    def _start(self) -> None:
        from app.preprocess import job as flink

        self._job = flink.start_live_job(self._settings, self._cluster, self.task)
        self._last_running = time.monotonic()
        self._heartbeat.beat()
        log.info("%s: job %s is submitted", self.task.name, self._job)


if __name__ == "__main__":
    sys.exit(main())

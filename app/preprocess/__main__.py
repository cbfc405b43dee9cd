"""The `preprocess` process: Flink's mini-cluster with the preprocessing job, until it is told to stop."""

import asyncio
import logging
import os
import signal
import sys
import sysconfig
import time
from typing import Any

from app import topics
from app.embedded import java
from app.preprocess import suspects
from app.settings import CHECKOUT, Settings, settings

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


def prepare_java(configured: Settings) -> None:
    """Point PyFlink to our Java runtime, with a heap of the size that is set."""
    os.environ["JAVA_HOME"] = str(java.home())
    # The interpreter inside the Java process knows nothing of virtual environments: it is told where packages are.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT), sysconfig.get_path("purelib")])
    os.environ["JVM_ARGS"] = f"-Xmx{configured.flink_memory} -XX:+UseSerialGC -XX:MaxMetaspaceSize=192m -Duser.timezone=UTC"
    logs = configured.home / "logs" / "flink"
    logs.mkdir(parents=True, exist_ok=True)
    os.environ["FLINK_LOG_DIR"] = str(logs)


def run(configured: Settings) -> int:
    """Start the job and watch it."""
    from app.preprocess import job
    from app.preprocess.function import Preprocess, flights

    deaths = suspects.collect(flights(configured))
    for record_id, count in deaths.items():
        log.warning("record %s was being read when this process died (%d of %d)", record_id, count, suspects.DEATHS)
    thread_mode = can_embed_python()
    if not thread_mode:
        log.warning("this Python has no shared library: Flink runs it as a process of its own, about 10 ms slower")
    table = job.environment(configured, thread_mode)
    client: Any = (
        job.live(configured, table, Preprocess(configured, suspects.quarantined(deaths))).execute().get_job_client()
    )
    log.info("job %s is submitted", client.get_job_id())
    while True:
        status = client.get_job_status().result().name
        if status in _ENDED:
            log.error("the job has ended: %s", status)
            return 1
        time.sleep(_POLL_SECONDS)


def can_embed_python() -> bool:
    """Whether PyFlink's thread mode can load this interpreter into the Java process."""
    try:
        import pemja  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())

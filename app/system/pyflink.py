"""What PyFlink needs of this machine: a Java runtime, and a Python that it can load."""

import ctypes
import logging
import os
import sysconfig

import find_libpython

from app.errors import SetupError
from app.settings import CHECKOUT, Settings
from app.system import java

PYTHON_REMEDY = "Use a Python with a shared library (Debian, Ubuntu: apt install libpython3.11)."


def prepare_java(configured: Settings) -> None:
    """Point PyFlink to our Java runtime, with a heap of the size that is set. Raises `SetupError`."""
    if find_python_library() is None and not configured.flink_process_mode:
        raise SetupError(
            "Flink can't load this Python: it has no shared library. Without one Flink would run Python in a process "
            "that takes orders from whoever reaches this machine.",
            f"{PYTHON_REMEDY} In a network that you trust, HINDSIGHT_FLINK_PROCESS_MODE=1 does without.",
        )
    # A dead Java process is said once, by whoever waits for it; and nobody asked for Google's file system.
    for chatty in ("py4j.java_gateway", "py4j.clientserver", "apache_beam.io.filesystems"):
        logging.getLogger(chatty).disabled = True
    os.environ["JAVA_HOME"] = str(java.home())
    # Or a pool of Beam's workers listens on every interface, and runs what any caller sends: Flink starts its own.
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112
    # The interpreter inside the Java process knows nothing of virtual environments: it is told where packages are.
    own = [str(CHECKOUT), sysconfig.get_path("purelib")]
    theirs = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in own]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own, *theirs])
    logs = configured.home / "logs" / "flink"
    # The quick compiler only: most of the work is in Python, and a start takes less time and memory.
    lean = "-XX:+UseSerialGC -XX:MaxMetaspaceSize=192m -XX:TieredStopAtLevel=1"
    crash = f"-XX:ErrorFile={logs}/crash-%p.log -XX:-CreateCoredumpOnCrash"
    os.environ["JVM_ARGS"] = f"-Xmx{configured.flink_memory} {lean} {crash} -Duser.timezone=UTC"
    logs.mkdir(parents=True, exist_ok=True)
    os.environ["FLINK_LOG_DIR"] = str(logs)


def find_python_library() -> str | None:
    """The library of this Python that PyFlink's thread mode can load into the Java process; None without one."""
    library = find_libpython.find_libpython()
    try:
        ctypes.CDLL(library or "")
    except OSError:
        return None
    return library

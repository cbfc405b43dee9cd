"""Requirements of PyFlink: a Java runtime, and a Python that it can load."""

import ctypes
import logging
import os
import sys
import sysconfig

import find_libpython

from app.errors import SetupError
from app.settings import CHECKOUT, Settings
from app.system import java

PYTHON_REMEDY = "Use a Python with a shared library (Debian, Ubuntu: apt install libpython3.11)."
THREAD_MODE_MODULES = CHECKOUT / "app" / "preprocess" / "thread_mode"
"""Directory of the modules that hide others in thread mode."""


def prepare_java(config: Settings) -> None:
    """Set the environment variables that make PyFlink use our Java runtime. Raises SetupError if it cannot run."""
    if find_python_library() is None and not config.flink_process_mode:
        raise SetupError(
            "Flink can't load this Python: it has no shared library. Without one Flink would run Python in a process "
            "that executes commands of every client that can reach this machine.",
            f"{PYTHON_REMEDY} In a network that you trust, set HINDSIGHT_FLINK_PROCESS_MODE=1 instead.",
        )
    # We report a dead Java process once ourselves, and do not use Google's file system.
    for name in ("py4j.java_gateway", "py4j.clientserver", "apache_beam.io.filesystems"):
        logging.getLogger(name).disabled = True
    os.environ["JAVA_HOME"] = str(java.home())
    # Otherwise a pool of Beam's workers listens on every interface and runs any caller's code. Flink starts its own.
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112
    # The interpreter inside the Java process does not find the packages of a virtual environment by itself.
    own_paths = [str(CHECKOUT), sysconfig.get_path("purelib")]
    if find_python_library() is not None:
        own_paths.insert(0, str(THREAD_MODE_MODULES))
        if own_paths[0] not in sys.path:
            sys.path.insert(0, own_paths[0])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in own_paths]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own_paths, *paths])
    logs = config.home / "logs" / "flink"
    # The first compiler only: most of the work is in Python, and a start takes less time and memory.
    lean = "-XX:+UseSerialGC -XX:MaxMetaspaceSize=192m -XX:TieredStopAtLevel=1"
    # The heap begins small, by default with 1/64 of the machine's memory, and returns what a large payload needed.
    lean += " -Xms48m -XX:MinHeapFreeRatio=20 -XX:MaxHeapFreeRatio=40"
    crash = f"-XX:ErrorFile={logs}/crash-%p.log -XX:-CreateCoredumpOnCrash"
    os.environ["JVM_ARGS"] = f"-Xmx{config.flink_memory} {lean} {crash} -Duser.timezone=UTC"
    logs.mkdir(parents=True, exist_ok=True)
    os.environ["FLINK_LOG_DIR"] = str(logs)


def find_python_library() -> str | None:
    """Return the library of this Python that PyFlink's thread mode loads into the Java process, or None."""
    library = find_libpython.find_libpython()
    try:
        ctypes.CDLL(library or "")
    except OSError:
        return None
    return library

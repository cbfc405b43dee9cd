"""What PyFlink needs of this machine: a Java runtime, and a Python that it can load."""

import ctypes
import os
import sysconfig

import find_libpython

from app.embedded import java
from app.settings import CHECKOUT, Settings


def prepare_java(configured: Settings) -> None:
    """Point PyFlink to our Java runtime, with a heap of the size that is set."""
    os.environ["JAVA_HOME"] = str(java.home())
    # The interpreter inside the Java process knows nothing of virtual environments: it is told where packages are.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT), sysconfig.get_path("purelib")])
    lean = "-XX:+UseSerialGC -XX:MaxMetaspaceSize=192m"
    os.environ["JVM_ARGS"] = f"-Xmx{configured.flink_memory} {lean} -Duser.timezone=UTC"
    logs = configured.home / "logs" / "flink"
    logs.mkdir(parents=True, exist_ok=True)
    os.environ["FLINK_LOG_DIR"] = str(logs)


def python_library() -> str | None:
    """The library of this Python that PyFlink's thread mode can load into the Java process; None without one."""
    library = find_libpython.find_libpython()
    try:
        ctypes.CDLL(library or "")
    except OSError:
        return None
    return library

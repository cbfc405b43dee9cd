"""What PyFlink needs of this machine: a Java runtime, and a Python that it can load."""

import os
import sysconfig

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


def can_embed_python() -> bool:
    """Whether PyFlink's thread mode can load this interpreter into the Java process."""
    try:
        import pemja  # noqa: F401
    except ImportError:
        return False
    return True

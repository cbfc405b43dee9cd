"""PyFlink's gateway: Flink's Java process, started by `java_process.start_java`, once.

Flink's connector and Kafka's codecs are on the class path of the process: so the codecs' native libraries are loaded
once, however many jobs run and however often one restarts.
"""

import os

from pyflink import java_gateway
from pyflink.util import exceptions

from app.preprocess.java_classes import flink_classpath
from app.preprocess.java_process import start_java


def is_on_cluster() -> bool:
    """Return whether `flink run` started this process: then the cluster owns the Java side and its security."""
    return "PYFLINK_GATEWAY_PORT" in os.environ


def launch_java() -> None:
    """Start Flink's Java process for PyFlink, once. It ends whenever this process ends, even by SIGKILL."""
    if java_gateway._gateway is not None or is_on_cluster():
        return
    gateway = java_gateway._gateway = start_java(flink_classpath())
    java_gateway.import_flink_view(gateway)
    exceptions.install_exception_handler()
    exceptions.install_py4j_hooks()

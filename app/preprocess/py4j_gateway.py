"""Flink's Java process, which takes orders from this process alone.

PyFlink would start it with a Py4J gateway that runs any Java method for whoever connects, and would open a second
server in Python for calls back. Here the gateway demands a token, made anew at each start, that only this process
learns; nothing is called back. Flink's connector and Kafka's codecs are on the class path of the process itself: the
native libraries of the codecs are loaded once, however many jobs run and however often one restarts.
"""

import os
import subprocess
import threading

from py4j.java_gateway import GatewayParameters, JavaGateway
from pyflink import java_gateway, pyflink_gateway_server
from pyflink.util import exceptions

from app.errors import SetupError
from app.system import jars

_MAIN_CLASS = "org.apache.flink.api.python.shaded.py4j.GatewayServer"


def is_on_cluster() -> bool:
    """Whether `flink run` started this process: the Java side, and what guards it, are the cluster's then."""
    return "PYFLINK_GATEWAY_PORT" in os.environ


def launch_java() -> None:
    """Start Flink's Java process, once, for PyFlink to use. It ends when this process does, however that ends."""
    if java_gateway._gateway is not None or is_on_cluster():
        return
    environment = dict(os.environ)
    pyflink_gateway_server.prepare_environment_variables(environment)
    process = subprocess.Popen(
        _command(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        bufsize=0,  # what comes after the token stays in the pipe
        process_group=0,  # Ctrl-C in a terminal reaches this process alone
    )
    assert process.stdout is not None
    port, token = (process.stdout.readline().decode().strip() for _ in range(2))
    if not token:
        raise SetupError(
            f"Flink's Java process ended with code {process.wait()} before it listened.",
            "What it said stands above. HINDSIGHT_FLINK_MEMORY is the size of its heap: is that much memory free?",
        )
    threading.Thread(target=_forward_output, args=(process.stdout.fileno(),), daemon=True).start()
    parameters = GatewayParameters(port=int(port), auth_token=token, auto_convert=True)
    gateway = java_gateway._gateway = JavaGateway(gateway_parameters=parameters)
    java_gateway.import_flink_view(gateway)
    exceptions.install_exception_handler()
    exceptions.install_py4j_hooks()


def _forward_output(pipe: int) -> None:
    """Print what is printed in the Java process: by Flink, or by a user's task."""
    while printed := os.read(pipe, 65536):
        os.write(1, printed)


def _command(environment: dict[str, str]) -> list[str]:
    flink = pyflink_gateway_server.construct_flink_classpath(environment)
    command = [
        pyflink_gateway_server.find_java_executable(),
        *environment.get("JVM_ARGS", "").split(),
        # Our Java runtime has no compiler, and says so for each option about it.
        *(option for option in pyflink_gateway_server.get_jvm_opts(environment) if "jdk.compiler" not in option),
        *pyflink_gateway_server.construct_log_settings(environment),
        "-cp",
        os.pathsep.join([flink, *map(str, jars.flink_classpath())]),
        _MAIN_CLASS,
        "--enable-auth",
        "--die-on-broken-pipe",
        "0",
    ]
    return command

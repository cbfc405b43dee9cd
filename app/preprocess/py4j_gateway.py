"""Flink's Java process, started with a Py4J gateway that only this process can call.

PyFlink would start a gateway that runs any Java method for any caller, and a second server in Python for callbacks.
Here the gateway requires a token, created at each start and known to this process only, and there are no callbacks.
Flink's connector and Kafka's codecs are on the class path of the process: so the codecs' native libraries are loaded
once, however many jobs run and however often one restarts.
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
    """Return whether `flink run` started this process: then the cluster owns the Java side and its security."""
    return "PYFLINK_GATEWAY_PORT" in os.environ


def launch_java() -> None:
    """Start Flink's Java process for PyFlink, once. It ends whenever this process ends, even by SIGKILL."""
    if java_gateway._gateway is not None or is_on_cluster():
        return
    environment = dict(os.environ)
    pyflink_gateway_server.prepare_environment_variables(environment)
    process = subprocess.Popen(
        _command(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        bufsize=0,  # output after the token stays in the pipe
        process_group=0,  # Ctrl-C in a terminal reaches this process only
    )
    assert process.stdout is not None
    port, token = (process.stdout.readline().decode().strip() for _ in range(2))
    if not token:
        raise SetupError(
            f"Flink's Java process ended with code {process.wait()} before it accepted connections.",
            "Read its output above. Check that HINDSIGHT_FLINK_MEMORY, the size of its heap, is free.",
        )
    threading.Thread(target=_forward_output, args=(process.stdout.fileno(),), daemon=True).start()
    parameters = GatewayParameters(port=int(port), auth_token=token, auto_convert=True)
    gateway = java_gateway._gateway = JavaGateway(gateway_parameters=parameters)
    java_gateway.import_flink_view(gateway)
    exceptions.install_exception_handler()
    exceptions.install_py4j_hooks()


def _forward_output(pipe: int) -> None:
    """Write the Java process's output, from Flink or a user's task, to standard output."""
    while data := os.read(pipe, 65536):
        os.write(1, data)


def _command(environment: dict[str, str]) -> list[str]:
    flink_classpath = pyflink_gateway_server.construct_flink_classpath(environment)
    return [
        pyflink_gateway_server.find_java_executable(),
        *environment.get("JVM_ARGS", "").split(),
        "-XX:+DisplayVMOutputToStderr",  # standard output begins with the port and the token, whatever Java warns of
        # Our Java runtime has no compiler, and warns about each option for it.
        *(option for option in pyflink_gateway_server.get_jvm_opts(environment) if "jdk.compiler" not in option),
        *pyflink_gateway_server.construct_log_settings(environment),
        "-cp",
        os.pathsep.join([flink_classpath, *map(str, jars.flink_classpath())]),
        _MAIN_CLASS,
        "--enable-auth",
        "--die-on-broken-pipe",
        "0",
    ]

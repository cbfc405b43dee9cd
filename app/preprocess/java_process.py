"""A Java process with a Py4J gateway that only this process can call.

PyFlink would start a gateway that runs any Java method for any caller, and a second server in Python for callbacks.
Here the gateway requires a token, created at each start and known to this process only, and there are no callbacks.
"""

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from py4j.java_gateway import GatewayParameters, JavaGateway
from pyflink import pyflink_gateway_server

from app.errors import SetupError

_MAIN_CLASS = "org.apache.flink.api.python.shaded.py4j.GatewayServer"


def start_java(jars: Sequence[Path]) -> JavaGateway:
    """Start Java with Flink's jars and these. It ends when this process ends, even by SIGKILL. Raises SetupError."""
    environment = dict(os.environ)
    pyflink_gateway_server.prepare_environment_variables(environment)
    process = subprocess.Popen(
        _command(environment, jars),
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
    threading.Thread(target=_forward_output, args=(process.stdout,), daemon=True).start()
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=int(port), auth_token=token, auto_convert=True))
    gateway.java_process = process
    return gateway


def end_java(gateway: JavaGateway) -> None:
    """End the process of `start_java`."""
    gateway.close()
    gateway.java_process.kill()
    gateway.java_process.wait()
    gateway.java_process.stdin.close()


def _forward_output(pipe: IO[bytes]) -> None:
    """Write the Java process's output, from Flink or a user's task, to standard output."""
    with pipe:
        while data := os.read(pipe.fileno(), 65536):
            os.write(1, data)


def _command(environment: dict[str, str], jars: Sequence[Path]) -> list[str]:
    flink_classpath = pyflink_gateway_server.construct_flink_classpath(environment)
    return [
        pyflink_gateway_server.find_java_executable(),
        *environment.get("JVM_ARGS", "").split(),
        "-XX:+DisplayVMOutputToStderr",  # standard output begins with the port and the token, whatever Java warns of
        # Our Java runtime has no compiler, and warns about each option for it.
        *(option for option in pyflink_gateway_server.get_jvm_opts(environment) if "jdk.compiler" not in option),
        *pyflink_gateway_server.construct_log_settings(environment),
        "-cp",
        os.pathsep.join([flink_classpath, *map(str, jars)]),
        _MAIN_CLASS,
        "--enable-auth",
        "--die-on-broken-pipe",
        "0",
    ]

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from app.settings import CHECKOUT

SCRIPT = """
import sys
from pathlib import Path
from app.preprocess import py4j_gateway
from app.system.pyflink import prepare_java
from app.settings import Settings
prepare_java(Settings(home=Path(sys.argv[1])))
py4j_gateway.launch_java()
py4j_gateway.launch_java()
from pyflink.java_gateway import get_gateway
java = get_gateway()
java.jvm.System.out.println(java.jvm.java.lang.Integer.parseInt("42") + 1)
# One call, so one write: Java writes to the same pipe.
sys.stdout.write(f"gateway {java.gateway_parameters.port} {java.gateway_parameters.auth_token}\\n")
sys.stdout.flush()
sys.stdin.read()
"""


@dataclass(frozen=True)
class Launched:
    """A process that launched Flink's Java process, and the gateway's address."""

    process: subprocess.Popen[str]
    printed: str
    port: int
    token: str


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("home"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        text = ""
        # The lines of Java and Python come in any order.
        while not (gateway := re.search(r"gateway (\d+) (\S+)\n", text)) or text.count("\n") < 2:
            line = process.stdout.readline()
            assert line, f"it wrote only {text!r}; its errors are in the captured standard error"
            text += line
        yield Launched(process, text.replace(gateway[0], "").strip(), int(gateway[1]), gateway[2])
        process.kill()


def test_the_output_of_java_is_forwarded(launched: Launched) -> None:
    assert launched.printed == "43"


@pytest.mark.parametrize(("first", "runs"), [("", False), ("A\nsome-token\n", False), ("A\n{token}\n", True)])
def test_only_a_caller_with_the_token_runs_anything(launched: Launched, tmp_path: Path, first: str, runs: bool) -> None:
    file = tmp_path / "file"
    # Py4J's protocol: new java.io.FileOutputStream(path), which makes the file.
    command = f"{first.format(token=launched.token)}i\njava.io.FileOutputStream\ns{file}\ne\n"
    with socket.create_connection(("127.0.0.1", launched.port), timeout=10) as caller, suppress(OSError):
        caller.sendall(command.encode())
        caller.shutdown(socket.SHUT_WR)
        while caller.recv(4096):
            pass
    assert file.exists() == runs


def test_java_listens_only_on_the_gateways_port_and_ends_with_the_process(launched: Launched) -> None:
    process, port = launched.process, launched.port
    [java] = [child for child in psutil.Process(process.pid).children() if child.name() == "java"]
    listening = [connection.laddr for connection in java.net_connections() if connection.status == psutil.CONN_LISTEN]
    assert [(address.ip.removeprefix("::ffff:"), address.port) for address in listening] == [("127.0.0.1", port)]
    python_connections = psutil.Process(process.pid).net_connections()
    assert not [connection for connection in python_connections if connection.status == psutil.CONN_LISTEN]
    assert java.environ()["_python_worker_execution_mode"] == "process"
    process.kill()
    assert java.wait(30) is None or not java.is_running()

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
from app.preprocess import gateway
from app.system.pyflink import prepare_java
from app.settings import Settings
prepare_java(Settings(home=Path(sys.argv[1])))
gateway.launch_java()
gateway.launch_java()
from pyflink.java_gateway import get_gateway
java = get_gateway()
java.jvm.System.out.println(java.jvm.java.lang.Integer.parseInt("42") + 1)
print("door", java.gateway_parameters.port, java.gateway_parameters.auth_token, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Started:
    """A process with Flink's Java process, and the gateway's door."""

    process: subprocess.Popen[str]
    printed: str
    port: int
    token: str


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("home"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        printed, door = sorted(process.stdout.readline().strip() for _ in range(2))
        _, port, token = door.split(" ")
        yield Started(process, printed, int(port), token)
        process.kill()


def test_what_java_prints_is_heard(started: Started) -> None:
    assert started.printed == "43"


@pytest.mark.parametrize(("first", "runs"), [("", False), ("A\nsome-token\n", False), ("A\n{token}\n", True)])
def test_only_a_caller_with_the_token_runs_anything(started: Started, tmp_path: Path, first: str, runs: bool) -> None:
    made = tmp_path / "made"
    # Py4J's protocol: new java.io.FileOutputStream(path), which makes the file.
    command = f"{first.format(token=started.token)}i\njava.io.FileOutputStream\ns{made}\ne\n"
    with socket.create_connection(("127.0.0.1", started.port), timeout=10) as caller, suppress(OSError):
        caller.sendall(command.encode())
        caller.shutdown(socket.SHUT_WR)
        while caller.recv(4096):
            pass
    assert made.exists() == runs


def test_java_listens_at_the_gateway_alone_and_ends_with_the_process(started: Started) -> None:
    process, port = started.process, started.port
    [java] = [child for child in psutil.Process(process.pid).children() if child.name() == "java"]
    listening = [found.laddr for found in java.net_connections() if found.status == psutil.CONN_LISTEN]
    assert [(address.ip.removeprefix("::ffff:"), address.port) for address in listening] == [("127.0.0.1", port)]
    own = psutil.Process(process.pid).net_connections()
    assert not [found for found in own if found.status == psutil.CONN_LISTEN]
    assert java.environ()["_python_worker_execution_mode"] == "process"
    process.kill()
    assert java.wait(30) is None or not java.is_running()

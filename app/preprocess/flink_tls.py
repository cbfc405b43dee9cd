"""What guards the network doors of Flink's Java process: they are on 127.0.0.1 alone, and want a certificate.

Flink's REST server runs whatever job it is sent, and its blob server stores whatever it is sent, for every user of the
machine. Both are told to speak TLS and to demand the one certificate that there is: made anew at each start, its key
in a file that only this user can read.
"""

import os
import secrets
import subprocess
from functools import cache
from pathlib import Path

import psutil

from app.errors import SetupError
from app.preprocess.py4j_gateway import is_on_cluster
from app.settings import Settings
from app.system import java

_PASSWORD_VARIABLE = "HINDSIGHT_STORE_PASSWORD"  # noqa: S105  # the variable's name
_KEYTOOL_OPTIONS = (
    # RSA: what Flink's cipher suites are for.
    "-J-XX:TieredStopAtLevel=1 -genkeypair -alias flink -keyalg RSA -keysize 2048 -storetype PKCS12 "
    "-dname CN=127.0.0.1 -ext SAN=ip:127.0.0.1 -validity 3650"
)


def tls_options(settings: Settings) -> dict[str, str]:
    """Flink's configuration, the same at each call in one process; nothing on a cluster, which has its own."""
    if is_on_cluster():
        return {}
    store, password = _key_store((settings.home / "preprocess").resolve())
    options = {
        "jobmanager.bind-host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.bind-port": "0",
        "web.submit.enable": "false",
        "web.cancel.enable": "false",
        "web.access-control-allow-origin": "http://127.0.0.1:1",
        "security.ssl.rest.authentication-enabled": "true",
    }
    for door in ("rest", "internal"):  # the blob server is internal
        options |= {
            f"security.ssl.{door}.enabled": "true",
            f"security.ssl.{door}.keystore": str(store),
            f"security.ssl.{door}.keystore-password": password,
            f"security.ssl.{door}.key-password": password,
            f"security.ssl.{door}.truststore": str(store),  # who has the key is trusted, nobody else
            f"security.ssl.{door}.truststore-password": password,
        }
    return options


@cache
def _key_store(directory: Path) -> tuple[Path, str]:
    """A file with this process's key and certificate, and the file's password, which is written nowhere."""
    directory.mkdir(parents=True, exist_ok=True)
    path, password = directory / f"{os.getpid()}.p12", secrets.token_hex(32)
    for other in directory.glob("*.p12"):
        if other.stem == path.stem or not psutil.pid_exists(int(other.stem)):
            other.unlink(missing_ok=True)
    done = subprocess.run(
        # The password isn't an argument: every user of the machine sees those.
        [
            java.home() / "bin" / "keytool",
            *_KEYTOOL_OPTIONS.split(),
            "-storepass:env",
            _PASSWORD_VARIABLE,
            "-keystore",
            path,
        ],
        env=os.environ | {_PASSWORD_VARIABLE: password},
        capture_output=True,
        text=True,
        umask=0o077,
        check=False,
    )
    if done.returncode != 0:
        raise SetupError(
            f"The key store {path} can't be made: {(done.stdout + done.stderr).strip()}",
            "Is HINDSIGHT_HOME writable, and its disk not full?",
        )
    return path, password

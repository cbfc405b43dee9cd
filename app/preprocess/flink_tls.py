"""Mutual TLS for the ports of Flink's Java process, which listen on 127.0.0.1 only.

Without it, Flink's REST server runs any job, and its blob server stores any file, for every user of the machine. Both
are configured to require one certificate. It is created at each start; only this user can read the file with its key.
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
    # RSA, because Flink's cipher suites need it.
    "-J-XX:TieredStopAtLevel=1 -genkeypair -alias flink -keyalg RSA -keysize 2048 -storetype PKCS12 "
    "-dname CN=127.0.0.1 -ext SAN=ip:127.0.0.1 -validity 3650"
)


def tls_options(settings: Settings) -> dict[str, str]:
    """Return Flink's options, the same at each call in one process; none on a cluster, which has its own."""
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
    for scope in ("rest", "internal"):  # the blob server is internal
        options |= {
            f"security.ssl.{scope}.enabled": "true",
            f"security.ssl.{scope}.keystore": str(store),
            f"security.ssl.{scope}.keystore-password": password,
            f"security.ssl.{scope}.key-password": password,
            f"security.ssl.{scope}.truststore": str(store),  # only the holder of the key is trusted
            f"security.ssl.{scope}.truststore-password": password,
        }
    return options


@cache
def _key_store(directory: Path) -> tuple[Path, str]:
    """Create a file with this process's key and certificate; return its path and its password, stored nowhere else."""
    directory.mkdir(parents=True, exist_ok=True)
    path, password = directory / f"{os.getpid()}.p12", secrets.token_hex(32)
    for other in directory.glob("*.p12"):
        if other.stem == path.stem or not psutil.pid_exists(int(other.stem)):
            other.unlink(missing_ok=True)
    keytool = subprocess.run(
        # The password is not an argument, because every user of the machine can see arguments.
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
    if keytool.returncode != 0:
        raise SetupError(
            f"The key store {path} can't be created: {(keytool.stdout + keytool.stderr).strip()}",
            "Check that HINDSIGHT_HOME is writable and its disk is not full.",
        )
    return path, password

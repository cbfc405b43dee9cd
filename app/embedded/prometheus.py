"""Prometheus and Alertmanager, if they are on PATH. `python -m app.embedded.prometheus NAME` becomes one of them.

Their configuration is the one in `docker/prometheus`, with this deployment's ports. Additional rules in
HINDSIGHT_HOME/rules/*.yml are evaluated as well. They authenticate to the API with this deployment's own key
(`app.auth.local_key`). Nothing depends on them: the platform is ready without them.
"""

import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from app.auth import local_key
from app.embedded import ports
from app.settings import CHECKOUT, Settings, settings
from app.system import api_tls, secret_file

PROMETHEUS, ALERTMANAGER = "prometheus", "alertmanager"
_BINARY_NAMES = {PROMETHEUS: ("prometheus",), ALERTMANAGER: ("prometheus-alertmanager", "alertmanager")}
"""Process name -> names of its program on PATH: Debian's, the project's own."""
PROCESS_NAMES = frozenset(_BINARY_NAMES)
CONFIG_DIRECTORY = CHECKOUT / "docker" / "prometheus"
_RETENTION_OPTIONS = ("--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=1GB")
_NO_CORS = "--web.cors.origin=none"
"""By default any web page may query Prometheus."""
_USER = "hindsight"


def find_binary(name: str) -> str | None:
    """Return the path of the program of this process, or None if it is not on PATH."""
    return next((path for binary in _BINARY_NAMES[name] if (path := shutil.which(binary))), None)


def unavailable_processes(config: Settings, processes: Collection[str]) -> dict[str, str]:
    """Return which of these processes are monitoring programs that cannot run here, each with the reason."""
    monitoring = PROCESS_NAMES.intersection(processes)
    reasons = {name: "it is not on PATH" for name in monitoring if find_binary(name) is None}
    for port in ports.required_ports(config, monitoring - reasons.keys()):
        if not port.is_free:
            reasons[port.process] = f"port {port.number} is taken, {port.variable} sets another"
    return reasons


def write_config(config: Settings, name: str) -> Path:
    """Write the configuration into the home. Return its path."""
    folder = config.home.resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    document = _prometheus_config(config) if name == PROMETHEUS else _alertmanager_config(config)
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def build_command(config: Settings, name: str) -> list[str]:
    """Return the command line of the process. Raises FileNotFoundError if its program is not on PATH."""
    path, binary = write_config(config, name), find_binary(name)
    if binary is None:
        raise FileNotFoundError(f"{name} is not on PATH")
    port = config.prometheus_port if name == PROMETHEUS else config.alertmanager_port
    common = [f"--config.file={path}", f"--web.listen-address={ports.LOOPBACK}:{port}", "--log.level=warn"]
    if name == PROMETHEUS:
        return [binary, *common, f"--storage.tsdb.path={path.parent / 'data'}", *_RETENTION_OPTIONS, _NO_CORS]
    files = [
        f"--storage.path={path.parent / 'data'}",
        f"--web.config.file={_write_web_config(config, path.parent)}",
    ]
    return [binary, *common, *files, "--cluster.listen-address="]


def _prometheus_config(config: Settings) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONFIG_DIRECTORY / "prometheus.yml").read_text())
    interval = f"{round(config.scrape_seconds * 1000)}ms"
    document["global"] |= {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    document["rule_files"] = [f"{CONFIG_DIRECTORY}/rules/*.yml", f"{config.home.resolve()}/rules/*.yml"]
    alertmanager = f"{ports.LOOPBACK}:{config.alertmanager_port}"
    user = {"username": _USER, "password_file": str(_password_file(config))}
    document["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}], "basic_auth": user}]
    if not config.embedded_kafka:  # the owner of an external cluster monitors it
        document["scrape_configs"] = [job for job in document["scrape_configs"] if job["job_name"] != "hindsight-kafka"]
    for job in document["scrape_configs"]:
        process = job["job_name"].removeprefix("hindsight-")
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [_scrape_target(config, process)]}]
        if process == "api":
            job.update({"scheme": api_tls.api_scheme(config)} | _authorization_config(config))
    return document


def _alertmanager_config(config: Settings) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONFIG_DIRECTORY / "alertmanager.yml").read_text())
    [webhook] = document["receivers"][0]["webhook_configs"]
    webhook["url"] = f"{api_tls.api_scheme(config)}://{_scrape_target(config, 'api')}/v1/alerts"
    webhook["http_config"] = _authorization_config(config)
    return document


def _write_web_config(config: Settings, folder: Path) -> Path:
    """Protect Alertmanager with a password: any web page can call its API, and an alert starts a retraining."""
    password = secret_file.read_or_create(_password_file(config))
    path = folder / "web.yml"
    path.touch(0o600)
    path.write_text(
        yaml.safe_dump({"basic_auth_users": {_USER: bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()}})
    )
    return path


def _password_file(config: Settings) -> Path:
    path = config.home.resolve() / "alertmanager.password"
    secret_file.read_or_create(path)
    return path


def _scrape_target(config: Settings, process: str) -> str:
    """Return the address at which a process exports its metrics on this machine."""
    port = config.api_port if process == "api" else getattr(config, f"{process}_metrics_port")
    return f"{config.host_of(process)}:{port}"


def _authorization_config(config: Settings) -> dict[str, Any]:
    """Return the client options that send our own key, from a file that only its owner can read."""
    key, path = local_key.load_or_create_key(config), local_key.key_path(config)
    if config.api_key is not None:
        path = path.with_name("api.key")
        path.touch(0o600)
        path.chmod(0o600)
        path.write_text(key)
    options: dict[str, Any] = {"authorization": {"credentials_file": str(path)}}
    if config.tls_certificate is not None:  # over loopback, for which no certificate is issued
        options["tls_config"] = {"insecure_skip_verify": True}
    return options


def main() -> None:
    """Become the monitoring program: the process keeps its id, so that signals reach it."""
    try:
        command = build_command(settings(), sys.argv[1])
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"error: {sys.argv[1]} cannot start: {error}")


if __name__ == "__main__":
    main()

"""Prometheus and Alertmanager, where they are on PATH. `python -m app.embedded.prometheus NAME` becomes one.

Their configuration is that of `docker/prometheus`, with this deployment's ports. Rules of one's own, in
HINDSIGHT_HOME/rules/*.yml, are evaluated as well. To the API they say this deployment's own key (`app.auth.local_key`).
Nothing depends on them: the platform is ready without.
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
from app.embedded.readiness import reachable_host
from app.settings import CHECKOUT, Settings, settings
from app.system import api_tls, secret_file

PROMETHEUS, ALERTMANAGER = "prometheus", "alertmanager"
_BINARY_NAMES = {PROMETHEUS: ("prometheus",), ALERTMANAGER: ("prometheus-alertmanager", "alertmanager")}
"""Of each, its names on PATH: Debian's, the project's own."""
PROCESS_NAMES = frozenset(_BINARY_NAMES)
CONFIG_DIRECTORY = CHECKOUT / "docker" / "prometheus"
_RETENTION_OPTIONS = ("--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=1GB")


_NO_CORS = "--web.cors.origin=none"
"""By default any page may read what Prometheus knows."""
_USER = "hindsight"


def find_binary(name: str) -> str | None:
    """Where it is on PATH, if it is."""
    return next((found for one in _BINARY_NAMES[name] if (found := shutil.which(one))), None)


def unavailable_processes(config: Settings, wanted: Collection[str]) -> dict[str, str]:
    """Which of the wanted processes are watchers that can't be run here, and why."""
    reasons = {name: "it is not on PATH" for name in PROCESS_NAMES.intersection(wanted) if find_binary(name) is None}
    for port in ports.required_ports(config, PROCESS_NAMES.intersection(wanted) - reasons.keys()):
        if not port.is_free:
            reasons[port.process] = f"port {port.number} is taken, {port.variable} sets another"
    return reasons


def write_config(config: Settings, name: str) -> Path:
    """Writes the configuration into the home; where it is."""
    folder = config.home.resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    made = _prometheus_config(config) if name == PROMETHEUS else _alertmanager_config(config)
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


def build_command(config: Settings, name: str) -> list[str]:
    """Its command line. Raises FileNotFoundError where it is not on PATH."""
    path, found = write_config(config, name), find_binary(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not on PATH")
    port = config.prometheus_port if name == PROMETHEUS else config.alertmanager_port
    common = [f"--config.file={path}", f"--web.listen-address={ports.LOOPBACK}:{port}", "--log.level=warn"]
    if name == PROMETHEUS:
        return [found, *common, f"--storage.tsdb.path={path.parent / 'data'}", *_RETENTION_OPTIONS, _NO_CORS]
    own_files = [
        f"--storage.path={path.parent / 'data'}",
        f"--web.config.file={_write_web_config(config, path.parent)}",
    ]
    return [found, *common, *own_files, "--cluster.listen-address="]


def _prometheus_config(config: Settings) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((CONFIG_DIRECTORY / "prometheus.yml").read_text())
    interval = f"{round(config.scrape_seconds * 1000)}ms"
    made["global"] |= {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    made["rule_files"] = [f"{CONFIG_DIRECTORY}/rules/*.yml", f"{config.home.resolve()}/rules/*.yml"]
    alertmanager = f"{ports.LOOPBACK}:{config.alertmanager_port}"
    user = {"username": _USER, "password_file": str(_password_file(config))}
    made["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}], "basic_auth": user}]
    if not config.embedded_kafka:  # another's broker is another's to watch
        made["scrape_configs"] = [one for one in made["scrape_configs"] if one["job_name"] != "hindsight-kafka"]
    for scraped in made["scrape_configs"]:
        process = scraped["job_name"].removeprefix("hindsight-")
        scraped["static_configs"] = [{"targets": [_scrape_target(config, process)]}]
        if process == "api":
            scraped.update({"scheme": api_tls.api_scheme(config)} | _authorization_config(config))
    return made


def _alertmanager_config(config: Settings) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((CONFIG_DIRECTORY / "alertmanager.yml").read_text())
    [hook] = made["receivers"][0]["webhook_configs"]
    hook["url"] = f"{api_tls.api_scheme(config)}://{_scrape_target(config, 'api')}/v1/alerts"
    hook["http_config"] = _authorization_config(config)
    return made


def _write_web_config(config: Settings, folder: Path) -> Path:
    """Write what has Alertmanager ask for a password: any page may call its API, and an alert begins a retraining."""
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
    """Where a process answers on this machine."""
    port = config.api_port if process == "api" else getattr(config, f"{process}_metrics_port")
    return f"{reachable_host(ports.bind_host(config, process))}:{port}"


def _authorization_config(config: Settings) -> dict[str, Any]:
    """How to say our own key: from a file that nobody else may read."""
    key, path = local_key.load_or_create_key(config), local_key.key_path(config)
    if config.api_key is not None:
        path = path.with_name("api.key")
        path.touch(0o600)
        path.chmod(0o600)
        path.write_text(key)
    found: dict[str, Any] = {"authorization": {"credentials_file": str(path)}}
    # Over loopback, where no certificate has this machine's name.
    return found if config.tls_certificate is None else found | {"tls_config": {"insecure_skip_verify": True}}


def main() -> None:
    """Becomes the watcher: the process keeps its id, so that signals reach it."""
    try:
        line = build_command(settings(), sys.argv[1])
        os.execv(line[0], line)  # noqa: S606
    except OSError as error:
        sys.exit(f"error: {sys.argv[1]} cannot start: {error}")


if __name__ == "__main__":
    main()

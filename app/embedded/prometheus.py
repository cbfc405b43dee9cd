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
from app.embedded.readiness import reachable
from app.settings import CHECKOUT, Settings, settings
from app.system import api_tls, secret_file

PROMETHEUS, ALERTMANAGER = "prometheus", "alertmanager"
_BINARIES = {PROMETHEUS: ("prometheus",), ALERTMANAGER: ("prometheus-alertmanager", "alertmanager")}
"""Of each, its names on PATH: Debian's, the project's own."""
NAMES = frozenset(_BINARIES)
FOLDER = CHECKOUT / "docker" / "prometheus"
_KEPT = ("--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=1GB")


_NO_CORS = "--web.cors.origin=none"
"""By default any page may read what Prometheus knows."""
_USER = "hindsight"


def binary(name: str) -> str | None:
    """Where it is on PATH, if it is."""
    return next((found for one in _BINARIES[name] if (found := shutil.which(one))), None)


def absent(config: Settings, wanted: Collection[str]) -> dict[str, str]:
    """Which of the wanted processes are watchers that can't be run here, and why."""
    reasons = {name: "it is not on PATH" for name in NAMES.intersection(wanted) if binary(name) is None}
    for port in ports.needed(config, NAMES.intersection(wanted) - reasons.keys()):
        if not port.is_free:
            reasons[port.process] = f"port {port.number} is taken, {port.variable} sets another"
    return reasons


def write(config: Settings, name: str) -> Path:
    """Writes the configuration into the home; where it is."""
    folder = config.home.resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    made = _prometheus(config) if name == PROMETHEUS else _alertmanager(config)
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


def command(config: Settings, name: str) -> list[str]:
    """Its command line. Raises FileNotFoundError where it is not on PATH."""
    path, found = write(config, name), binary(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not on PATH")
    port = config.prometheus_port if name == PROMETHEUS else config.alertmanager_port
    common = [f"--config.file={path}", f"--web.listen-address={ports.LOOPBACK}:{port}", "--log.level=warn"]
    if name == PROMETHEUS:
        return [found, *common, f"--storage.tsdb.path={path.parent / 'data'}", *_KEPT, _NO_CORS]
    own_files = [f"--storage.path={path.parent / 'data'}", f"--web.config.file={_locked(config, path.parent)}"]
    return [found, *common, *own_files, "--cluster.listen-address="]


def _prometheus(config: Settings) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    interval = f"{round(config.scrape_seconds * 1000)}ms"
    made["global"] |= {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    made["rule_files"] = [f"{FOLDER}/rules/*.yml", f"{config.home.resolve()}/rules/*.yml"]
    alertmanager = f"{ports.LOOPBACK}:{config.alertmanager_port}"
    user = {"username": _USER, "password_file": str(_password_file(config))}
    made["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}], "basic_auth": user}]
    if not config.embedded_kafka:  # another's broker is another's to watch
        made["scrape_configs"] = [one for one in made["scrape_configs"] if one["job_name"] != "hindsight-kafka"]
    for scraped in made["scrape_configs"]:
        process = scraped["job_name"].removeprefix("hindsight-")
        scraped["static_configs"] = [{"targets": [_target(config, process)]}]
        if process == "api":
            scraped.update({"scheme": api_tls.scheme(config)} | _authorization(config))
    return made


def _alertmanager(config: Settings) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    [hook] = made["receivers"][0]["webhook_configs"]
    hook["url"] = f"{api_tls.scheme(config)}://{_target(config, 'api')}/v1/alerts"
    hook["http_config"] = _authorization(config)
    return made


def _locked(config: Settings, folder: Path) -> Path:
    """Write what has Alertmanager ask for a password: any page may call its API, and an alert begins a retraining."""
    password = secret_file.read_or_make(_password_file(config))
    path = folder / "web.yml"
    path.touch(0o600)
    path.write_text(
        yaml.safe_dump({"basic_auth_users": {_USER: bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()}})
    )
    return path


def _password_file(config: Settings) -> Path:
    path = config.home.resolve() / "alertmanager.password"
    secret_file.read_or_make(path)
    return path


def _target(config: Settings, process: str) -> str:
    """Where a process answers on this machine."""
    port = config.api_port if process == "api" else getattr(config, f"{process}_metrics_port")
    return f"{reachable(ports.host(config, process))}:{port}"


def _authorization(config: Settings) -> dict[str, Any]:
    """How to say our own key: from a file that nobody else may read."""
    key, path = local_key.make(config), local_key.path_of(config)
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
        line = command(settings(), sys.argv[1])
        os.execv(line[0], line)  # noqa: S606
    except OSError as error:
        sys.exit(f"error: {sys.argv[1]} cannot start: {error}")


if __name__ == "__main__":
    main()

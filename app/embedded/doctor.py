"""The checks of `hindsight doctor`: what the platform needs, and a remedy for what is missing."""

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import httpx

from app.embedded import api_readiness, broker, lock, orphans, ports, prometheus
from app.embedded import status as statuses
from app.errors import SetupError, describe
from app.events import topics
from app.kafka import clients
from app.registry import shipped
from app.registry.packaged_version import COMMAND
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.system import disk, jars, java
from app.system.pyflink import PYTHON_REMEDY, find_python_library
from app.tasks import load_task

Status = Literal["ok", "warn", "fail"]
BROKER_SECONDS = 5.0
BLOCKED_REMEDY = "Find the process that holds up requests with `hindsight status`, and restart it: `hindsight restart`."
LOGS_REMEDY = "Read `hindsight logs {}`; see docs/runbooks.md."


@dataclass(frozen=True)
class Check:
    """Result of one check: its status, what was found, and the remedy of a problem."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def run_checks(config: Settings) -> list[Check]:
    """Run every check; those of a running platform only if there is one."""
    checks = [
        _check_python(),
        *_run_guarded("java", lambda: [Check("java", "ok", java.runtime_version())]),
        *_run_guarded("jars", lambda: [_check_jars()]),
        *_run_guarded("weights", lambda: list(_check_weights(config))),
        _check_thread_mode(config),
        _check_prometheus(),
        *_run_guarded("home", lambda: [_check_home(config)]),
        *_run_guarded("disk", lambda: [_check_disk(config)]),
        *_run_guarded("blobs", lambda: [_check_blobs(config)]),
        *_check_settings(config),
        *_check_port_conflicts(config),
        *_run_guarded("ports", lambda: [_check_port(config, port) for port in ports.required_ports(config)]),
    ]
    pid = lock.holder_pid(config.home)
    if pid is None:
        checks.append(Check("platform", "ok", "not running: `make run` or `hindsight up` starts it"))
        return checks if config.embedded_kafka else [*checks, *asyncio.run(_check_broker(config))]
    checks.append(Check("platform", "ok", f"running: process {pid}"))
    return [*checks, *asyncio.run(_check_platform(config))]


def _run_guarded(name: str, check: Callable[[], list[Check]]) -> list[Check]:
    try:
        return check()
    except SetupError as error:
        return [Check(name, "fail", error.message, error.remedy)]
    except OSError as error:
        return [Check(name, "fail", str(error), "Check its settings below.")]


def _check_python() -> Check:
    detail = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        return Check("python", "ok", detail)
    return Check("python", "fail", detail, "Use Python 3.11: `make setup` creates a virtual environment with it.")


def _check_jars() -> Check:
    missing = [jar.filename for jar in jars.read_lock() if not jars.is_verified(jar, recheck=True)]
    if missing:
        remedy = "Fetch them with `make setup`, or start the platform."
        return Check("jars", "warn", f"{len(missing)} are not yet in {jars.jar_directory()}", remedy)
    return Check("jars", "ok", f"{len(jars.read_lock())} in {jars.jar_directory()}, checksums match")


def _check_weights(config: Settings) -> Iterator[Check]:
    """Check the files of each task's shipped versions that come from packages."""
    whole = 0
    for name in config.tasks:
        try:
            versions = shipped.packaged_versions(config.cache, load_task(config, name))
        except SetupError as error:
            yield Check(f"weights: {name}", "warn", error.message, error.remedy)
            continue
        for version in versions:
            if damaged := version.damaged_files():
                detail = f"version {version.number}: {', '.join(damaged)} missing or damaged in {version.directory}"
                remedy = f"Fetch them with `{COMMAND} {name}`."
                yield Check(f"weights: {name}", "warn", detail, remedy)
            else:
                whole += 1
    yield Check("weights", "ok", f"{whole} versions in {config.cache / 'models'}, checksums match")


def _check_thread_mode(config: Settings) -> Check:
    """Check that this Python has a shared library: PyFlink's thread mode loads it into Flink's Java process."""
    if (library := find_python_library()) is not None:
        return Check("flink", "ok", f"runs Python in threads, with {library}")
    reason = "this Python has no shared library that Flink could load"
    if config.flink_process_mode:
        return Check("flink", "warn", f"{reason}: it runs in a process that listens on every interface", PYTHON_REMEDY)
    return Check("flink", "fail", reason, PYTHON_REMEDY)


def _check_prometheus() -> Check:
    missing = [name for name in sorted(prometheus.PROCESS_NAMES) if prometheus.find_binary(name) is None]
    if not missing:
        return Check("alerts", "ok", "Prometheus and Alertmanager are on PATH")
    remedy = (
        "Install them (Debian: apt install prometheus prometheus-alertmanager), or run your own: docker/prometheus."
    )
    return Check("alerts", "warn", f"not on PATH: {', '.join(missing)}; no alerts are sent", remedy)


def _check_home(config: Settings) -> Check:
    disk.check_writable(config.home)
    return Check("home", "ok", f"{config.home.resolve()} can be written to")


def _check_disk(config: Settings) -> Check:
    warning = disk.check_space(config.home)
    if warning:
        return Check("disk", "warn", warning, disk.DISK_REMEDY)
    return Check("disk", "ok", f"{disk.free(config.home) / disk.GiB:.0f} GiB are free")


def _check_blobs(config: Settings) -> Check:
    blob_store(config).prepare()
    return Check("blobs", "ok", f"{config.blob_store_url} can be read and written")


def _check_settings(config: Settings) -> Iterator[Check]:
    names = (*type(config).model_fields, *config.former_names.values())
    known = {f"HINDSIGHT_{name.upper()}" for name in names} | {orphans.PROCESS_VARIABLE}
    for name in sorted(os.environ):
        if name.upper().startswith("HINDSIGHT_") and name.upper() not in known:
            yield Check("settings", "warn", f"{name} is not a setting", "See the list of settings below.")


def _check_port_conflicts(config: Settings) -> Iterator[Check]:
    for first, second in ports.find_conflicts(ports.required_ports(config)):
        remedy = f"Set one of them to another port, for instance {second.variable}={ports.free_port()}."
        yield Check(f"port {first.number}", "fail", f"is set twice: {first.variable}, {second.variable}", remedy)


def _pid(config: Settings, name: str) -> int | None:
    """Return the process id of a line of the Procfile: the process that listens may be a child of it."""
    platform_status = statuses.read_status(config.home)
    processes = platform_status.processes if platform_status else []
    return next((process.pid for process in processes if process.name == name), None)


def _check_port(config: Settings, port: ports.Port) -> Check:
    name = f"port {port.number}"
    if port.is_free:
        return Check(name, "ok", f"free, for {port.process}")
    process = ports.listening_process(port.number)
    if process and (owner := orphans.owning_process_name(process, config.home.resolve())) == port.process:
        return Check(name, "ok", f"held by our own {owner}, process {_pid(config, owner) or process.pid}")
    status: Status = "warn" if port.process in prometheus.PROCESS_NAMES else "fail"
    remedy = f"Stop that process, or choose another port, for instance {port.variable}={ports.free_port()}."
    return Check(name, status, f"needed by {port.process}, is held by {ports.describe_process(process)}", remedy)


async def _check_platform(config: Settings) -> list[Check]:
    """Check the parts of a running platform."""
    checks = [*await _check_broker(config), await _check_mlserver(config)]
    _, parts = await api_readiness.probe_readiness(config)
    for name, part in parts.items():
        remedy = BLOCKED_REMEDY if name in config.tasks else LOGS_REMEDY.format(name)
        checks.append(
            Check(f"ready: {name}", "ok" if part.ready else "fail", part.detail, "" if part.ready else remedy)
        )
    return checks


async def _check_mlserver(config: Settings) -> Check:
    url = f"http://{config.host_of('mlserver')}:{config.mlserver_http_port}/v2/health/ready"
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            (await client.get(url)).raise_for_status()
    except httpx.HTTPError as error:
        return Check("mlserver", "fail", f"{url}: {describe(error)}", LOGS_REMEDY.format("mlserver"))
    return Check("mlserver", "ok", f"{url} answers")


async def _check_broker(config: Settings) -> list[Check]:
    if not await broker.wait(config, BROKER_SECONDS):
        remedy = (
            LOGS_REMEDY.format("kafka")
            if config.embedded_kafka
            else "Check HINDSIGHT_KAFKA_BOOTSTRAP, and that this machine can reach the cluster."
        )
        return [Check("kafka", "fail", f"no broker answers at {config.bootstrap}", remedy)]
    async with clients.open_admin(config) as admin:
        existing = set(await admin.list_topics())
    missing = sorted({topic.name for topic in topics.required_topics(config)} - existing)
    topics_check = (
        Check("topics", "fail", f"missing: {', '.join(missing)}", "Restart the platform: it creates them.")
        if missing
        else Check("topics", "ok", f"{len(existing)} topics")
    )
    return [Check("kafka", "ok", f"{config.bootstrap} answers"), topics_check]

"""`hindsight doctor`: checks what the platform needs, and says what to do about what is missing."""

import asyncio
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.embedded import broker, lock, orphans, ports, prometheus, readiness
from app.embedded import status as statuses
from app.embedded.settings_table import SettingRow, read_setting_rows, settings_table
from app.errors import SetupError
from app.events import topics
from app.kafka import clients
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.system import disk, jars, java
from app.system.pyflink import PYTHON_REMEDY, find_python_library

Status = Literal["ok", "warn", "fail"]
COLOURS: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
BLOCKED_REMEDY = "`hindsight status` names the process that holds requests up, `hindsight restart` starts it again."
LOGS_REMEDY = "`hindsight logs {}` says why; see docs/runbooks.md."


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do if it isn't well."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def run_checks(config: Settings) -> list[Check]:
    """Every check. Those of the running platform are made only when there is one."""
    found = [
        _check_python(),
        *_run_guarded("java", lambda: [Check("java", "ok", java.runtime_version())]),
        *_run_guarded("jars", lambda: [_check_jars()]),
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
        found.append(Check("platform", "ok", "not running: `make run` or `hindsight up` starts it"))
        return found if config.embedded_kafka else [*found, *asyncio.run(_check_broker(config))]
    found.append(Check("platform", "ok", f"running: process {pid}"))
    return [*found, *asyncio.run(_check_platform(config))]


def _run_guarded(name: str, check: Callable[[], list[Check]]) -> list[Check]:
    try:
        return check()
    except SetupError as error:
        return [Check(name, "fail", error.message, error.remedy)]
    except OSError as error:
        return [Check(name, "fail", str(error), "See whether its settings below are right.")]


def _check_python() -> Check:
    detail = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        return Check("python", "ok", detail)
    return Check("python", "fail", detail, "Run it with Python 3.11: `make setup` makes a virtual environment with it.")


def _check_jars() -> Check:
    missing = [jar.filename for jar in jars.read_lock() if not jars.is_verified(jar, recheck=True)]
    if missing:
        remedy = "`make setup` fetches them; so does the next start."
        return Check("jars", "warn", f"{len(missing)} are not yet in {jars.jar_directory()}", remedy)
    return Check("jars", "ok", f"{len(jars.read_lock())} in {jars.jar_directory()}, checksums right")


def _check_thread_mode(config: Settings) -> Check:
    """PyFlink's thread mode loads this Python's library into Flink's Java process: it has to exist as one."""
    if (library := find_python_library()) is not None:
        return Check("flink", "ok", f"runs Python in threads, with {library}")
    said = "this Python has no shared library that Flink could load"
    if config.flink_process_mode:
        return Check("flink", "warn", f"{said}: it runs in a process that listens on every interface", PYTHON_REMEDY)
    return Check("flink", "fail", said, PYTHON_REMEDY)


def _check_prometheus() -> Check:
    missing = [name for name in sorted(prometheus.PROCESS_NAMES) if prometheus.find_binary(name) is None]
    if not missing:
        return Check("alerts", "ok", "Prometheus and Alertmanager are on PATH")
    remedy = (
        "Install them (Debian: apt install prometheus prometheus-alertmanager), or run your own: docker/prometheus."
    )
    return Check("alerts", "warn", f"not on PATH: {', '.join(missing)}; nobody is told what is wrong", remedy)


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
            yield Check("settings", "warn", f"{name} is set, but there is no such setting", "See the list of settings.")


def _check_port_conflicts(config: Settings) -> Iterator[Check]:
    for first, second in ports.find_conflicts(ports.required_ports(config)):
        remedy = f"Set one of them to another port, for instance {second.variable}={ports.free_port()}."
        yield Check(f"port {first.number}", "fail", f"is set twice: {first.variable}, {second.variable}", remedy)


def _pid(config: Settings, name: str) -> int | None:
    """The process of the Procfile: what listens may be a child of it."""
    found = statuses.read_status(config.home)
    return next((one.pid for one in found.processes if one.name == name), None) if found else None


def _check_port(config: Settings, port: ports.Port) -> Check:
    name = f"port {port.number}"
    if port.is_free:
        return Check(name, "ok", f"free, for {port.process}")
    process = ports.listening_process(port.number)
    if process and (owner := orphans.owning_process_name(process, config.home.resolve())) == port.process:
        return Check(name, "ok", f"held by our own {owner}, process {_pid(config, owner) or process.pid}")
    status: Status = "warn" if port.process in prometheus.PROCESS_NAMES else "fail"
    remedy = f"Stop it, or choose another port, for instance {port.variable}={ports.free_port()}."
    return Check(name, status, f"needed by {port.process}, is held by {ports.describe_process(process)}", remedy)


async def _check_platform(config: Settings) -> list[Check]:
    """The parts of a running platform."""
    found = await _check_broker(config)
    url = f"http://{config.mlserver_host}:{config.mlserver_http_port}/v2/health/ready"
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            (await client.get(url)).raise_for_status()
        found.append(Check("mlserver", "ok", f"{url} answers"))
    except httpx.HTTPError as error:
        found.append(
            Check("mlserver", "fail", f"{url}: {error or type(error).__name__}", LOGS_REMEDY.format("mlserver"))
        )
    _, parts = await readiness.probe_readiness(config)
    for name, part in parts.items():
        remedy = BLOCKED_REMEDY if name in config.tasks else LOGS_REMEDY.format(name)
        found.append(Check(f"ready: {name}", "ok" if part.ready else "fail", part.detail, "" if part.ready else remedy))
    return found


async def _check_broker(config: Settings) -> list[Check]:
    if not await broker.wait(config, 5):
        remedy = (
            LOGS_REMEDY.format("kafka")
            if config.embedded_kafka
            else "Check HINDSIGHT_KAFKA_BOOTSTRAP and the way to the cluster."
        )
        return [Check("kafka", "fail", f"no broker answers at {config.bootstrap}", remedy)]
    admin = clients.create_admin(config)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
    finally:
        await admin.close()
    found = [Check("kafka", "ok", f"{config.bootstrap} answers")]
    missing = sorted({topic.name for topic in topics.required_topics(config)} - existing)
    if missing:
        found.append(Check("topics", "fail", f"missing: {', '.join(missing)}", "Restart the platform: it makes them."))
    else:
        found.append(Check("topics", "ok", f"{len(existing)} topics"))
    return found


def print_report(config: Settings, as_json: bool) -> int:
    """Prints the checks and the settings. The exit code: 1 if something is wrong that must be put right."""
    found, shown = run_checks(config), read_setting_rows(config)
    if as_json:
        print(json.dumps({"checks": [asdict(one) for one in found], "settings": [asdict(one) for one in shown]}))
    else:
        _print_report(found, shown)
    return int(any(one.status == "fail" for one in found))


def _print_report(found: list[Check], shown: list[SettingRow]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table("", "Check", "Found", box=None, pad_edge=False)
    for one in found:
        detail = one.detail if one.status == "ok" else f"{one.detail}\nRemedy: {one.remedy}"
        table.add_row(Text(one.status, COLOURS[one.status]), one.name, Text(detail))
    console.print(table)
    console.print()
    console.print(settings_table(shown))
    console.print()
    failed = [one for one in found if one.status == "fail"]
    for one in failed:
        console.print(Text(f"{one.name}: {one.detail}\n  Remedy: {one.remedy}", COLOURS["fail"]))
    if not failed:
        console.print(Text("Nothing has failed.", COLOURS["ok"]))

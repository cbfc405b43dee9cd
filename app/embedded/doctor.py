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
from app.embedded.settings_table import Shown, settings_shown
from app.embedded.settings_table import table as settings_table
from app.errors import SetupError
from app.events import topics
from app.kafka import clients
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.system import disk, jars, java
from app.system.pyflink import REMEDY, python_library

Status = Literal["ok", "warn", "fail"]
COLOURS: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
HELD = "`hindsight status` names the process that holds requests up, `hindsight restart` starts it again."
LOOK = "`hindsight logs {}` says why; see docs/runbooks.md."


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do if it isn't well."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def checks(config: Settings) -> list[Check]:
    """Every check. Those of the running platform are made only when there is one."""
    found = [
        _python(),
        *_guarded("java", lambda: [Check("java", "ok", java.version())]),
        *_guarded("jars", lambda: [_jars()]),
        _thread_mode(config),
        _watchers(),
        *_guarded("home", lambda: [_home(config)]),
        *_guarded("disk", lambda: [_disk(config)]),
        *_guarded("blobs", lambda: [_blobs(config)]),
        *_settings(config),
        *_clashes(config),
        *_guarded("ports", lambda: [_port(config, port) for port in ports.needed(config)]),
    ]
    pid = lock.holder(config.home)
    if pid is None:
        found.append(Check("platform", "ok", "not running: `make run` or `hindsight up` starts it"))
        return found if config.embedded_kafka else [*found, *asyncio.run(_broker(config))]
    found.append(Check("platform", "ok", f"running: process {pid}"))
    return [*found, *asyncio.run(_running(config))]


def _guarded(name: str, check: Callable[[], list[Check]]) -> list[Check]:
    try:
        return check()
    except SetupError as error:
        return [Check(name, "fail", error.message, error.remedy)]
    except OSError as error:
        return [Check(name, "fail", str(error), "See whether its settings below are right.")]


def _python() -> Check:
    detail = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        return Check("python", "ok", detail)
    return Check("python", "fail", detail, "Run it with Python 3.11: `make setup` makes a virtual environment with it.")


def _jars() -> Check:
    missing = [jar.filename for jar in jars.locked() if not jars.is_verified(jar, again=True)]
    if missing:
        remedy = "`make setup` fetches them; so does the next start."
        return Check("jars", "warn", f"{len(missing)} are not yet in {jars.directory()}", remedy)
    return Check("jars", "ok", f"{len(jars.locked())} in {jars.directory()}, checksums right")


def _thread_mode(config: Settings) -> Check:
    """PyFlink's thread mode loads this Python's library into Flink's Java process: it has to exist as one."""
    if (library := python_library()) is not None:
        return Check("flink", "ok", f"runs Python in threads, with {library}")
    said = "this Python has no shared library that Flink could load"
    if config.flink_process_mode:
        return Check("flink", "warn", f"{said}: it runs in a process that listens on every interface", REMEDY)
    return Check("flink", "fail", said, REMEDY)


def _watchers() -> Check:
    missing = [name for name in sorted(prometheus.NAMES) if prometheus.binary(name) is None]
    if not missing:
        return Check("alerts", "ok", "Prometheus and Alertmanager are on PATH")
    remedy = (
        "Install them (Debian: apt install prometheus prometheus-alertmanager), or run your own: docker/prometheus."
    )
    return Check("alerts", "warn", f"not on PATH: {', '.join(missing)}; nobody is told what is wrong", remedy)


def _home(config: Settings) -> Check:
    disk.check_writable(config.home)
    return Check("home", "ok", f"{config.home.resolve()} can be written to")


def _disk(config: Settings) -> Check:
    warning = disk.check_space(config.home)
    if warning:
        return Check("disk", "warn", warning, disk.ROOM)
    return Check("disk", "ok", f"{disk.free(config.home) / disk.GiB:.0f} GiB are free")


def _blobs(config: Settings) -> Check:
    blob_store(config).prepare()
    return Check("blobs", "ok", f"{config.blobs} can be read and written")


def _settings(config: Settings) -> Iterator[Check]:
    known = {f"HINDSIGHT_{name.upper()}" for name in type(config).model_fields} | {orphans.MARK}
    for name in sorted(os.environ):
        if name.upper().startswith("HINDSIGHT_") and name.upper() not in known:
            yield Check("settings", "warn", f"{name} is set, but there is no such setting", "See the list of settings.")


def _clashes(config: Settings) -> Iterator[Check]:
    for first, second in ports.clashes(ports.needed(config)):
        remedy = f"Set one of them to another port, for instance {second.variable}={ports.free_port()}."
        yield Check(f"port {first.number}", "fail", f"is set twice: {first.variable}, {second.variable}", remedy)


def _pid(config: Settings, name: str) -> int | None:
    """The process of the Procfile: what listens may be a child of it."""
    found = statuses.read(config.home)
    return next((one.pid for one in found.processes if one.name == name), None) if found else None


def _port(config: Settings, port: ports.Port) -> Check:
    name = f"port {port.number}"
    if port.is_free:
        return Check(name, "ok", f"free, for {port.process}")
    process = ports.holder(port.number)
    if process and (owner := orphans.owner(process, config.home.resolve())) == port.process:
        return Check(name, "ok", f"held by our own {owner}, process {_pid(config, owner) or process.pid}")
    status: Status = "warn" if port.process in prometheus.NAMES else "fail"
    remedy = f"Stop it, or choose another port, for instance {port.variable}={ports.free_port()}."
    return Check(name, status, f"needed by {port.process}, is held by {ports.describe(process)}", remedy)


async def _running(config: Settings) -> list[Check]:
    """The parts of a running platform."""
    found = await _broker(config)
    url = f"http://{config.mlserver_host}:{config.mlserver_http_port}/v2/health/ready"
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            (await client.get(url)).raise_for_status()
        found.append(Check("mlserver", "ok", f"{url} answers"))
    except httpx.HTTPError as error:
        found.append(Check("mlserver", "fail", f"{url}: {error or type(error).__name__}", LOOK.format("mlserver")))
    _, parts = await readiness.probe(config)
    for name, part in parts.items():
        remedy = HELD if name in config.tasks else LOOK.format(name)
        found.append(Check(f"ready: {name}", "ok" if part.ready else "fail", part.detail, "" if part.ready else remedy))
    return found


async def _broker(config: Settings) -> list[Check]:
    if not await broker.wait(config, 5):
        remedy = (
            LOOK.format("kafka")
            if config.embedded_kafka
            else "Check HINDSIGHT_KAFKA_BOOTSTRAP and the way to the cluster."
        )
        return [Check("kafka", "fail", f"no broker answers at {config.bootstrap}", remedy)]
    admin = clients.admin(config)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
    finally:
        await admin.close()
    found = [Check("kafka", "ok", f"{config.bootstrap} answers")]
    missing = sorted({topic.name for topic in topics.wanted(config)} - existing)
    if missing:
        found.append(Check("topics", "fail", f"missing: {', '.join(missing)}", "Restart the platform: it makes them."))
    else:
        found.append(Check("topics", "ok", f"{len(existing)} topics"))
    return found


def report(config: Settings, as_json: bool) -> int:
    """Prints the checks and the settings. The exit code: 1 if something is wrong that must be put right."""
    found, shown = checks(config), settings_shown(config)
    if as_json:
        print(json.dumps({"checks": [asdict(one) for one in found], "settings": [asdict(one) for one in shown]}))
    else:
        _print(found, shown)
    return int(any(one.status == "fail" for one in found))


def _print(found: list[Check], shown: list[Shown]) -> None:
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

"""The Faust processes: `python -m app.worker inference|archive|recorder`, each with agents and a consumer group."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faust import Worker

from app.kafka import provisioning
from app.monitoring import metrics
from app.monitoring.heartbeat import Heartbeat, clear_wait, report_wait
from app.settings import Settings, settings
from app.streams.faust_app import App, make_app
from app.system.priority import BACKGROUND_NICENESS, lower_priority
from app.tasks import load_tasks


@dataclass(frozen=True)
class ProcessSpec:
    """One of the processes: its consumer group, its agents, and the setting of the port of its /metrics."""

    group: str
    register: Callable[[App, Settings], None]
    port_setting: str
    wait_for_dependency: Callable[[Settings], Awaitable[None]] | None = None
    """What it waits for, once the topics are there."""
    faust_settings: Mapping[str, Any] = field(default_factory=dict)
    niceness: int = 0
    """Nobody waits for the archive and the recorder: where processors are scarce, what answers requests goes first."""


# Each process imports its own agents only: what the others need takes seconds to load.


def _inference() -> ProcessSpec:
    from agents import inference
    from app.inference.routing import Router

    def register(app: App, configured: Settings) -> None:
        tasks = load_tasks(configured).values()
        routing = Router(configured, tasks)
        app.task(routing.run)
        for task in tasks:
            inference.register(app, configured, task, routing)

    return ProcessSpec("hindsight-worker", register, "worker_metrics_port", _wait_for_models)


def _archive() -> ProcessSpec:
    from agents import archive

    return ProcessSpec(
        "hindsight-archive",
        archive.register,
        "archive_metrics_port",
        faust_settings=archive.FAUST_SETTINGS,
        niceness=BACKGROUND_NICENESS,
    )


def _recorder() -> ProcessSpec:
    from agents import catalog, outcomes, repartition
    from app.catalog.rebuild import ensure_catalog

    def register(app: App, configured: Settings) -> None:
        tasks = load_tasks(configured)
        for task in tasks.values():
            repartition.register(app, configured, task)
        outcomes.register(app, configured, tasks)
        catalog.register(app, configured)

    return ProcessSpec(
        "hindsight-recorder", register, "recorder_metrics_port", ensure_catalog, niceness=BACKGROUND_NICENESS
    )


PROCESSES = {"inference": _inference, "archive": _archive, "recorder": _recorder}


def build_app(configured: Settings, process: ProcessSpec) -> App:
    """The app of one process. It is ready once it has its partitions."""
    app = make_app(configured, process.group, low_priority=process.niceness > 0, **process.faust_settings)
    process.register(app, configured)

    @app.on_partitions_assigned.connect
    async def assigned(*_: object, **__: object) -> None:
        metrics.READY.set(1)

    return app


async def _wait_for_models(configured: Settings) -> None:
    """Return once MLServer serves every champion."""
    from app.events.base import ModelRef
    from app.inference.mlserver.client import InferenceClient
    from app.registry.subscription import read_registry

    registry = await read_registry(configured, load_tasks(configured).values())
    async with InferenceClient(configured) as client:
        for task, models in registry.tasks.items():
            await client.wait(ModelRef(name=task, version=models.route.champion))


async def wait_for_dependencies(configured: Settings, process: ProcessSpec) -> None:
    """Return once the topics are there, and what else the process needs."""
    report_wait("start", "for the topics")
    await provisioning.wait_provisioned(configured)
    if process.wait_for_dependency is not None:
        report_wait(
            "start",
            "for MLServer to serve the models"
            if process.wait_for_dependency is _wait_for_models
            else "for the catalog",
        )
        await process.wait_for_dependency(configured)
    clear_wait("start")


async def _run_with_heartbeat(heart: Heartbeat, work: Awaitable[None]) -> None:
    heart.schedule_on(asyncio.get_running_loop())
    await work


def main() -> None:
    """Run the process until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # or it words a debug line for every record
    configured = settings()
    process = PROCESSES[sys.argv.pop(1)]()
    lower_priority(process.niceness)
    metrics.serve(getattr(configured, process.port_setting), configured.metrics_host, configured.home)
    heart = Heartbeat(configured.home)
    asyncio.run(_run_with_heartbeat(heart, wait_for_dependencies(configured, process)))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.call_soon(heart.schedule_on, loop)
    Worker(build_app(configured, process), loglevel="warn", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()

"""The Faust processes: `python -m app.worker inference|archive|recorder`. Each has its agents and a consumer group."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvloop
from faust import Worker

from app.errors import SetupError
from app.kafka import provisioning
from app.kafka.lag import ARCHIVE_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.monitoring import metrics
from app.monitoring.heartbeat import Heartbeat, clear_wait, report_wait
from app.settings import Settings, settings
from app.streams.faust_app import App, make_app
from app.system.arrow import avoid_pandas
from app.system.priority import BACKGROUND_NICENESS, lower_priority
from app.tasks import load_tasks


@dataclass(frozen=True)
class ProcessSpec:
    """A process: its consumer group, its agents, and the setting of its metrics port."""

    group: str
    register: Callable[[App, Settings], None]
    port_setting: str
    wait_for_dependency: Callable[[Settings], Awaitable[None]] | None = None
    """Returns once a dependency is ready, awaited after the topics."""
    faust_settings: Mapping[str, Any] = field(default_factory=dict)
    niceness: int = 0
    """Requests do not wait for the archive and the recorder: these let the other processes go first."""


# Each process imports only its own agents: the dependencies of the others take seconds to load.


def _inference() -> ProcessSpec:
    from agents import inference
    from app.inference.memory_reader import MemoryReader
    from app.inference.routing import Router

    def register(app: App, config: Settings) -> None:
        tasks = load_tasks(config).values()
        router = Router(config, tasks)
        app.task(router.run)
        memories = inference.create_memories(config, tasks, router)
        if memories:
            app.task(MemoryReader(config, memories).run)
        for task in tasks:
            inference.register(app, config, task, router, memories.get(task.name))

    return ProcessSpec(WORKER_GROUP, register, "worker_metrics_port", _wait_for_models)


def _archive() -> ProcessSpec:
    avoid_pandas()
    from agents import archive

    return ProcessSpec(
        ARCHIVE_GROUP,
        archive.register,
        "archive_metrics_port",
        faust_settings=archive.FAUST_SETTINGS,
        niceness=BACKGROUND_NICENESS,
    )


def _recorder() -> ProcessSpec:
    from agents import catalog, outcomes, repartition
    from app.catalog.existence import ensure_catalog

    def register(app: App, config: Settings) -> None:
        tasks = load_tasks(config)
        for task in tasks.values():
            repartition.register(app, config, task)
        outcomes.register(app, config, tasks)
        catalog.register(app, config)

    return ProcessSpec(RECORDER_GROUP, register, "recorder_metrics_port", ensure_catalog, niceness=BACKGROUND_NICENESS)


PROCESSES = {"inference": _inference, "archive": _archive, "recorder": _recorder}


def build_app(config: Settings, process: ProcessSpec) -> App:
    """Return the app of a process. It is ready once it has its partitions."""
    app = make_app(config, process.group, low_priority=process.niceness > 0, **process.faust_settings)
    process.register(app, config)

    @app.on_partitions_assigned.connect
    async def assigned(*_: object, **__: object) -> None:
        metrics.READY.set(1)

    return app


async def _wait_for_models(config: Settings) -> None:
    """Return once MLServer serves every champion."""
    from app.events.base import ModelRef
    from app.inference.mlserver.client import InferenceClient
    from app.registry.subscription import read_registry

    registry = await read_registry(config, load_tasks(config).values())
    async with InferenceClient(config) as client:
        for task, models in registry.tasks.items():
            await client.wait(ModelRef(name=task, version=models.route.champion))


async def wait_for_dependencies(config: Settings, process: ProcessSpec) -> None:
    """Return once the topics exist and the process's own dependency is ready."""
    report_wait("start", "for the topics")
    await provisioning.wait_provisioned(config)
    if process.wait_for_dependency is not None:
        for_models = process.wait_for_dependency is _wait_for_models
        report_wait("start", "for MLServer to serve the models" if for_models else "for the catalog")
        await process.wait_for_dependency(config)
    clear_wait("start")


async def _run_with_heartbeat(heartbeat: Heartbeat, work: Awaitable[None]) -> None:
    heartbeat.schedule_on(asyncio.get_running_loop())
    await work


def main() -> None:
    """Run the process until a signal stops it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # otherwise it formats a debug line for every record
    config = settings()
    process = PROCESSES[sys.argv.pop(1)]()
    lower_priority(process.niceness)
    metrics.serve(getattr(config, process.port_setting), config.metrics_host, config.home)
    heartbeat = Heartbeat(config.home)
    try:
        asyncio.run(_run_with_heartbeat(heartbeat, wait_for_dependencies(config, process)))
    except SetupError as error:
        sys.exit(str(error))
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.call_soon(heartbeat.schedule_on, loop)
    Worker(build_app(config, process), loglevel="warn", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()

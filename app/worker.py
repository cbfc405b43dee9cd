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
from app.monitoring.heartbeat import Heartbeat, waits_for, waits_no_more
from app.settings import Settings, settings
from app.streams.faust_app import App, make_app
from app.system.priority import PATIENT, give_way
from app.tasks import load


@dataclass(frozen=True)
class Process:
    """One of the processes: its consumer group, its agents, and the setting of the port of its /metrics."""

    group: str
    register: Callable[[App, Settings], None]
    port: str
    needs: Callable[[Settings], Awaitable[None]] | None = None
    """What it waits for, once the topics are there."""
    faust: Mapping[str, Any] = field(default_factory=dict)
    niceness: int = 0
    """Nobody waits for the archive and the recorder: where processors are scarce, what answers requests goes first."""


# Each process imports its own agents only: what the others need takes seconds to load.


def _inference() -> Process:
    from agents import inference
    from app.inference.routing import Routing

    def register(app: App, configured: Settings) -> None:
        tasks = load(configured).values()
        routing = Routing(configured, tasks)
        app.task(routing.run)
        for task in tasks:
            inference.register(app, configured, task, routing)

    return Process("hindsight-worker", register, "worker_metrics_port", _models)


def _archive() -> Process:
    from agents import archive

    return Process("hindsight-archive", archive.register, "archive_metrics_port", faust=archive.FAUST, niceness=PATIENT)


def _recorder() -> Process:
    from agents import catalog, outcomes, repartition
    from app.catalog.rebuild import ensure

    def register(app: App, configured: Settings) -> None:
        tasks = load(configured)
        for task in tasks.values():
            repartition.register(app, configured, task)
        outcomes.register(app, configured, tasks)
        catalog.register(app, configured)

    return Process("hindsight-recorder", register, "recorder_metrics_port", ensure, niceness=PATIENT)


PROCESSES = {"inference": _inference, "archive": _archive, "recorder": _recorder}


def build(configured: Settings, process: Process) -> App:
    """The app of one process. It is ready once it has its partitions."""
    app = make_app(configured, process.group, patient=process.niceness > 0, **process.faust)
    process.register(app, configured)

    @app.on_partitions_assigned.connect
    async def assigned(*_: object, **__: object) -> None:
        metrics.READY.set(1)

    return app


async def _models(configured: Settings) -> None:
    """Return once MLServer serves every champion."""
    from app.events.base import ModelRef
    from app.inference.mlserver.client import InferenceClient
    from app.registry.subscription import read

    registry = await read(configured, load(configured).values())
    async with InferenceClient(configured) as client:
        for task, models in registry.tasks.items():
            await client.wait(ModelRef(name=task, version=models.route.champion))


async def wait_for_needs(configured: Settings, process: Process) -> None:
    """Return once the topics are there, and what else the process needs."""
    waits_for("start", "for the topics")
    await provisioning.wait_provisioned(configured)
    if process.needs is not None:
        waits_for("start", "for MLServer to serve the models" if process.needs is _models else "for the catalog")
        await process.needs(configured)
    waits_no_more("start")


async def _beating(heart: Heartbeat, work: Awaitable[None]) -> None:
    heart.follow(asyncio.get_running_loop())
    await work


def main() -> None:
    """Run the process until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # or it words a debug line for every record
    configured = settings()
    process = PROCESSES[sys.argv.pop(1)]()
    give_way(process.niceness)
    metrics.serve(getattr(configured, process.port), configured.metrics_host, configured.home)
    heart = Heartbeat(configured.home)
    asyncio.run(_beating(heart, wait_for_needs(configured, process)))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.call_soon(heart.follow, loop)
    Worker(build(configured, process), loglevel="warn", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
